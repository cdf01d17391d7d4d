import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { type Dataset, DatasetSchema } from "../../../clients/typescript/src/contract.ts";
import { JsonProblem } from "../../json/canonical-json.ts";
import { requireJsonObject } from "../../json/json-object.ts";
import { grouped } from "../../quantities.ts";
import { type Act, newCommand } from "../action.ts";
import { datasetRefOf } from "../address.ts";
import { allPages } from "../all-pages.ts";
import { confirm } from "../confirm.ts";
import type { Cli } from "../context.ts";
import { CommandError } from "../exit-code.ts";
import { int64Json, membersJson } from "../json-output.ts";
import { facts } from "../printing/facts.ts";
import { table } from "../printing/table.ts";
import type { Terminal } from "../printing/terminal.ts";
import { oneLine, plural } from "../printing/text.ts";
import { timeInWords } from "../printing/time.ts";

/** Options that set fields of a dataset. */
interface FieldOptions {
  readonly description?: string;
  readonly table?: string;
  readonly metadata?: string;
  readonly inputSchema?: string;
  readonly expectedSchema?: string;
}

interface DeleteOptions {
  readonly yes?: boolean;
  readonly force?: boolean;
}

/** `itembank datasets`: datasets and their settings, without their items. */
export function datasetsCommand(act: Act): Command {
  const datasets = newCommand("datasets", "list, show, create, rename, update and delete datasets");
  datasets
    .addCommand(
      newCommand("list", "list datasets, newest first", "datasets list --prefix eval-")
        .option("--prefix <text>", "only datasets whose name starts with this")
        .action(act(list)),
    )
    .addCommand(
      newCommand("show", "show one dataset", "datasets show capitals --json")
        .argument("<name>", "name or id of the dataset")
        .action(act(show)),
    )
    .addCommand(
      withFields(
        newCommand(
          "create",
          "create an empty dataset",
          "datasets create capitals --input-schema schema.json",
        ),
      )
        .argument("<name>", "name of the dataset")
        .action(act(create)),
    )
    .addCommand(
      newCommand("rename", "rename a dataset", "datasets rename capitals cities")
        .argument("<name>", "name or id of the dataset")
        .argument("<new-name>", "new name")
        .action(act(rename)),
    )
    .addCommand(
      withFields(
        newCommand(
          "update",
          "change fields of a dataset",
          "datasets update capitals --description 'of Europe'",
        ),
      )
        .argument("<name>", "name or id of the dataset")
        .action(act(update)),
    )
    .addCommand(
      newCommand("delete", "delete a dataset with all its versions", "datasets delete capitals --yes")
        .argument("<name>", "name or id of the dataset")
        .option("--force", "also delete its runs, and ignore locked tags")
        .option("-y, --yes", "do not ask for confirmation")
        .action(act(remove)),
    );
  return datasets;
}

function withFields(command: Command): Command {
  return command
    .option("--description <text>", "purpose of the dataset")
    .option("--table <name>", "name of its table in SQL")
    .option("--metadata <json>", "annotations: a JSON object; an empty string removes them")
    .option(
      "--input-schema <file>",
      "file with the JSON Schema of inputs; an empty string removes the schema",
    )
    .option("--expected-schema <file>", "the same for expected outputs");
}

async function list(cli: Cli, { prefix = "" }: { readonly prefix?: string }): Promise<undefined> {
  const { client, signal, out } = cli;
  const datasets = await Array.fromAsync(
    allPages(
      (page) => client.datasets.listDatasets({ namePrefix: prefix, ...page }, { signal }),
      (page) => page.datasets,
    ),
  );
  await cli.show(DatasetSchema, datasets, () =>
    datasets.length === 0 ? "no datasets yet" : datasetsTable(out, datasets),
  );
}

function datasetsTable(terminal: Terminal, datasets: readonly Dataset[]): string {
  return table(
    terminal,
    [
      { title: "name", align: "left", shrinks: true },
      { title: "version" },
      { title: "items" },
      { title: "updated (UTC)", align: "left" },
      { title: "table", align: "left", shrinks: true },
      { title: "description", align: "left", shrinks: true },
    ],
    datasets.map(({ name, latestVersion, itemCount, updateTime, tableName, description }) => [
      oneLine(name),
      grouped(latestVersion),
      grouped(itemCount),
      timeInWords(updateTime),
      tableName,
      oneLine(description),
    ]),
  );
}

function datasetFacts(terminal: Terminal, dataset: Dataset): string {
  return facts(terminal, [
    ["name", terminal.colors.bold(oneLine(dataset.name))],
    ["id", dataset.datasetId],
    ["table", dataset.tableName],
    ["description", oneLine(dataset.description)],
    ["version", grouped(dataset.latestVersion)],
    ["items", grouped(dataset.itemCount)],
    ["created", timeInWords(dataset.createTime)],
    ["updated", timeInWords(dataset.updateTime)],
    ["metadata", oneLine(dataset.metadataJson)],
    ["input schema", oneLine(dataset.inputSchemaJson)],
    ["expected schema", oneLine(dataset.expectedOutputSchemaJson)],
  ]);
}

async function getDataset({ client, signal }: Cli, name: string): Promise<Dataset> {
  const { dataset } = await client.datasets.getDataset({ dataset: datasetRefOf(name) }, { signal });
  return dataset as Dataset;
}

async function show(cli: Cli, _: object, name: string): Promise<undefined> {
  const dataset = await getDataset(cli, name);
  await cli.showOne(DatasetSchema, dataset, () => datasetFacts(cli.out, dataset));
}

async function create(cli: Cli, options: FieldOptions, name: string): Promise<undefined> {
  const { client, signal } = cli;
  const fields = await fieldsOf(options);
  const { dataset } = await client.datasets.createDataset({ dataset: { name, ...fields } }, { signal });
  await cli.showOne(DatasetSchema, dataset as Dataset, () => datasetFacts(cli.out, dataset as Dataset));
}

async function rename(cli: Cli, _: object, name: string, newName: string): Promise<undefined> {
  await change(cli, name, { name: newName });
}

async function update(cli: Cli, options: FieldOptions, name: string): Promise<undefined> {
  const fields = await fieldsOf(options);
  if (Object.keys(fields).length === 0) {
    throw new CommandError(
      "there is nothing to change",
      "Pass an option, such as --description; --help lists them all.",
    );
  }
  await change(cli, name, fields);
}

type Fields = Partial<
  Pick<
    Dataset,
    "name" | "description" | "tableName" | "metadataJson" | "inputSchemaJson" | "expectedOutputSchemaJson"
  >
>;

const fieldNames: Readonly<Record<keyof Fields, string>> = {
  name: "name",
  description: "description",
  tableName: "table_name",
  metadataJson: "metadata_json",
  inputSchemaJson: "input_schema_json",
  expectedOutputSchemaJson: "expected_output_schema_json",
};

async function change(cli: Cli, name: string, patch: Fields): Promise<void> {
  const paths = (Object.keys(patch) as (keyof Fields)[]).map((field) => fieldNames[field]);
  const { dataset } = await cli.client.datasets.updateDataset(
    { dataset: datasetRefOf(name), patch, updateMask: { paths } },
    { signal: cli.signal },
  );
  await cli.showOne(DatasetSchema, dataset as Dataset, () => datasetFacts(cli.out, dataset as Dataset));
}

async function fieldsOf(options: FieldOptions): Promise<Fields> {
  const { description, table: tableName, metadata, inputSchema, expectedSchema } = options;
  const schema = (file: string) => (file === "" ? "" : readFile(file, "utf8"));
  return {
    ...(description !== undefined && { description }),
    ...(tableName !== undefined && { tableName }),
    ...(metadata !== undefined && { metadataJson: objectText("--metadata", metadata) }),
    ...(inputSchema !== undefined && { inputSchemaJson: await schema(inputSchema) }),
    ...(expectedSchema !== undefined && { expectedOutputSchemaJson: await schema(expectedSchema) }),
  };
}

/** Returns the text of an object as it is spelled, or the empty one. @throws CommandError */
function objectText(option: string, json: string): string {
  try {
    if (json !== "") requireJsonObject(json, "$");
    return json;
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error;
    throw new CommandError(`${option}: ${error.message}`, `Example: ${option} '{"source": "wiki"}'`);
  }
}

async function remove(cli: Cli, { yes, force = false }: DeleteOptions, name: string): Promise<undefined> {
  const { client, signal, talk } = cli;
  const { etag, datasetId, latestVersion, itemCount, name: realName } = await getDataset(cli, name);
  const what = `${plural(itemCount, "item")} in ${plural(latestVersion, "version")}`;
  talk.print(`${JSON.stringify(realName)} has ${what}. Deleting it cannot be undone.`);
  await confirm(cli, `Delete ${JSON.stringify(realName)}?`, yes);
  const { deletedRunCount } = await client.datasets.deleteDataset(
    { dataset: { by: { case: "datasetId", value: datasetId } }, etag, force },
    { signal },
  );
  await cli.write(
    cli.json
      ? membersJson({ dataset_id: JSON.stringify(datasetId), deleted_run_count: int64Json(deletedRunCount) })
      : `deleted ${JSON.stringify(realName)}: ${what}, ${plural(deletedRunCount, "run")}`,
  );
}
