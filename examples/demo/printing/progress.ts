import { SingleBar } from "cli-progress";
import { indent, type Terminal } from "../../../src/cli/printing/terminal.ts";

/** Shows progress. */
export interface Progress {
  /** `note` follows the numbers, such as the number of failures. */
  update(value: number, note?: string): void;
  /** Leaves the last output in place and ends the line. */
  stop(): void;
}

/** Work whose progress is shown. */
export interface Work {
  readonly label: string;
  readonly total: number;
  /** The name of the counted things, in the plural. */
  readonly unit: string;
}

/** Starts a bar on a terminal; elsewhere prints a line at each quarter. */
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
