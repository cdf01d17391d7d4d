import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health } from "../gen/health/v1/health_pb.js";
import type { Resources } from "./api/resources.ts";
import type { BlobStore } from "./blobs/blob-store.ts";
import { openBlobs } from "./blobs/open-blobs.ts";
import { openScratch } from "./blobs/scratch.ts";
import { newExpiredChangesetSweeper } from "./changesets/expired-changeset-sweeper.ts";
import type { Config, ListenAddress } from "./config.ts";
import { type EmbeddedDatabase, startEmbeddedDatabase } from "./db/embedded.ts";
import { KeyedMutex } from "./db/keyed-mutex.ts";
import { migrate } from "./db/migrate.ts";
import { PeriodicSweeper, type Sweeper } from "./db/periodic-sweeper.ts";
import { newPool, type Pool } from "./db/pool.ts";
import { EnginePool } from "./engine/engine-pool.ts";
import { failure } from "./failure.ts";
import { limits } from "./limits.ts";
import type { Logger } from "./log.ts";
import { SnapshotCache } from "./query/snapshot-cache.ts";
import { newSnapshotSweeper } from "./query/snapshot-sweeper.ts";
import { routes, services } from "./routes.ts";
import { allowOrigins } from "./rpc/cors.ts";
import { readableErrorMessages } from "./rpc/error-message.ts";
import { newHealth } from "./rpc/health.ts";
import { callInterceptor, notReadyInterceptor } from "./rpc/interceptors.ts";
import { listen, type RequestHandler } from "./rpc/listener.ts";
import { loadPageTokens } from "./rpc/page-token.ts";
import { reflectionRoutes } from "./rpc/reflection.ts";
import { newDeletedRunSweeper } from "./runs/deleted-run-sweeper.ts";
import { newOrphanedBlobSweeper, newUploadSweeper } from "./uploads/upload-sweeper.ts";
import { newBlockRangeSweeper } from "./versions/block-range-sweeper.ts";

/** The service, ready for calls. */
export interface Server {
  readonly address: ListenAddress;
  /** Which database it uses, without credentials: `embedded PostgreSQL 18 in .itembank`. */
  readonly databaseDescription: string;
  readonly resources: Resources;
  /**
   * Stops the service and gives back all it holds, within about five seconds, a busy embedded database aside: health turns NOT_SERVING, new calls and
   * open streams end with SHUTTING_DOWN, unary calls may finish. A second call waits for the first.
   */
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly config: Config;
  readonly log: Logger;
  /** Called once the port is open, before the database is ready. Health answers NOT_SERVING then, all else UNAVAILABLE. */
  readonly onListening?: (address: ListenAddress) => void;
}

/**
 * How long calls may take to finish when the service stops. Most need milliseconds; whoever stops a service waits ten
 * seconds at least before killing it, and the database has to stop within them, too.
 */
const graceMilliseconds = 2_500;

/** How long connections get to say goodbye. The calls on them are over. */
const closeMilliseconds = 500;

/** How long to wait for statements that still run; stopping the embedded database ends them. */
const poolMilliseconds = 1_000;

/**
 * How long the embedded database gets. Mostly it needs a tenth of a second; after large imports it has buffers to write first,
 * and what is not written then is recovered from its log on the next start.
 */
const databaseMilliseconds = 10_000;

/**
 * Starts the service: opens the port, then the database, which is brought up to date, and then takes calls.
 *
 * @throws Error if any of that fails. Nothing is left open then.
 */
export async function startServer({ config, log, onListening }: ServerOptions): Promise<Server> {
  const stopping = new AbortController();
  const told = [...services, Health];
  const health = newHealth(told.map((service) => service.typeName));
  const reflection = reflectionRoutes(told);
  const handlerOptions = {
    readMaxBytes: limits.maxMessageBytes,
    writeMaxBytes: limits.maxMessageBytes,
    // Without a limit of its own Connect compresses whatever is above 1 KiB. No message is above this one.
    compressMinBytes: config.compress ? 1024 : limits.maxMessageBytes,
    shutdownSignal: stopping.signal,
  };
  const calls = callInterceptor(log, stopping.signal);
  let handle: RequestHandler = connectNodeAdapter({
    ...handlerOptions,
    interceptors: [calls, notReadyInterceptor],
    routes: (router) => {
      health.routes(router);
      reflection(router);
      for (const service of services) router.service(service, {});
    },
  });

  const listener = await listen(
    config.listen,
    allowOrigins(config.allowedOrigins, (request, response) =>
      handle(request, readableErrorMessages(response)),
    ),
  );
  onListening?.(listener.address);
  let database: Database | undefined;
  let blobs: BlobStore | undefined;
  let engines: EnginePool | undefined;
  try {
    database = await openDatabase(config, log);
    const { pool } = database;
    const scratch = await openScratch(join(config.dataDir, "scratch"));
    blobs = await openBlobs(config.blobs, scratch);
    // Most calls need no files, so the service starts without them. Whoever runs it is to know at once, though.
    blobs.check().catch((error: unknown) => log.warn({ err: error }, "the storage of files does not answer"));
    engines = new EnginePool({
      processes: config.queryProcesses,
      memoryBytes: config.queryMemoryBytes,
      threads: config.queryThreads,
      log,
    });
    const newPeriodicSweeper = (sweeper: Sweeper) =>
      new PeriodicSweeper(sweeper, { log, stopping: stopping.signal });
    const deletedRunSweeper = newPeriodicSweeper(newDeletedRunSweeper(pool));
    const resources: Resources = {
      pool,
      mutex: new KeyedMutex(),
      log,
      pageTokens: await loadPageTokens(pool),
      importTtlSeconds: config.importTtlSeconds,
      heartbeatSeconds: config.heartbeatSeconds,
      minLeaseSeconds: config.minLeaseSeconds,
      deletedRunSweeper,
      blobs,
      scratch,
      maxUploadBytes: config.maxUploadBytes,
      uploadTtlSeconds: config.uploadTtlSeconds,
      engines,
      snapshots: new SnapshotCache({ pool, blobs, scratch, engines, log, maxBytes: config.snapshotBytes }),
      maxQueryRows: config.maxQueryRows,
      maxQueryTimeoutSeconds: config.maxQueryTimeoutSeconds,
      stopping: stopping.signal,
    };
    handle = connectNodeAdapter({
      ...handlerOptions,
      interceptors: [calls],
      routes: (router) => {
        health.routes(router);
        reflection(router);
        routes(resources)(router);
      },
    });
    const sweepers = [
      newPeriodicSweeper(newExpiredChangesetSweeper(pool)),
      newPeriodicSweeper(newSnapshotSweeper(resources)),
      deletedRunSweeper,
      newPeriodicSweeper(newUploadSweeper(resources)),
      newPeriodicSweeper(newOrphanedBlobSweeper(resources)),
      newPeriodicSweeper(newBlockRangeSweeper(pool)),
    ];
    for (const sweeper of sweepers) sweeper.sweepSoon();
    health.setServing(true);

    const { close, description } = database;
    const files = blobs;
    const { snapshots } = resources;
    const processes = engines;
    let stopped: Promise<void> | undefined;
    const stop = async () => {
      health.setServing(false);
      stopping.abort(failure("SHUTTING_DOWN", {}));
      await listener.idle(graceMilliseconds);
      await Promise.all([listener.close(closeMilliseconds), processes.close()]);
      await snapshots.close();
      await Promise.all([close(), files.close(), scratch.remove()]);
    };
    return {
      address: listener.address,
      databaseDescription: description,
      resources,
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    stopping.abort(failure("SHUTTING_DOWN", {}));
    await Promise.all([
      listener.close(closeMilliseconds),
      database?.close(),
      blobs?.close(),
      engines?.close(),
    ]);
    throw error;
  }
}

interface Database {
  readonly pool: Pool;
  readonly description: string;
  close(): Promise<void>;
}

/** Opens the database that the configuration names, or the embedded one, and migrates it. */
async function openDatabase(config: Config, log: Logger): Promise<Database> {
  const embedded: EmbeddedDatabase | undefined =
    config.databaseUrl === undefined ? await startEmbeddedDatabase(config.dataDir, log) : undefined;
  const url = config.databaseUrl ?? embedded?.url ?? "";
  const pool = newPool({ url, connections: config.databaseConnections, log });
  const close = async () => {
    // Waits for connections in use; a statement that never ends must not keep the service from stopping.
    await atMost(poolMilliseconds, pool.end());
    if (embedded !== undefined) await atMost(databaseMilliseconds, embedded.stop());
  };
  try {
    for (const name of await migrate(pool)) log.info({ migration: name }, "migrated the database");
    return { pool, description: await describe(pool, config), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Waits for `work`, but no longer than that. */
async function atMost(milliseconds: number, work: Promise<void>): Promise<void> {
  const over = new AbortController();
  await Promise.race([
    work.finally(() => over.abort()),
    // Rejects when the work is done first, which the race has then decided.
    sleep(milliseconds, undefined, over).catch(() => undefined),
  ]);
}

async function describe(pool: Pool, { databaseUrl, dataDir }: Config): Promise<string> {
  const { rows } = await pool.query<{ server_version: string }>("show server_version");
  const release = /^\d+/.exec(rows[0]?.server_version ?? "")?.[0] ?? "";
  if (databaseUrl === undefined) return `embedded PostgreSQL ${release} in ${dataDir}`;
  const { host, pathname } = new URL(databaseUrl);
  return `PostgreSQL ${release} at ${host}${decodeURIComponent(pathname)}`;
}
