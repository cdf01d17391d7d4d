import { jittered } from "../rpc/backoff.ts";
import { sleep } from "../rpc/sleep.ts";

/** The pauses after a rate limit without a `retry-after`: a second is soon enough, and a minute resets most limits. */
const pauses = { initialDelayMs: 1_000, maxDelayMs: 60_000 };

/** Attempts that waited for a pause restart spread over this share of it, over at most a second. */
const spread = 0.1;
const maxSpreadMs = 1_000;

/** The admission of an attempt: the number of pauses before it, and the time, in milliseconds since the epoch. */
export interface Pass {
  readonly pauses: number;
  readonly time: number;
}

/** Admits the attempts at a task, and holds all of them back after one has hit a rate limit. */
export class RateGate {
  readonly #spacingMs: number;
  #nextStart = 0;
  #opensAt = 0;
  #pauseMs = 0;
  #pauses = 0;
  /** Pauses since an attempt last succeeded. */
  #strikes = 0;

  /** @param perMinute the most attempts to start in a minute, evenly spaced; unlimited by default */
  constructor(perMinute?: number) {
    this.#spacingMs = perMinute === undefined ? 0 : 60_000 / perMinute;
  }

  /** The time when attempts may start again, in milliseconds since the epoch. In the past unless there is a pause. */
  get opensAt(): number {
    return this.#opensAt;
  }

  /** Waits until the next attempt may start. @throws the reason of the signal */
  async pass(signal: AbortSignal): Promise<Pass> {
    for (let wait = this.#opensAt - Date.now(); wait > 0; wait = this.#opensAt - Date.now()) {
      await sleep(wait + Math.random() * Math.min(maxSpreadMs, spread * this.#pauseMs), signal);
    }
    if (this.#spacingMs > 0) {
      const start = Math.max(Date.now(), this.#nextStart);
      this.#nextStart = start + this.#spacingMs;
      if (start > Date.now()) await sleep(start - Date.now(), signal);
    }
    signal.throwIfAborted();
    return { pauses: this.#pauses, time: Date.now() };
  }

  /** Reports that an attempt hit a rate limit. Several that started together count as one. */
  pause(pass: Pass, retryAfterMs: number | undefined): void {
    const isNews = pass.pauses === this.#pauses;
    if (isNews) {
      this.#pauses++;
      this.#strikes++;
    } else if (retryAfterMs === undefined) {
      return;
    }
    const pause = retryAfterMs ?? jittered(pauses, this.#strikes);
    if (Date.now() + pause <= this.#opensAt) return;
    this.#pauseMs = pause;
    this.#opensAt = Date.now() + pause;
  }

  /** Reports that an attempt hit none. */
  succeeded(): void {
    this.#strikes = 0;
  }
}

/** A rate limit, and its duration if known. */
export interface RateLimit {
  readonly retryAfterMs: number | undefined;
}

/**
 * Returns the rate limit that an error reports, if it does: status 429, or 503 and 529 with a time to wait, in the error or in
 * its causes, as most clients of HTTP APIs report it.
 */
export function rateLimitOf(error: unknown): RateLimit | undefined {
  let cause = error;
  for (let depth = 0; depth < 5 && isRecord(cause); depth++, cause = cause.cause) {
    const response = isRecord(cause.response) ? cause.response : undefined;
    const status = Number(cause.status ?? cause.statusCode ?? response?.status ?? cause.code);
    const retryAfterMs = retryAfter(cause.headers) ?? retryAfter(response?.headers);
    const named = /^rate_?limit/i.test(`${cause.name ?? ""}`) || /^rate_?limit/i.test(`${cause.code ?? ""}`);
    if (status === 429 || named) return { retryAfterMs };
    if ((status === 503 || status === 529) && retryAfterMs !== undefined) return { retryAfterMs };
  }
  return undefined;
}

/** Returns the time to wait, in milliseconds. `retry-after` is in seconds or a date; `retry-after-ms`, which is finer, wins. */
function retryAfter(headers: unknown): number | undefined {
  if (!isRecord(headers)) return undefined;
  const read = (name: string): unknown =>
    headers instanceof Headers
      ? headers.get(name)
      : (headers[name] ?? headers[name.replace("retry-after", "Retry-After")]);
  const milliseconds = number(read("retry-after-ms"));
  if (milliseconds !== undefined) return milliseconds;
  const value = read("retry-after");
  const seconds = number(value);
  if (seconds !== undefined) return seconds * 1000;
  const date = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function number(value: unknown): number | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  const parsed = Number(value);
  return Number.isFinite(parsed) && parsed >= 0 ? parsed : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
