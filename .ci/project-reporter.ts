import { appendFile } from "node:fs/promises";
import type { Reporter, TestModule } from "vitest/node";

/**
 * Adds a line for each vitest project to the table of `.ci/run`, the file that CI_TABLE names: the project, the total seconds of its
 * files, and `ok` or `FAILED`, separated by tabs. Another line fails if tests printed anything: what a test provokes, it also
 * catches.
 */
export default class ProjectReporter implements Reporter {
  #printed = 0;

  onUserConsoleLog(): void {
    this.#printed++;
  }

  async onTestRunEnd(modules: readonly TestModule[]): Promise<void> {
    const projects = Map.groupBy(modules, ({ project }) => project.name);
    const lines = [...projects].map(([name, files]) => {
      const milliseconds = files.reduce((sum, file) => {
        const { duration, collectDuration, setupDuration } = file.diagnostic();
        return sum + duration + collectDuration + setupDuration;
      }, 0);
      const result = files.every((file) => file.ok()) ? "ok" : "FAILED";
      return `  ${name}, ${files.length} files\t${Math.round(milliseconds / 1000)}\t${result}\n`;
    });
    lines.push(`  prints nothing\t0\t${this.#printed === 0 ? "ok" : "FAILED"}\n`);
    if (process.env.CI_TABLE !== undefined) await appendFile(process.env.CI_TABLE, lines.join(""));
  }
}
