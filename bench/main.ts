/**
 * Measures how fast imports are, each as a ratio to a bare COPY of the same rows into the same table in the same run. Single
 * times mean little: machines differ, and one machine differs from hour to hour.
 *
 *     npm run bench -- [items]      default: 500,000
 */
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import Table from "cli-table3";
import { DatasetService } from "../gen/itembank/v1/dataset_service_pb.js";
import { UpsertMode } from "../gen/itembank/v1/upsert_pb.js";
import { UpsertService } from "../gen/itembank/v1/upsert_service_pb.js";
import { copyBare } from "./copy.ts";
import { diffNeighbours } from "./differences.ts";
import { type Imported, importBatches, importOffers } from "./importer.ts";
import { benchRows, changedRows, fewerRows, schemas, sizeOf } from "./rows.ts";
import { startBenchService } from "./service.ts";

const count = Number(process.argv[2] ?? 500_000);
const rows = benchRows(count);
const changed = changedRows(count);
const fewer = fewerRows(count);

const service = await startBenchService();
try {
  const transport = createGrpcTransport({ baseUrl: service.url });
  const client = createClient(UpsertService, transport);
  const datasets = createClient(DatasetService, transport);
  console.log(`${count.toLocaleString("en")} items of ${sizeOf(rows)} bytes\n`);
  // The first import also warms the service up, so it uses a dataset of its own and is not measured.
  await importBatches(client, "warm-up", UpsertMode.MERGE, benchRows(Math.min(count, 50_000)));

  const copies = [await copyBare(service.database, rows)];
  const results: [string, Imported, number][] = [];
  const measure = async (what: string, sent: number, work: () => Promise<Imported>) => {
    results.push([what, await work(), sent]);
  };
  await measure("(a) new dataset, batches", count, () =>
    importBatches(client, "bench", UpsertMode.MERGE, rows),
  );
  await datasets.createDataset({ dataset: { name: "held to schemas", ...schemas } });
  await measure("(a) the same with schemas", count, () =>
    importBatches(client, "held to schemas", UpsertMode.MERGE, rows),
  );
  copies.push(await copyBare(service.database, rows));
  await measure("(b) nothing changed, offers", count, () =>
    importOffers(client, "bench", UpsertMode.MERGE, rows),
  );
  await measure("(c) 1 % changed, offers", count, () =>
    importOffers(client, "bench", UpsertMode.MERGE, changed),
  );
  await measure("(d) mirror, 1 % deleted, offers", fewer.count, () =>
    importOffers(client, "bench", UpsertMode.MIRROR, fewer),
  );
  copies.push(await copyBare(service.database, rows));
  const copySeconds = copies.toSorted((one, other) => one - other)[1] as number;
  const copyRate = count / copySeconds;

  const table = new Table({
    head: ["", "items/s", "of COPY", "seconds", "publish s", "created", "updated", "unchanged", "deleted"],
    style: { head: [], border: [] },
  });
  const figure = (value: number) => Math.round(value).toLocaleString("en");
  table.push(["bare COPY (median of 3)", figure(copyRate), "1.00", copySeconds.toFixed(2)]);
  for (const [what, { seconds, publishSeconds, receipt }, sent] of results) {
    const { counts } = receipt;
    table.push([
      what,
      figure(sent / seconds),
      (sent / seconds / copyRate).toFixed(2),
      seconds.toFixed(2),
      publishSeconds.toFixed(3),
      ...[counts?.created, counts?.updated, counts?.unchanged, counts?.deleted].map((one) =>
        (one ?? 0n).toLocaleString("en"),
      ),
    ]);
  }
  console.log(table.toString());

  const publishing = new Table({
    head: ["(e) items in a first import", "publish s"],
    style: { head: [], border: [] },
  });
  for (const size of [10_000, 100_000, 1_000_000, 2_000_000].filter((one) => one <= 4 * count)) {
    const { publishSeconds } = await importBatches(
      client,
      `publish ${size}`,
      UpsertMode.MERGE,
      benchRows(size),
    );
    publishing.push([size.toLocaleString("en"), publishSeconds.toFixed(4)]);
  }
  console.log(publishing.toString());

  // Autovacuum would summarize the block ranges of the imported rows within a minute or two; this avoids waiting for it.
  await service.database.query("vacuum item_revisions");
  const diffing = new Table({
    head: ["(f) items, of which two versions differ in 5", "diff ms"],
    style: { head: [], border: [] },
  });
  for (const size of [10_000, 100_000, 1_000_000].filter((one) => one <= 4 * count)) {
    const seconds = await diffNeighbours(datasets, client, `publish ${size}`, benchRows(size));
    diffing.push([size.toLocaleString("en"), (seconds * 1000).toFixed(1)]);
  }
  console.log(diffing.toString());
  console.log(`\nThe service had at most ${await service.peakMemory()} MiB resident.`);
} finally {
  await service.close();
}
