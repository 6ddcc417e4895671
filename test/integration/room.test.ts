import pg from "pg";
import { expect } from "vitest";
import { requireRoom } from "../../src/store/requirements.ts";
import { rows, test } from "../fixtures.ts";

test("who may write nothing temporary learns nothing of the disk, and who may leaves nothing there", async ({
  db,
}) => {
  await requireRoom(db.pool);
  expect(await rows(db, "select from pg_class where relname = 'room'")).toEqual([]);
  await rows(
    db,
    "do $$ begin execute format('revoke temporary on database %I from public', current_database()); end $$",
  );
  const worker = new pg.Pool({ connectionString: db.url, options: "-c role=maitred_worker" });
  worker.on("error", () => {});
  await expect(worker.query("create temporary table room ()")).rejects.toMatchObject({ code: "42501" });
  await requireRoom(worker);
  await worker.end();
});
