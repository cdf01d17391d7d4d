import type { FieldViolation } from "../failure.ts";

/** The texts of an error. */
export interface ErrorTexts {
  readonly message: string;
  readonly facts: Readonly<Record<string, string | number | bigint | undefined>>;
  readonly violations: readonly FieldViolation[];
}

/** The same, cut so that they fit. */
export interface FittingTexts {
  readonly message: string;
  readonly facts: Record<string, string>;
  readonly violations: FieldViolation[];
}

/**
 * Maximum bytes that the message and the details of an error take on the wire. grpc-java and grpcio refuse headers and trailers
 * of more than 8 KiB together, and then their callers see neither code nor reason; proxies add headers of their own.
 */
const maxTrailerBytes = 6 * 1024;

/** What the names of headers, the status, and the types and tags of up to three details take. */
const fixedBytes = 512;

/** The longest texts, in UTF-16 units: enough for any id and for a path a person can read. */
const maxTextLength = 500;

/** Shorter bounds for facts, tried in turn until all facts take at most half of the trailer. */
const factLengths = [maxTextLength, 250, 120, 60, 30];

/**
 * Cuts the texts of an error so that they fit into the trailer of any client. Details are for programs and go before the message,
 * which is for people and repeats them: the facts are kept first, then the first violation, then as much of the message as fits,
 * then the other violations, in order.
 *
 * What counts are bytes on the wire, not characters: the message is percent-encoded, up to 12 bytes for a character, and
 * stands a second time in the details, which are base64.
 */
export function fitIntoTrailer({ message, facts, violations }: ErrorTexts): FittingTexts {
  const shortFacts = fittingFacts(facts);
  let left = maxTrailerBytes - fixedBytes - factsBytes(shortFacts);
  const [first, ...others] = violations.map(
    ({ field, description }): FieldViolation => ({
      field: cut(field, maxTextLength),
      description: cut(description, maxTextLength),
    }),
  );
  const kept: FieldViolation[] = [];
  if (first !== undefined) {
    // Beside facts that take half of the trailer, this leaves a quarter for the message.
    const short = fittingViolation(first, maxTrailerBytes / 4);
    kept.push(short);
    left -= violationBytes(short);
  }
  const shortMessage = cutTo(cut(message, maxTextLength), left, messageBytes);
  left -= messageBytes(shortMessage);
  for (const violation of others) {
    left -= violationBytes(violation);
    if (left < 0) break;
    kept.push(violation);
  }
  return { message: shortMessage, facts: shortFacts, violations: kept };
}

function fittingFacts(facts: ErrorTexts["facts"]): Record<string, string> {
  const given = Object.entries(facts).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as const],
  );
  let short: Record<string, string> = {};
  for (const length of factLengths) {
    short = Object.fromEntries(given.map(([name, value]) => [name, cut(value, length)]));
    if (factsBytes(short) <= maxTrailerBytes / 2) break;
  }
  return short;
}

/** Cuts a violation to that many bytes. What the field does not need of its half, the description may have. */
function fittingViolation({ field, description }: FieldViolation, bytes: number): FieldViolation {
  const ofDescription = Math.max(bytes / 2, bytes - textBytes(field));
  const short = cutTo(description, ofDescription, textBytes);
  return { field: cutTo(field, bytes - textBytes(short), textBytes), description: short };
}

function factsBytes(facts: Readonly<Record<string, string>>): number {
  // A member of a map has three tags and lengths, of up to three bytes each.
  return Object.entries(facts).reduce(
    (sum, [name, value]) => sum + base64Bytes(Buffer.byteLength(name) + Buffer.byteLength(value) + 9),
    0,
  );
}

function violationBytes({ field, description }: FieldViolation): number {
  return base64Bytes(Buffer.byteLength(field) + Buffer.byteLength(description) + 9);
}

function messageBytes(message: string): number {
  // Printable ASCII stays as it is, but for the percent sign; each byte of anything else becomes three.
  const escaped = message.replace(/[ -$&-~]/g, "");
  return message.length - escaped.length + 3 * Buffer.byteLength(escaped) + textBytes(message);
}

/** Bytes of a text within the details. */
function textBytes(text: string): number {
  return base64Bytes(Buffer.byteLength(text));
}

function base64Bytes(bytes: number): number {
  return Math.ceil((bytes * 4) / 3);
}

/** The longest beginning of a text that measures no more than that, with an ellipsis if it is not the whole. */
function cutTo(text: string, bytes: number, measure: (text: string) => number): string {
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (measure(cut(text, middle)) <= bytes) low = middle;
    else high = middle - 1;
  }
  return cut(text, low);
}

/** Cuts a long text, and replaces lone surrogates, which cannot be encoded. */
function cut(text: string, length: number): string {
  return (text.length > length ? `${text.slice(0, Math.max(length - 1, 0))}…` : text).toWellFormed();
}
