/** A difference and the interval it lies in with 95 % confidence. */
export interface PlottedInterval {
  readonly low: number;
  readonly mean: number;
  readonly high: number;
}

/** Columns on either side of zero. The plot is 61 wide, which fits into 80 with indentation. */
const widest = 30;

/** Where an axis may end: the nearest that holds the whole interval keeps the plot readable. */
const ends = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1];

/** A number with its sign, as differences are written: `+0.34`, `−0.02`, `0.00`. */
export function signed(value: number, digits = 2): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : "+"}${text}`;
}

/** Where an axis around zero has to end so that it holds all of the intervals. */
export function axisEnd(intervals: readonly PlottedInterval[]): number {
  const reach = Math.max(0, ...intervals.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]));
  return ends.find((one) => one >= reach) ?? Math.ceil(reach);
}

/** The interval on an axis from −`end` to `end`, which takes 2 × `half` + 1 columns. What lies beyond it is drawn at its end. */
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

/** What stands below an axis: its ends, and zero in the middle. */
export function axisLabels(end: number, half: number): string {
  return `${signed(-end).padEnd(half)}0${signed(end).padStart(half)}`;
}

/**
 * The interval on an axis around zero, with the ends of the axis below it.
 *
 *     ├─────────────────────────────┼────────────────━━━●━━──────────┤
 *     −0.50                         0                           +0.50
 */
export function intervalPlot(interval: PlottedInterval): string {
  const end = axisEnd([interval]);
  return `${intervalStrip(interval, end, widest)}\n${axisLabels(end, widest)}`;
}
