import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** An event that a worker reports. Times are microseconds since 1970 by the clock of the database. */
export type WorkerEvent =
  | {
      readonly kind: "leased";
      readonly cell: string;
      readonly leaseId: string;
      readonly attempt: number;
      /** When it was leased, or its lease renewed for a worker that rejoined. */
      readonly leased: number;
    }
  | {
      readonly kind: "acknowledged";
      readonly cell: string;
      readonly outcome: string;
      /** Empty for an error. */
      readonly output: string;
    }
  | { readonly kind: "broken" }
  | { readonly kind: "finished" };

/** A worker in a process of its own, which can be killed. */
export interface WorkerProcess {
  readonly workerId: string;
  /** Kills the process. Resolves once it has exited. */
  kill(): Promise<void>;
  /** Resolves once the process has ended by itself. Rejects if it failed or was killed. */
  end(): Promise<void>;
}

export interface WorkerOptions {
  /** `127.0.0.1:…` */
  readonly address: string;
  readonly runId: string;
  readonly workerId: string;
  readonly capacity: number;
  readonly leaseMilliseconds: number;
}

const program = new URL("./worker-program.ts", import.meta.url).pathname;

/** Starts a worker. */
export function startWorkerProcess(
  { address, runId, workerId, capacity, leaseMilliseconds }: WorkerOptions,
  onEvent: (event: WorkerEvent) => void,
): WorkerProcess {
  const child = spawn(
    process.execPath,
    [program, address, runId, workerId, String(capacity), String(leaseMilliseconds)],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let log = "";
  child.stderr.on("data", (chunk) => {
    log += chunk;
  });
  // The last line of a killed process may be incomplete.
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.endsWith("}")) onEvent(JSON.parse(line));
  });
  const closed = once(child, "close");
  return {
    workerId,
    async kill() {
      child.kill("SIGKILL");
      await closed;
    },
    async end() {
      const [code] = await closed;
      if (code !== 0) throw new Error(`worker ${workerId} ended with ${code}: ${log}`);
    },
  };
}
