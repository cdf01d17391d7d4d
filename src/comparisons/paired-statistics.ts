import quantile from "@stdlib/stats-base-dists-t-quantile";

/** Both ends of a confidence interval. */
export interface ConfidenceInterval {
  readonly low: number;
  readonly high: number;
}

/** Half of the 5 % outside a 95 % interval lies above it. */
const upperQuantile = 0.975;

/** Returns the arithmetic mean, exact for equal values; undefined without values. */
export function meanOf(values: readonly number[]): number | undefined {
  const n = values.length;
  const [first] = values;
  if (values.every((value) => value === first)) return first;
  let sum = 0;
  for (const value of values) sum += value;
  if (Number.isFinite(sum)) return sum / n;
  // The mean is within the range of a double even where the sum is not.
  let mean = 0;
  for (const value of values) mean += value / n;
  return mean;
}

/**
 * Returns the 95 % confidence interval of the mean of paired differences by Student's t: mean ± t(0.975, n-1) · s / √n, where s
 * is the sample standard deviation with n-1 in the denominator. This is the interval of the paired t-test; see NIST/SEMATECH
 * e-Handbook of Statistical Methods, section 1.3.5.2 (limits for the mean), applied to differences as in 7.3.1.
 *
 * Returns undefined for fewer than two differences, and if the interval is beyond the range of a double. The interval of equal
 * differences has length 0.
 */
export function pairedInterval(differences: readonly number[]): ConfidenceInterval | undefined {
  const n = differences.length;
  const mean = meanOf(differences);
  if (n < 2 || mean === undefined) return undefined;
  let squares = 0;
  for (const difference of differences) squares += (difference - mean) ** 2;
  const deviation = Math.sqrt(squares / (n - 1));
  const reach = deviation === 0 ? 0 : (quantile(upperQuantile, n - 1) * deviation) / Math.sqrt(n);
  const interval = { low: mean - reach, high: mean + reach };
  return Number.isFinite(interval.low) && Number.isFinite(interval.high) ? interval : undefined;
}
