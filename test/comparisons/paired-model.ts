/**
 * A paired comparison computed from its definition, sharing nothing with the service: neither code nor the library that it
 * takes Student's t from. Slow and plain.
 */

/** Returns the t for which Student's t with `freedom` degrees of freedom lies between -t and t with 95 % probability. */
export function studentT95(freedom: number): number {
  // The density without its constant factor, which cancels out. Substituting x = √freedom · tan(a) makes the range finite, and
  // leaves a power of the cosine to integrate: (1 + tan²)^(-(f+1)/2) · 1/cos² = cos^(f-1).
  const power = (at: number) => Math.cos(at) ** (freedom - 1);
  /** Simpson's rule. */
  const areaOf = (from: number, to: number) =>
    ((to - from) / 6) * (power(from) + 4 * power((from + to) / 2) + power(to));
  const steps = 20_000;
  const width = Math.PI / 2 / steps;
  const areas = [0];
  for (let step = 0; step < steps; step++) {
    areas.push((areas.at(-1) ?? 0) + areaOf(step * width, (step + 1) * width));
  }
  const wanted = 0.95 * (areas.at(-1) ?? 0);
  const step = areas.findIndex((area) => area >= wanted) - 1;
  const rest = wanted - (areas[step] ?? 0);
  let [low, high] = [step * width, (step + 1) * width];
  for (let halving = 0; halving < 50; halving++) {
    const middle = (low + high) / 2;
    if (areaOf(step * width, middle) < rest) low = middle;
    else high = middle;
  }
  return Math.sqrt(freedom) * Math.tan(low);
}

/** Returns the comparison of pairs of values, one from each run. */
export function comparePairs(pairs: readonly (readonly [base: number, candidate: number])[], tolerance = 0) {
  const n = pairs.length;
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / n;
  const differences = pairs.map(([base, candidate]) => candidate - base);
  const meanDifference = mean(differences);
  const variance = differences.reduce((sum, d) => sum + (d - meanDifference) ** 2, 0) / (n - 1);
  const reach = n < 2 ? Number.NaN : studentT95(n - 1) * Math.sqrt(variance / n);
  return {
    baseMean: mean(pairs.map(([base]) => base)),
    candidateMean: mean(pairs.map(([, candidate]) => candidate)),
    meanDifference,
    low: meanDifference - reach,
    high: meanDifference + reach,
    above: differences.filter((d) => d > tolerance).length,
    below: differences.filter((d) => d < -tolerance).length,
  };
}
