import type { WriteStream } from "node:tty";
import pc from "picocolors";

type Colors = ReturnType<typeof pc.createColors>;

/** A stream for text: a terminal, or a pipe or file. */
export interface Terminal {
  /** False for a pipe or a file: output then has no colours, and no line is redrawn. */
  readonly interactive: boolean;
  readonly colors: Colors;
  readonly stream: WriteStream;
  /** Columns of a line. */
  readonly width: number;
  /** Prints lines, indented as the terminal is. Without text, an empty line. */
  print(text?: string): void;
  /** Begins a chapter. */
  heading(title: string): void;
}

/** The indentation of everything below a heading. */
export const indent = "  ";

/** Columns where the terminal does not report them: fits both a wide terminal and a report. */
const defaultWidth = 100;

/** The widest line: the ends of a wider one are too far apart to be read together. */
const maxWidth = 140;

/** Makes the terminal of a stream. Colours follow https://no-color.org. */
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
