import type { TestProject } from "vitest/node";
import { createTemplate, dropTemplate } from "./template.ts";

/** The PostgreSQL that TEST_DATABASE_URL names. Leaves no databases on it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const template = await createTemplate(process.env.TEST_DATABASE_URL ?? "");
  project.provide("template", template);
  return () => dropTemplate(template);
}
