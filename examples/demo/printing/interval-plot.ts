/** A difference and the interval it lies in with 95 % confidence. */
export interface Interval {
  readonly low: number;
  readonly mean: number;
  readonly high: number;
}

/** Columns on either side of zero. The plot is 61 wide, which fits into 80 with indentation. */
const half = 30;

/** Where an axis may end: the nearest that holds the whole interval keeps the plot readable. */
const ends = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1];

/** A number with its sign, as differences are written: `+0.34`, `−0.02`, `0.00`. */
export function signed(value: number, digits = 2): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : "+"}${text}`;
}

/**
 * The interval on an axis around zero, with the ends of the axis below it. What lies beyond the axis is drawn at its end.
 *
 *     ├─────────────────────────────┼────────────────━━━●━━──────────┤
 *     −0.50                         0                           +0.50
 */
export function intervalPlot({ low, mean, high }: Interval): string {
  const reach = Math.max(Math.abs(low), Math.abs(high));
  const end = ends.find((one) => one >= reach) ?? Math.ceil(reach);
  const column = (value: number) => half + Math.round(Math.max(-1, Math.min(1, value / end)) * half);
  const axis = Array.from({ length: 2 * half + 1 }, () => "─");
  axis[0] = "├";
  axis[2 * half] = "┤";
  axis[half] = "┼";
  axis.fill("━", column(low), column(high) + 1);
  axis[column(mean)] = "●";
  const side = signed(end);
  const labels = `${signed(-end).padEnd(half)}0${side.padStart(half)}`;
  return `${axis.join("")}\n${labels}`;
}
