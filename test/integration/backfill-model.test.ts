import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject } from "vitest";
import { statusLines } from "../../src/cli/backfill-report.ts";
import { openIntake } from "../../src/cli/intake.ts";
import { openModel } from "../../src/infer/model.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { endBackfills, feedBackfill } from "../../src/store/backfill-feed.ts";
import { addBackfill, changeBackfill, readBackfill } from "../../src/store/backfills.ts";
import { promoteModel, registerModel } from "../../src/store/models.ts";
import { recordOutcomes } from "../../src/store/verdicts.ts";
import { startFeed } from "../../workers/feed.ts";
import { startWorker } from "../../workers/moderate.ts";
import { counts, failed, judged, page, photos, startArchive } from "../backfills.ts";
import { BACKENDS, type Database } from "../fixtures.ts";
import { makeModel } from "../models.ts";
import { promote, test } from "../promoted.ts";
import type { TestS3 } from "../s3.ts";
import { ofAll } from "../verdicts.ts";

const keys = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"];
const log = createLog("silent");
let s3: TestS3;
beforeAll(async () => {
  s3 = await startArchive();
  const photo = readFileSync(join(inject("samples"), "menu-1.jpg"));
  for (const key of keys) await s3.put(key, Buffer.concat([photo, Buffer.from(key)]));
});
afterAll(() => s3.stop());

const decidedBy = async (db: Database) =>
  (await db.pool.query("select decided_by as by, count(*)::int as photos from photos group by 1")).rows;
const lineOf = async (db: Database, id: string) => statusLines((await readBackfill(db.pool, id))!, [])[1];

/** Makes it the active one, for what Postgres knows. */
const active = (db: Database, id: string) =>
  db.pool.query(
    "insert into models (id, sha256, state, registered_by) values ($1, repeat('0', 64), 'active', 'ann')",
    [id],
  );

test("a verdict by a model that is neither a run's nor active settles no photo of it, and a failure does", async ({
  db,
}) => {
  const [one, other, third] = await photos(db, "a", "b", "c");
  await active(db, "m-3");
  const id = await addBackfill(db.pool, ofAll);
  await feedBackfill(db.pool, id, null, page([one!, other!, third!]));
  const fed = { fed: true } as const;
  await recordOutcomes(db.pool, [
    { ...judged(one!, "shown", "model:m-1"), ...fed },
    { ...failed(other!), by: "model:m-1", ...fed },
    { ...judged(third!, "shown", "model:m-3"), ...fed },
  ]);
  expect(await readBackfill(db.pool, id)).toMatchObject({ waiting: 1, judged: 2 });
  expect(await endBackfills(db.pool)).toEqual([]);
  expect(await decidedBy(db)).toContainEqual({ by: null, photos: 1 });
  await recordOutcomes(db.pool, [{ ...judged(one!, "shown", "model:m-2"), ...fed }]);
  expect(await endBackfills(db.pool)).toEqual([id]);
  expect(await counts(db, id)).toEqual([
    ["pending", "shown", "", 2],
    ["pending", "failed", "CORRUPT", 1],
  ]);
});

test("where no model was ever promoted, what workers run is what a run asks for", async ({ db }) => {
  const [one] = await photos(db, "a");
  const id = await addBackfill(db.pool, ofAll);
  await feedBackfill(db.pool, id, null, page([one!]));
  await recordOutcomes(db.pool, [{ ...judged(one!, "shown", "model:m-1"), fed: true }]);
  expect(await endBackfills(db.pool)).toEqual([id]);
});

test("an upload is judged by the model that runs, whatever waits for it; and so is what a cancelled run left", async ({
  db,
}) => {
  const [one] = await photos(db, "a");
  await active(db, "m-2");
  const id = await addBackfill(db.pool, { ...ofAll, propose: true });
  await feedBackfill(db.pool, id, null, page([one!]));
  await recordOutcomes(db.pool, [judged(one!, "shown", "model:m-1")]);
  expect(await decidedBy(db)).toEqual([{ by: "model:m-1", photos: 1 }]);
  expect(await readBackfill(db.pool, id)).toMatchObject({ waiting: 1, judged: 0 });
  await changeBackfill(db.pool, id, "cancelled", "ann", "no need");
  await recordOutcomes(db.pool, [{ ...judged(one!, "hidden", "model:m-3"), fed: true }]);
  expect(await readBackfill(db.pool, id)).toMatchObject({ waiting: 0, judged: 1, undecided: true });
});

test("a run that begins before a worker runs its model waits until one does", async ({
  configFor,
  db,
  models,
  scope,
}) => {
  const before = makeModel(models, "a-1");
  await promote(db, before);
  const ids = await photos(db, ...keys);
  await recordOutcomes(
    db.pool,
    ids.map((id) => judged(id, "shown", "model:a-1")),
  );
  const config = configFor(BACKENDS[0]!, { MAITRED_S3_ENDPOINT: s3.address, MAITRED_MODELS: models });
  const worker = await startWorker(config, log, scope);
  await startFeed(config, log, scope);
  const next = makeModel(models, "b-1", { says: "ambience" });
  await registerModel(db.pool, await openModel(next), "ann");
  // so that the worker takes longer to follow than the feeder would to feed
  rmSync(next, { recursive: true });
  await promoteModel(db.pool, { to: "b-1", from: "a-1", by: "ann", why: "a test", figures: null });
  const id = await addBackfill(db.pool, {
    ...ofAll,
    model: "model:b-1",
    what: { kind: "photos", olderModel: true, upTo: "1000000" },
  });
  await expect
    .poll(() => lineOf(db, id), { timeout: 20_000 })
    .toBe(
      "running, waits for a worker that runs b-1 or the active model, as the one here does not: maitred model list says why",
    );
  expect(await readBackfill(db.pool, id)).toMatchObject({ fed: 0 });
  makeModel(models, "b-1", { says: "ambience" });
  await db.pool.query("select pg_notify('maitred_models', '')");
  await expect.poll(async () => (await readBackfill(db.pool, id))!.state, { timeout: 20_000 }).toBe("done");
  expect(worker.model).toBe("b-1");
  expect(await decidedBy(db)).toEqual([{ by: "model:b-1", photos: keys.length }]);
}, 60_000);

test("what a worker that keeps to another model judges meanwhile is fed again, and a promotion does not hold it up", async ({
  configFor,
  db,
  models,
}) => {
  const scope = new Scope();
  const itsOwn = new Scope();
  try {
    await promote(db, makeModel(models, "a-1"));
    await photos(db, ...keys);
    // else they are queued as uploads too, which any worker judges
    await db.pool.query("delete from unqueued");
    const settings = { MAITRED_S3_ENDPOINT: s3.address, MAITRED_MODELS: models };
    const config = configFor(BACKENDS[0]!, settings);
    const { queues } = openIntake(config, scope, () => {});
    const pinned = configFor(BACKENDS[0]!, { ...settings, MAITRED_MODEL: makeModel(models, "pinned-1") });
    await startWorker(pinned, log, itsOwn);
    // one of which nothing was heard since: else nothing would be fed
    await db.pool.query(
      `insert into model_workers (worker, model, variant, provider, pinned, problem, seen_at)
      values ('gone:1', 'a-1', 'fp32', 'cpu', false, '', now())`,
    );
    const id = await addBackfill(db.pool, { ...ofAll, model: "model:a-1" });
    await startFeed(config, log, scope);
    const run = async () => (await readBackfill(db.pool, id))!;
    await expect.poll(async () => (await run()).waiting, { timeout: 20_000 }).toBe(keys.length);
    const depth = async () => {
      const { waiting, active: taken, delayed } = await queues.depth("backfill");
      return waiting + taken + delayed;
    };
    await expect.poll(depth, { timeout: 20_000 }).toBe(0);
    expect(await run()).toMatchObject({ waiting: keys.length, judged: 0, workers: 2, able: 1 });
    await itsOwn.close();
    await promote(db, makeModel(models, "b-1", { says: "ambience" }));
    await startWorker(config, log, scope);
    await expect.poll(async () => (await run()).state, { timeout: 60_000 }).toBe("done");
    expect(await decidedBy(db)).toEqual([{ by: "model:b-1", photos: keys.length }]);
  } finally {
    await itsOwn.close();
    await scope.close();
  }
}, 120_000);
