import { type FactsOf, Failure, type FieldViolation, failure, type Reason } from "../failure.ts";

/** Faults that one answer lists. More would not fit into the trailers that many clients accept. */
const maxFaults = 100;

/** Gathers what is wrong with the rows of a request, so that its sender hears of all bad rows at once. */
export class RowFaults {
  #first: Failure | undefined;
  #count = 0;
  readonly #violations: FieldViolation[] = [];

  /** Notes a fault. `field` leads from the request message to the row. */
  add<R extends Reason>(reason: R, facts: FactsOf<R>, field: string): void {
    const fault = failure(reason, facts);
    this.#first ??= fault;
    this.#count++;
    if (this.#violations.length < maxFaults) this.#violations.push({ field, description: fault.message });
  }

  /** @throws Failure of the first fault, with the number of all of them, and up to 100 as violations. */
  throwIfAny(): void {
    if (this.#first === undefined) return;
    const { reason, facts, message } = this.#first;
    const counted = this.#count > 1 ? { ...facts, violation_count: this.#count } : facts;
    throw new Failure(reason, counted, this.#violations, message);
  }
}
