/** A difference and its 95 % confidence interval. */
export interface PlottedInterval {
  readonly low: number;
  readonly mean: number;
  readonly high: number;
}

/** Columns on either side of zero. The plot is 61 wide, which fits into 80 with indentation. */
const widest = 30;

/** Possible ends of an axis. The nearest that covers the whole interval keeps the plot readable. */
const ends = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1];

/** Formats a number with its sign, as differences are written: `+0.34`, `−0.02`, `0.00`. */
export function signed(value: number, digits = 2): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : "+"}${text}`;
}

/** Returns the end that an axis around zero needs to cover all of the intervals. */
export function axisEnd(intervals: readonly PlottedInterval[]): number {
  const reach = Math.max(0, ...intervals.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]));
  return ends.find((one) => one >= reach) ?? Math.ceil(reach);
}

/** Draws an interval on an axis from −`end` to `end`, 2 × `half` + 1 columns wide. Values beyond it are drawn at its end. */
export function intervalStrip({ low, mean, high }: PlottedInterval, end: number, half: number): string {
  const column = (value: number) => half + Math.round(Math.max(-1, Math.min(1, value / end)) * half);
  const axis = Array.from({ length: 2 * half + 1 }, () => "─");
  axis[0] = "├";
  axis[2 * half] = "┤";
  axis[half] = "┼";
  axis.fill("━", column(low), column(high) + 1);
  axis[column(mean)] = "●";
  return axis.join("");
}

/** Returns the labels of an axis: its ends, and zero in the middle. */
export function axisLabels(end: number, half: number): string {
  return `${signed(-end).padEnd(half)}0${signed(end).padStart(half)}`;
}

/**
 * Draws an interval on an axis around zero, with labels below.
 *
 *     ├─────────────────────────────┼────────────────━━━●━━──────────┤
 *     −0.50                         0                           +0.50
 */
export function intervalPlot(interval: PlottedInterval): string {
  const end = axisEnd([interval]);
  return `${intervalStrip(interval, end, widest)}\n${axisLabels(end, widest)}`;
}
