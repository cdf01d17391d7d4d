import type { WriteStream } from "node:tty";
import pc from "picocolors";

type Colors = ReturnType<typeof pc.createColors>;

/** Where the demo prints. */
export interface Terminal {
  /** False in a pipe or a file: then there is no colour, and nothing is ever drawn over. */
  readonly interactive: boolean;
  readonly colors: Colors;
  readonly stream: WriteStream;
  /** Prints lines below the last heading, indented. Without text, an empty line. */
  print(text?: string): void;
  /** Begins a chapter. */
  heading(title: string): void;
}

/** How far everything below a heading is indented. */
export const indent = "  ";

/** The terminal of a stream. Colours follow https://no-color.org. */
export function newTerminal(
  stream: WriteStream,
  environment: Readonly<Record<string, string | undefined>>,
): Terminal {
  const interactive = stream.isTTY === true && environment.TERM !== "dumb";
  const colors = pc.createColors(interactive && !environment.NO_COLOR);
  const write = (line: string) => stream.write(`${line}\n`);
  return {
    interactive,
    colors,
    stream,
    print(text = "") {
      for (const line of text.split("\n")) write(line === "" ? "" : indent + line);
    },
    heading(title) {
      write("");
      write(colors.bold(title));
      write("");
    },
  };
}
