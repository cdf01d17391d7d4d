/**
 * A query that ignores interruptions for a minute: the engine calls a function on two thousand rows at a time, and looks up only
 * between two calls. It takes next to no memory, so that nothing but its time can end it.
 */
export const deafQuery =
  "select max(levenshtein(repeat('ab', 2000), repeat(i::varchar, 1000))) from range(100000) t(i)";
