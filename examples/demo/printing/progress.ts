import { SingleBar } from "cli-progress";
import { indent, type Terminal } from "../../../src/cli/printing/terminal.ts";

/** Shows how far something has come. */
export interface Progress {
  /** `note` stands behind the numbers, such as how many failed. */
  update(value: number, note?: string): void;
  /** Leaves what it shows as it is, and gives the line free. */
  stop(): void;
}

/** What takes its time. */
export interface Work {
  readonly label: string;
  readonly total: number;
  /** What is counted, in the plural. */
  readonly unit: string;
}

/** A bar on a terminal; elsewhere a line at each quarter. */
export function startProgress(terminal: Terminal, work: Work): Progress {
  return terminal.interactive ? startBar(terminal, work) : startLines(terminal, work);
}

function startBar({ stream, colors }: Terminal, { label, total, unit }: Work): Progress {
  const bar = new SingleBar({
    stream,
    format: `${indent}${label} ${colors.cyan("{bar}")} {value} of {total} ${unit}{note}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 24,
    fps: 30,
    hideCursor: true,
    // The demo handles signals itself, and stops the bar then.
    gracefulExit: false,
  });
  bar.start(total, 0, { note: "" });
  return {
    update: (value, note = "") => bar.update(value, { note: note && `, ${note}` }),
    stop: () => bar.stop(),
  };
}

function startLines(terminal: Terminal, { label, total, unit }: Work): Progress {
  let quarters = 0;
  let waiting: string | undefined;
  return {
    update(value, note = "") {
      const line = `${label} ${value} of ${total} ${unit}${note && `, ${note}`}`;
      const reached = Math.floor((value / total) * 4);
      if (reached > quarters) terminal.print(line);
      waiting = reached > quarters ? undefined : line;
      quarters = reached;
    },
    stop() {
      if (waiting !== undefined) terminal.print(waiting);
    },
  };
}
