import type { Terminal } from "./terminal.ts";
import { plural } from "./text.ts";

/** The progress of a transfer. */
export interface Advance {
  /** Units so far, such as rows. */
  readonly count: number;
  /** The share that is done, 0 to 1; undefined if the total is unknown. */
  readonly share?: number | undefined;
  /** Text after the numbers. */
  readonly note?: string;
}

export interface TransferProgress {
  update(advance: Advance): void;
  /** Shows the final state, and ends the line. */
  stop(): void;
}

/** Milliseconds between two redraws on a terminal, and between two lines elsewhere. */
const redraw = 100;
const nextLine = 5_000;

/** Milliseconds before rates are shown: earlier, they say more about the start than about the work. */
const steady = 500;

const barWidth = 20;

/**
 * Shows progress with its rate and the time left: one line that is redrawn on a terminal, elsewhere a plain line every few
 * seconds.
 *
 *     importing ███████░░░░░░░░░░░░░ 36 %  12,000 rows, 48,000 rows/s, 2 s left
 */
export function startTransferProgress(
  terminal: Terminal,
  label: string,
  unit: readonly [one: string, many: string] = ["row", "rows"],
): TransferProgress {
  const { interactive, stream, colors } = terminal;
  const started = performance.now();
  let shown = interactive ? -redraw : 0;
  let last: Advance | undefined;
  const text = ({ count, share, note }: Advance) => {
    const elapsed = performance.now() - started;
    const [one, many] = unit;
    const parts = [plural(count, one, many)];
    if (elapsed > steady) {
      const rate = Math.round((count * 1000) / elapsed);
      parts.push(`${plural(rate, one, many)}/s`);
      if (share !== undefined && share > 0.01 && share < 1)
        parts.push(`${duration((elapsed / share) * (1 - share))} left`);
    }
    if (note) parts.push(note);
    const numbers = parts.join(", ");
    if (share === undefined) return `${label}  ${numbers}`;
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    if (!interactive) return `${label}${percent.padStart(6)}  ${numbers}`;
    const full = Math.round(share * barWidth);
    const bar = colors.cyan("█".repeat(full) + "░".repeat(barWidth - full));
    return `${label} ${bar} ${percent}  ${numbers}`;
  };
  const show = (advance: Advance) => {
    if (interactive) stream.write(`\r\u001b[K${text(advance)}`);
    else terminal.print(text(advance));
  };
  return {
    update(advance) {
      last = advance;
      const now = performance.now() - started;
      if (now - shown < (interactive ? redraw : nextLine)) return;
      shown = now;
      show(advance);
    },
    stop() {
      if (last === undefined) return;
      if (interactive) {
        show(last);
        stream.write("\n");
      } else if (shown > 0) {
        show(last);
      }
      last = undefined;
    },
  };
}

/** Formats a duration in milliseconds, rounded up: `3 s`, `2 min 10 s`, `1 h 5 min`. */
export function duration(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
