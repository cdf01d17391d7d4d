import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A real S3 server on this machine, with an empty bucket. */
export interface S3Server {
  readonly endpoint: string;
  readonly bucket: string;
  close(): Promise<void>;
}

/**
 * The binary of versitygw, an S3 server under the Apache license: named by TEST_S3_SERVER or on the PATH. Undefined if
 * there is none; `go install github.com/versity/versitygw/cmd/versitygw@v1.8.0` installs it.
 */
export const s3ServerBinary: string | undefined = [process.env.TEST_S3_SERVER, "versitygw"].find(
  (binary) => binary !== undefined && spawnSync(binary, ["--version"]).status === 0,
);

/** Starts the server, and sets its credentials in the environment of this process. */
export async function startS3Server(): Promise<S3Server> {
  if (s3ServerBinary === undefined) throw new Error("there is no versitygw");
  const directory = await mkdtemp(join(tmpdir(), "itembank-s3-"));
  const bucket = "itembank-test";
  const [buckets, metadata] = [join(directory, "buckets"), join(directory, "metadata")];
  await mkdir(join(buckets, bucket), { recursive: true });
  await mkdir(metadata);
  const port = await freePort();
  process.env.AWS_ACCESS_KEY_ID = "itembank-test";
  process.env.AWS_SECRET_ACCESS_KEY = randomUUID();
  const child = spawn(
    s3ServerBinary,
    ["--port", `127.0.0.1:${port}`, "--quiet", "posix", "--sidecar", metadata, buckets],
    {
      env: {
        PATH: process.env.PATH,
        ROOT_ACCESS_KEY: process.env.AWS_ACCESS_KEY_ID,
        ROOT_SECRET_KEY: process.env.AWS_SECRET_ACCESS_KEY,
      },
      stdio: "ignore",
    },
  );
  await listening(port, child);
  return {
    endpoint: `http://127.0.0.1:${port}`,
    bucket,
    async close() {
      const exited = once(child, "exit");
      if (child.exitCode === null && child.kill()) await exited;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`versitygw ended with ${child.exitCode}`);
    const socket = connect(port, "127.0.0.1");
    const open = await once(socket, "connect").then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await sleep(20);
  }
}
