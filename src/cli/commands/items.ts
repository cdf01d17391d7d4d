import type { Command } from "commander";
import {
  ChangeKind,
  type Item,
  ItemRevisionSchema,
  ItemSchema,
  ItemView,
  PurgeItemResponseSchema,
  type Receipt,
  ReceiptSchema,
} from "../../../clients/typescript/src/contract.ts";
import { grouped } from "../../quantities.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetRefOf, versionHelp, versionSelectorOf } from "../address.ts";
import { allPages } from "../all-pages.ts";
import { confirm } from "../confirm.ts";
import type { Cli } from "../context.ts";
import { arrayJson, membersJson, messageJson } from "../json-output.ts";
import { count, names } from "../option-values.ts";
import { facts } from "../printing/facts.ts";
import { table } from "../printing/table.ts";
import type { Terminal } from "../printing/terminal.ts";
import { oneLine, plural } from "../printing/text.ts";
import { timeInWords } from "../printing/time.ts";
import { receiptInWords } from "../receipt-output.ts";

interface ListOptions {
  readonly at?: string;
  readonly split?: string[];
  readonly keys?: boolean;
  readonly limit?: number;
}

interface Consent {
  readonly yes?: boolean;
}

/** Rows of one table: as many as people scroll through. The rest follow in tables of their own. */
const rowsPerTable = 1000;

/** `itembank items`: items of any version, and the history of one. */
export function itemsCommand(act: Act): Command {
  return newCommand("items", "list, get, delete and purge items, and show their history")
    .addCommand(
      newCommand(
        "list",
        "list the items of a version; with --json one per line",
        "items list capitals --at prod --split train",
        "items list capitals --json | jq -r .item_id",
      )
        .argument("<name>", "name or id of the dataset")
        .option("--at <version>", `version to read: ${versionHelp} (default: latest)`)
        .option("--split <names>", "only items in any of these splits, comma-separated", names)
        .option("--keys", "leave out payloads")
        .option("--limit <n>", "list at most this many", count)
        .action(act(list)),
    )
    .addCommand(
      newCommand("get", "show one item", "items get capitals fr --at 1")
        .argument("<name>", "name or id of the dataset")
        .argument("<item-id>", "id of the item")
        .option("--at <version>", `version to read: ${versionHelp} (default: latest)`)
        .action(act(get)),
    )
    .addCommand(
      newCommand("history", "show the history of one item", "items history capitals fr")
        .argument("<name>", "name or id of the dataset")
        .argument("<item-id>", "id of the item")
        .action(act(history)),
    )
    .addCommand(
      newCommand(
        "delete",
        "delete items in a new version; older versions keep them",
        "items delete capitals fr it",
      )
        .argument("<name>", "name or id of the dataset")
        .argument("<item-ids...>", "ids of the items")
        .option("--note <text>", "note to keep with the new version")
        .option("-y, --yes", "do not ask for confirmation")
        .action(act(remove)),
    )
    .addCommand(
      newCommand(
        "purge",
        "erase the content of an item from all versions and results; cannot be undone",
        "items purge capitals fr --yes",
      )
        .argument("<name>", "name or id of the dataset")
        .argument("<item-id>", "id of the item")
        .option("-y, --yes", "do not ask for confirmation")
        .action(act(purge)),
    );
}

async function list(
  cli: Cli,
  { at, split = [], keys = false, limit }: ListOptions,
  name: string,
): Promise<undefined> {
  const { client, signal, out } = cli;
  let version = 0n;
  let total = 0;
  const items = allPages(
    async (page) => {
      const answer = await client.items.listItems(
        {
          dataset: datasetRefOf(name),
          at: versionSelectorOf(at),
          splits: split,
          view: keys ? ItemView.KEYS : ItemView.FULL,
          ...page,
        },
        { signal },
      );
      version = answer.version;
      return answer;
    },
    (page) => page.items,
    limit,
  );
  let waiting: Item[] = [];
  for await (const item of items) {
    total++;
    if (cli.json) {
      await cli.write(messageJson(ItemSchema, item));
      continue;
    }
    waiting.push(item);
    if (waiting.length < rowsPerTable) continue;
    await cli.write(itemsTable(out, waiting, keys));
    waiting = [];
  }
  if (waiting.length > 0) await cli.write(itemsTable(out, waiting, keys));
  cli.talk.print(`${plural(total, "item")} of version ${version}`);
}

function itemsTable(terminal: Terminal, items: readonly Item[], keys: boolean): string {
  return table(
    terminal,
    [
      { title: "item", align: "left", shrinks: true },
      { title: "since" },
      { title: "splits", align: "left", shrinks: true },
      ...(keys
        ? ([{ title: "hash", align: "left" }] as const)
        : ([
            { title: "input", align: "left", shrinks: true },
            { title: "expected output", align: "left", shrinks: true },
          ] as const)),
    ],
    items.map(({ itemId, version, splits, contentHash, inputJson, expectedOutputJson = "", purged }) => [
      oneLine(itemId),
      grouped(version),
      oneLine(splits.join(", ")),
      ...(keys
        ? [Buffer.from(contentHash).toString("hex").slice(0, 12)]
        : [purged ? "(purged)" : oneLine(inputJson), oneLine(expectedOutputJson)]),
    ]),
  );
}

async function get(
  cli: Cli,
  { at }: { readonly at?: string },
  name: string,
  itemId: string,
): Promise<undefined> {
  const { item } = await cli.client.items.getItem(
    { dataset: datasetRefOf(name), itemId, at: versionSelectorOf(at) },
    { signal: cli.signal },
  );
  await cli.showOne(ItemSchema, item as Item, () => itemFacts(cli.out, item as Item));
}

function itemFacts(terminal: Terminal, item: Item): string {
  return facts(terminal, [
    ["item", terminal.colors.bold(oneLine(item.itemId))],
    ["input", item.purged ? "(purged)" : oneLine(item.inputJson)],
    ["expected output", oneLine(item.expectedOutputJson ?? "")],
    ["metadata", oneLine(item.metadataJson)],
    ["splits", oneLine(item.splits.join(", "))],
    ["since version", grouped(item.version)],
    ["created", timeInWords(item.createTime)],
    ["updated", timeInWords(item.updateTime)],
    ["hash", Buffer.from(item.contentHash).toString("hex")],
  ]);
}

async function history(cli: Cli, _: object, name: string, itemId: string): Promise<undefined> {
  const { client, signal, out } = cli;
  const { colors } = out;
  const revisions = await Array.fromAsync(
    allPages(
      (page) => client.items.listItemRevisions({ dataset: datasetRefOf(name), itemId, ...page }, { signal }),
      (page) => page.revisions,
    ),
  );
  const word: Partial<Record<ChangeKind, string>> = {
    [ChangeKind.CREATED]: colors.green("created"),
    [ChangeKind.UPDATED]: colors.yellow("updated"),
    [ChangeKind.DELETED]: colors.red("deleted"),
  };
  await cli.show(ItemRevisionSchema, revisions, () =>
    table(
      out,
      [
        { title: "version" },
        { title: "", align: "left" },
        { title: "when (UTC)", align: "left" },
        { title: "note", align: "left", shrinks: true },
        { title: "input", align: "left", shrinks: true },
        { title: "expected output", align: "left", shrinks: true },
      ],
      revisions.map(({ version, kind, createTime, note, item }) => [
        grouped(version),
        word[kind] ?? "",
        timeInWords(createTime),
        oneLine(note),
        item?.purged ? "(purged)" : oneLine(item?.inputJson ?? ""),
        oneLine(item?.expectedOutputJson ?? ""),
      ]),
    ),
  );
}

async function remove(
  cli: Cli,
  { yes, note = "" }: Consent & { readonly note?: string },
  name: string,
  itemIds: string[],
): Promise<undefined> {
  const { client, signal, talk } = cli;
  const dataset = datasetRefOf(name);
  const { dataset: found } = await client.datasets.getDataset({ dataset }, { signal });
  talk.print(
    `${JSON.stringify(found?.name)} has ${plural(found?.itemCount ?? 0n, "item")}. Older versions keep deleted items.`,
  );
  await confirm(
    cli,
    `Delete ${itemIds.length === 1 ? `item ${itemIds[0]}` : `${itemIds.length} items`}?`,
    yes,
  );
  const { receipt, missingItemIds } = await client.items.batchDeleteItems(
    { dataset, itemIds, note },
    { signal },
  );
  if (cli.json) {
    const missing = arrayJson(missingItemIds.map((id) => JSON.stringify(id)));
    await cli.write(
      membersJson({ receipt: messageJson(ReceiptSchema, receipt as Receipt), missing_item_ids: missing }),
    );
    return;
  }
  await cli.write(receiptInWords(cli, receipt as Receipt));
  if (missingItemIds.length > 0) talk.print(`not found: ${missingItemIds.map(oneLine).join(", ")}`);
}

async function purge(cli: Cli, { yes }: Consent, name: string, itemId: string): Promise<undefined> {
  const { client, signal, talk } = cli;
  const dataset = datasetRefOf(name);
  const { revisions, nextPageToken } = await client.items.listItemRevisions(
    { dataset, itemId, pageSize: 1000 },
    { signal },
  );
  const held = revisions.filter(({ item }) => item !== undefined).length;
  talk.print(
    `item ${oneLine(itemId)} has content in ${nextPageToken ? "more than " : ""}${plural(held, "revision")}, and perhaps in results. Purging erases it permanently.`,
  );
  await confirm(cli, `Purge ${oneLine(itemId)}?`, yes);
  const answer = await client.items.purgeItem({ dataset, itemId }, { signal });
  await cli.showOne(
    PurgeItemResponseSchema,
    answer,
    () => `purged ${plural(answer.revisionCount, "revision")} and ${plural(answer.resultCount, "result")}`,
  );
}
