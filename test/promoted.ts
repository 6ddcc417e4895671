import { join } from "node:path";
import { openModel } from "../src/infer/model.ts";
import { promoteModel, registerModel } from "../src/store/models.ts";
import { test as base, type Database } from "./fixtures.ts";

/** With a folder for models, which is empty. */
export const test = base.extend<{ models: string }>({
  models: async ({ folder }, use) => use(join(folder, "models")),
});

/** As `maitred model promote --force` does, without its process. */
export async function promote(db: Database, folder: string): Promise<void> {
  const model = await openModel(folder);
  await registerModel(db.pool, model, "ann");
  const { rows } = await db.pool.query("select id from models where state = 'active'");
  await promoteModel(db.pool, {
    to: model.id,
    from: rows[0]?.id ?? null,
    by: "ann",
    why: "a test",
    figures: null,
  });
}
