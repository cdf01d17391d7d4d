import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UploadService } from "../../gen/itembank/v1/upload_service_pb.js";
import { refusalOf, refused } from "../support/refusal.ts";
import { send } from "../uploads/sending.ts";
import { named, type QueryServiceUnderTest, startQueryService } from "./query-service.ts";

let service: QueryServiceUnderTest;

beforeAll(async () => {
  service = await startQueryService();
});

afterAll(() => service.close());

/** Sends a file, and then makes a dataset of it. */
async function upload(name: string, filename: string, content: string): Promise<string> {
  const uploads = service.service.client(UploadService);
  const { uploadId } = await send(uploads, content, { filename });
  const { receipt } = await uploads.applyUpload({
    source: { case: "uploadId", value: uploadId },
    dataset: named(name),
    options: { createIfMissing: true },
  });
  return receipt?.datasetId ?? "";
}

/** The purpose of the service, starting from the file of a person who has never heard of items. */
describe("a file that was uploaded", () => {
  let inventory = "";

  test("answers SQL over its columns", async () => {
    inventory = await upload(
      "Product Inventory",
      "inventory.csv",
      "product,price,quantity\nWidget,9.99,100\nGadget,24.50,50\n",
    );
    const answer = await service.query(
      "select product, price * quantity as total from datasets.product_inventory",
    );
    expect(answer.columns).toEqual(["product VARCHAR", "total DOUBLE"]);
    expect(answer.rows).toEqual([
      ["Widget", 999],
      ["Gadget", 1225],
    ]);
  });

  test("is grouped and summed", async () => {
    await upload(
      "Q1 Sales Report",
      "sales.csv",
      "region,amount,product\nnorth,100,Widget\nsouth,250,Gadget\nnorth,50,Gadget\n",
    );
    expect(
      await service.rows(
        "select region, sum(amount) as total from datasets.q1_sales_report group by region order by region",
      ),
    ).toEqual([
      ["north", 150],
      ["south", 250],
    ]);
  });

  test("is joined with another", async () => {
    expect(
      await service.rows(
        `select s.region, sum(s.amount * i.price) as worth
         from datasets.q1_sales_report s join datasets.product_inventory i on s.product = i.product
         group by s.region order by s.region`,
      ),
    ).toEqual([
      ["north", 100 * 9.99 + 50 * 24.5],
      ["south", 250 * 24.5],
    ]);
  });

  test("is found under its new name after a rename", async () => {
    await service.datasets.updateDataset({
      dataset: { by: { case: "datasetId", value: inventory } },
      patch: { tableName: "stock" },
      updateMask: { paths: ["table_name"] },
    });
    expect(await service.rows("select count(*) from datasets.stock")).toEqual([[2]]);
    expect(
      await refusalOf(service.queries.query({ sql: "select * from datasets.product_inventory" })),
    ).toEqual(refused("NotFound", "TABLE_NOT_FOUND", { table: "datasets.product_inventory" }));
  });

  test("may be JSONL", async () => {
    await upload(
      "People",
      "people.jsonl",
      '{"name":"Ada","age":36}\n{"name":"Ben","age":26}\n{"name":"Cyd","age":27}\n',
    );
    expect(await service.rows("select name, age from datasets.people where age > 26 order by age")).toEqual([
      ["Cyd", 27],
      ["Ada", 36],
    ]);
  });

  test("that was never uploaded is missing, and the error names the existing ones", async () => {
    const refusal = await refusalOf(service.queries.query({ sql: "select * from datasets.nope" }));
    expect(refusal).toEqual(
      refused("NotFound", "TABLE_NOT_FOUND", {
        table: "datasets.nope",
        tables: "datasets.people, datasets.q1_sales_report, datasets.stock",
      }),
    );
  });

  test("keeps leading zeros, dates and long numbers as they are in the file", async () => {
    await upload("codes", "codes.csv", "code,day,big,nothing\n007,2024-01-31,12345678901234567890,null\n");
    const answer = await service.query("select code, day, big, nothing from datasets.codes");
    expect(answer.columns).toEqual(["code VARCHAR", "day VARCHAR", "big VARCHAR", "nothing VARCHAR"]);
    expect(answer.rows).toEqual([["007", "2024-01-31", "12345678901234567890", "null"]]);
    expect(await service.rows("select day::date + 1 from datasets.codes")).toEqual([["2024-02-01"]]);
  });

  test("keeps its first version when it is corrected", async () => {
    const csv = (price: string) => `product,price\nWidget,${price}\n`;
    await upload("Prices", "prices.csv", csv("1"));
    await upload("Prices", "prices.csv", csv("2"));
    expect(await service.rows('select sum(price) from datasets."prices@1"')).toEqual([[1]]);
    expect(await service.rows("select sum(price) from datasets.prices")).toEqual([[3]]);
  });
});
