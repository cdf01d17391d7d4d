import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const binary = fileURLToPath(new URL("../../bin/itembank.js", import.meta.url));

/** The exit code and the output of a run of the program. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run of the program in progress. */
export interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves once standard error matches. Rejects if the program ends before. */
  said(pattern: RegExp): Promise<void>;
}

/** The program against one server. */
export interface Itembank {
  (...args: readonly string[]): Promise<Ended>;
  /** Runs the program with text on standard input. */
  withInput(input: string, ...args: readonly string[]): Promise<Ended>;
  start(...args: readonly string[]): Running;
  /** Returns the output of the program as JSON. Rejects unless the exit code is 0. */
  json(...args: readonly string[]): Promise<unknown>;
}

/** Runs the real program, as a shell would, with neither a terminal nor input. */
export function newItembank(server: string, environment: Readonly<Record<string, string>> = {}): Itembank {
  const start = (...args: readonly string[]): Running => {
    const child = spawn(process.execPath, [binary, ...args], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ITEMBANK_URL: server, ...environment },
    });
    // A program that ends early does not read its input, which is not an error of the test.
    child.stdin.on("error", () => undefined);
    const texts = { stdout: "", stderr: "" };
    const heard = new EventTarget();
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (text: string) => {
        texts[name] += text;
        heard.dispatchEvent(new Event(name));
      });
    }
    const ended = new Promise<Ended>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => resolve({ code, ...texts }));
    });
    return {
      process: child,
      ended,
      said: (pattern) =>
        new Promise((resolve, reject) => {
          const look = () => pattern.test(texts.stderr) && resolve();
          heard.addEventListener("stderr", look);
          look();
          void ended.then(() => reject(new Error(`it ended without ${pattern}: ${texts.stderr}`)));
        }),
    };
  };
  const run = (input: string, args: readonly string[]) => {
    const { process: child, ended } = start(...args);
    child.stdin?.end(input);
    return ended;
  };
  return Object.assign((...args: readonly string[]) => run("", args), {
    withInput: (input: string, ...args: readonly string[]) => run(input, args),
    start,
    async json(...args: readonly string[]) {
      const { code, stdout, stderr } = await run("", [...args, "--json"]);
      if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
      return JSON.parse(stdout) as unknown;
    },
  });
}
