import { describe, expect, it } from "vitest";
import { readSample } from "../../examples/demo/sample.ts";
import { keywords } from "../../examples/demo/solvers/keywords.ts";
import { reader } from "../../examples/demo/solvers/reader.ts";
import { neighbour, slip } from "../../examples/demo/solvers/slips.ts";
import { NotUnderstoodError, type Solver } from "../../examples/demo/solvers/solver.ts";

/** Counts the questions of the sample that a solver gets right, gets wrong, and cannot read. */
async function tally(solver: Solver): Promise<{ right: number; wrong: number; unread: number }> {
  const counts = { right: 0, wrong: 0, unread: 0 };
  for (const { inputJson, expectedOutputJson } of await readSample("edition-2")) {
    try {
      const answer = solver.solve(JSON.parse(inputJson ?? "").question);
      counts[JSON.stringify(answer) === expectedOutputJson ? "right" : "wrong"]++;
    } catch (error) {
      expect(error).toBeInstanceOf(NotUnderstoodError);
      counts.unread++;
    }
  }
  return counts;
}

describe("the solver by keywords", () => {
  it("answers questions that need one operation on numbers in digits", () => {
    expect(keywords.solve("A farm has 12 hens and buys 9 more. How many hens does it have now?")).toBe(21);
    expect(keywords.solve("How many grams are 3 kilograms?")).toBe(3000);
    expect(keywords.solve("Which day of the week is 10 days after Tuesday?")).toBe("Friday");
  });

  it("falls for thousands separators and midnight", () => {
    expect(keywords.solve("How many metres are 4,200 centimetres?")).toBe(4000);
    expect(keywords.solve("A film starts at 23:40 and lasts 45 minutes. When does it end?")).toBe("24:25");
  });

  it("cannot read number words", () => {
    expect(() =>
      keywords.solve("There are two boxes of ten apples each. How many apples are there?"),
    ).toThrow(NotUnderstoodError);
  });

  it("gets about half of the sample right", async () => {
    const { right, wrong, unread } = await tally(keywords);
    expect(right + wrong + unread).toBe(306);
    expect(right).toBeGreaterThan(120);
    expect(wrong).toBeGreaterThan(100);
    expect(unread).toBeGreaterThan(20);
  });
});

describe("the solver that reads sentences", () => {
  it("gets all of the sample right except the one kind that it cannot read", async () => {
    expect(await tally(reader)).toEqual({ right: 294, wrong: 0, unread: 12 });
  });
});

describe("slips", () => {
  it("depend only on solver, item and repetition", () => {
    const slipped = (repetition: number) => slip(1, "reader", "units-001", repetition);
    expect([1, 2, 3].map(slipped)).toEqual([1, 2, 3].map(slipped));
  });

  it("occur at the expected rate", () => {
    const count = Array.from({ length: 10_000 }, (_, index) => slip(0, "reader", "a", index)).filter(
      Boolean,
    ).length;
    expect(count).toBeGreaterThan(500);
    expect(count).toBeLessThan(700);
  });

  it("turn an answer into a wrong one of the same kind", () => {
    expect([42, "Sunday", "2024-02-28", "23:55", "12.40"].map(neighbour)).toEqual([
      43,
      "Monday",
      "2024-02-29",
      "00:05",
      "12.50",
    ]);
  });
});
