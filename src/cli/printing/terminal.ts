import type { WriteStream } from "node:tty";
import pc from "picocolors";

type Colors = ReturnType<typeof pc.createColors>;

/** Where something is printed. */
export interface Terminal {
  /** False in a pipe or a file: then there is no colour, and nothing is ever drawn over. */
  readonly interactive: boolean;
  readonly colors: Colors;
  readonly stream: WriteStream;
  /** Columns that a line may take. */
  readonly width: number;
  /** Prints lines, indented as the terminal is. Without text, an empty line. */
  print(text?: string): void;
  /** Begins a chapter. */
  heading(title: string): void;
}

/** How far everything below a heading is indented. */
export const indent = "  ";

/** Columns where nobody says how many there are: what fits into a wide terminal and into a report. */
const defaultWidth = 100;

/** Wider than this, the ends of a line are too far apart to be read together. */
const maxWidth = 140;

/** The terminal of a stream. Colours follow https://no-color.org. */
export function newTerminal(
  stream: WriteStream,
  environment: Readonly<Record<string, string | undefined>>,
  margin: string = indent,
): Terminal {
  const interactive = stream.isTTY === true && environment.TERM !== "dumb";
  const colors = pc.createColors(interactive && !environment.NO_COLOR);
  const write = (line: string) => stream.write(`${line}\n`);
  return {
    interactive,
    colors,
    stream,
    width: Math.min(maxWidth, (interactive && stream.columns) || defaultWidth) - margin.length,
    print(text = "") {
      for (const line of text.split("\n")) write(line === "" ? "" : margin + line);
    },
    heading(title) {
      write("");
      write(colors.bold(title));
      write("");
    },
  };
}
