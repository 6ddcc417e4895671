import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject } from "vitest";
import { openIntake } from "../../src/cli/intake.ts";
import { listFolder } from "../../src/image/folder.ts";
import { openModel } from "../../src/infer/model.ts";
import { createLog } from "../../src/log.ts";
import { packageRoot } from "../../src/package-root.ts";
import type { Lane, PhotoRef } from "../../src/photo.ts";
import {
  promoteModel,
  readWorkers,
  registerModel,
  rollbackModel,
  shadowModel,
} from "../../src/store/models.ts";
import { type RunningWorker, startWorker } from "../../workers/moderate.ts";
import { BACKENDS, type Database } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { makeModel } from "../models.ts";
import { test as base, promote } from "../promoted.ts";

const samples = inject("samples");
const shipped = join(packageRoot(), "models", "restaurant-6");

interface Line {
  worker: RunningWorker;
  /** Copies samples under these names, and waits until each has left the line. */
  judge(names: string[], lane?: Lane): Promise<void>;
}

const test = base.extend<{ start(env?: Record<string, string>): Promise<Line> }>({
  start: async ({ configFor, folder, models, scope }, use) => {
    await use(async (env = {}) => {
      const photosFolder = join(folder, "photos");
      // for no model in particular
      const policy = join(folder, "policy.yaml");
      const yaml = readFileSync(join(packageRoot(), "policy.yaml"), "utf8");
      writeFileSync(policy, yaml.replace(/^model: .*$/m, ""));
      const settings = { MAITRED_FOLDERS: photosFolder, MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" };
      const config = configFor(BACKENDS[0]!, { ...settings, MAITRED_POLICY: policy, ...env });
      const left = new Set<string>();
      let wake = (): void => {};
      const worker = await startWorker(config, createLog("silent"), scope, {
        finished(photo) {
          left.add(photo.key);
          wake();
        },
      });
      const intake = openIntake(config, scope, () => {});
      return {
        worker,
        async judge(names, lane = "live") {
          const sources = readdirSync(samples);
          mkdirSync(photosFolder, { recursive: true });
          for (const [n, name] of names.entries())
            copyFileSync(join(samples, sources[n % sources.length]!), join(photosFolder, name));
          const photos: PhotoRef[] = [];
          for await (const page of listFolder(photosFolder)) photos.push(...page);
          const all = new Promise<void>((resolve) => {
            wake = () => {
              if (names.every((name) => left.has(name))) resolve();
            };
          });
          await intake.take(
            photos.filter(({ key }) => names.includes(key)),
            lane,
          );
          await all;
        },
      };
    });
  },
});

const problems = async (db: Database): Promise<string[]> =>
  (await readWorkers(db.pool)).map(({ problem }) => problem);

const judgedBy = async (db: Database): Promise<Record<string, unknown>[]> =>
  (
    await db.pool.query(
      "select decided_by, category, count(*)::int as photos from photos group by 1, 2 order by 1, 2",
    )
  ).rows;

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix}${n}.jpg`);

describe("a worker", () => {
  test("follows the active model without a restart, also one of another side, and back", async ({
    start,
    models,
    db,
  }) => {
    await promote(db, makeModel(models, "a-1", { says: "food", side: 64 }));
    const next = makeModel(models, "b-1", { says: "ambience", side: 96 });
    const { worker, judge } = await start();
    expect(worker.model).toBe("a-1");
    // photos are on their way while the model changes
    const first = judge(names("first", 60));
    await promote(db, next);
    await first;
    await expect.poll(() => worker.model, { timeout: 20_000 }).toBe("b-1");
    await judge(names("second", 12));
    const between = await judgedBy(db);
    expect(between.reduce((sum, row) => sum + Number(row["photos"]), 0)).toBe(72);
    // each by the model that signed it, whole
    for (const row of between)
      expect(row["category"]).toBe(row["decided_by"] === "model:a-1" ? "food" : "ambience");
    expect(await rollbackModel(db.pool, { from: "b-1", by: "bob", why: "too many rooms" })).toBe("a-1");
    await expect.poll(() => worker.model, { timeout: 20_000 }).toBe("a-1");
    await judge(names("third", 12));
    const { rows } = await db.pool.query("select distinct decided_by from photos where key like 'third%'");
    expect(rows).toEqual([{ decided_by: "model:a-1" }]);
    const { rows: history } = await db.pool.query(
      "select kind, from_model, to_model, by, why from promotions order by id",
    );
    expect(history).toEqual([
      { kind: "promote", from_model: null, to_model: "a-1", by: "ann", why: "a test" },
      { kind: "promote", from_model: "a-1", to_model: "b-1", by: "ann", why: "a test" },
      { kind: "rollback", from_model: "b-1", to_model: "a-1", by: "bob", why: "too many rooms" },
    ]);
    await expect(db.pool.query("delete from promotions")).rejects.toMatchObject({ code: "MD409" });
  });

  test("goes from the model that ships to a row, and says so in its metrics", async ({
    start,
    models,
    db,
  }) => {
    const { worker, judge } = await start();
    expect(worker.model).toBe("restaurant-6");
    await judge(names("real", 4));
    await promote(db, makeModel(models, "b-1", { says: "ambience" }));
    await expect.poll(() => worker.model, { timeout: 20_000 }).toBe("b-1");
    await judge(names("next", 2));
    expect((await judgedBy(db)).map((row) => row["decided_by"])).toContain("model:restaurant-6");
    const metrics = await (await fetch(`${worker.url}/metrics`)).text();
    expect(metrics).toContain('maitred_model_info{model="b-1",variant="fp32",provider="cpu"} 1');
    expect(metrics).not.toContain('model="restaurant-6"');
  });

  test.for([
    [
      "whose folder is missing",
      /there is no such folder/,
      (folder: string) => rmSync(folder, { recursive: true }),
    ],
    [
      "whose hash differs",
      /expected sha256/,
      (folder: string) => writeFileSync(join(folder, "model.onnx"), "x"),
    ],
    [
      "that another model.json describes",
      /as it was registered/,
      (folder: string) => {
        const path = join(folder, "model.json");
        writeFileSync(path, `${readFileSync(path, "utf8")}\n`);
      },
    ],
  ] as const)(
    "keeps the model it has when one is promoted %s, and says why",
    async ([, why, spoil], { start, models, db }) => {
      await promote(db, makeModel(models, "a-1"));
      const made = { says: "ambience" };
      const next = makeModel(models, "b-1", made);
      const { worker, judge } = await start();
      const model = await openModel(next);
      await registerModel(db.pool, model, "ann");
      spoil(next);
      await promoteModel(db.pool, { to: "b-1", from: "a-1", by: "ann", why: "a test", figures: null });
      await expect.poll(() => problems(db), { timeout: 20_000 }).toEqual([expect.stringMatching(why)]);
      await judge(names("old", 2));
      expect(await judgedBy(db)).toEqual([{ decided_by: "model:a-1", category: "food", photos: 2 }]);
      expect(await (await fetch(`${worker.url}/metrics`)).text()).toContain("maitred_model_problem 1");
      const list = await ended(["model", "list"], { DATABASE_URL: db.url, MAITRED_MODELS: models });
      expect(list.code).toBe(1);
      expect(list.out).toMatch(/\* +b-1 +active/);
      expect(list.out).toMatch(why);
      expect(list.out).toMatch(/:\d+ +a-1 fp32 +cpu/);

      makeModel(models, "b-1", made);
      await db.pool.query("select pg_notify('maitred_models', '')");
      await expect.poll(() => worker.model, { timeout: 20_000 }).toBe("b-1");
      await expect.poll(() => problems(db), { timeout: 20_000 }).toEqual([""]);
    },
  );

  test("keeps the model it has when the policy does not know the categories of the next", async ({
    start,
    models,
    db,
  }) => {
    await promote(db, makeModel(models, "a-1"));
    const { worker } = await start();
    await promote(db, makeModel(models, "b-1", { categories: ["food", "ambience", "pets", "other"] }));
    await expect.poll(() => problems(db), { timeout: 20_000 }).toEqual([expect.stringContaining("pets")]);
    expect(worker.model).toBe("a-1");
  });

  test("says so while the policy has the thresholds of another model", async ({ start, models, db }) => {
    const { worker } = await start({ MAITRED_POLICY: "" });
    await expect.poll(() => problems(db), { timeout: 20_000 }).toEqual([""]);
    await promote(db, makeModel(models, "a-1"));
    const unfit = expect.stringContaining("the thresholds of restaurant-6, not of a-1");
    await expect.poll(() => problems(db), { timeout: 20_000 }).toEqual([unfit]);
    expect(worker.model).toBe("a-1");
    expect(await (await fetch(`${worker.url}/metrics`)).text()).toContain("maitred_model_problem 1");
    await promote(db, shipped);
    await expect.poll(() => problems(db), { timeout: 20_000 }).toEqual([""]);
    expect(await (await fetch(`${worker.url}/metrics`)).text()).toContain("maitred_model_problem 0");
  });

  test("keeps to MAITRED_MODEL, whichever is active", async ({ start, models, db }) => {
    const pinned = makeModel(models, "a-1");
    const { worker } = await start({ MAITRED_MODEL: pinned });
    await promote(db, makeModel(models, "b-1", { says: "ambience" }));
    await expect
      .poll(() => readWorkers(db.pool), { timeout: 20_000 })
      .toMatchObject([{ model: "a-1", pinned: true, problem: "" }]);
    expect(worker.model).toBe("a-1");
  });

  test("does not start when the active model cannot be opened", async ({ start, models, db }) => {
    const folder = makeModel(models, "a-1");
    await promote(db, folder);
    rmSync(folder, { recursive: true });
    await expect(start()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});

describe("a shadow", () => {
  test("judges its share of the live photos, changes no verdict, and is compared", async ({
    start,
    models,
    db,
  }) => {
    await promote(db, makeModel(models, "a-1", { says: "food", side: 64 }));
    const folder = makeModel(models, "b-1", { says: "menu", human: 0.81, side: 96 });
    const env = { DATABASE_URL: db.url, MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" };
    const { worker, judge } = await start();
    const begin = await ended(["model", "shadow", "b-1", "--share", "1"], env);
    expect(begin.code, begin.err).toBe(0);
    const metrics = async () => (await fetch(`${worker.url}/metrics`)).text();
    const shadowed = async () => (await db.pool.query("select from shadow_scores")).rowCount;
    // photos until it judges: when it is warm is its own business
    let round = 0;
    await expect
      .poll(
        async () => {
          await judge([`live${round++}.jpg`]);
          return shadowed();
        },
        { timeout: 20_000 },
      )
      .toBeGreaterThan(0);
    await judge(names("archive", 4), "backfill");
    await judge(["last.jpg"]);
    const keys = async (): Promise<string[]> =>
      (await db.pool.query("select key from shadow_scores join photos on id = photo_id")).rows.map(
        (row) => row.key,
      );
    // it works in order, so that what is older than the last is there too
    await expect.poll(keys, { timeout: 20_000 }).toContain("last.jpg");
    expect((await keys()).filter((key) => key.startsWith("archive"))).toEqual([]);
    const seen = (await shadowed())!;
    expect(await judgedBy(db)).toEqual([{ decided_by: "model:a-1", category: "food", photos: round + 5 }]);
    expect((await db.pool.query("select from verdicts")).rowCount).toBe(round + 5);
    expect(await metrics()).toContain(`maitred_shadow_photos_total{outcome="judged"} ${seen}`);

    const compare = await ended(["model", "compare", "--json", "--most", "3"], env);
    expect(compare.code, compare.err).toBe(0);
    const comparison = JSON.parse(compare.out);
    expect(comparison).toMatchObject({
      shadow: "b-1",
      beside: "a-1",
      photos: seen,
      verdicts: [{ beside: "shown", shadow: "hidden", photos: seen }],
      categories: [{ beside: "food", shadow: "menu", photos: seen }],
    });
    const mean = Object.fromEntries(
      comparison.differences.map(({ score, mean }: { score: string; mean: number }) => [score, mean]),
    );
    expect(mean).toMatchObject({ human: expect.closeTo(0.8, 3), food: expect.closeTo(0.9733, 3), other: 0 });
    expect(comparison.most[0]).toMatchObject({ verdict: "hidden", besideVerdict: "shown" });
    const words = await ended(["model", "compare"], env);
    expect(words.code, words.err).toBe(0);
    expect(words.out).toMatch(/shown -> hidden +food -> menu +0.01 -> 0.81/);

    // promoted, it is a shadow no more, and judges
    await promote(db, folder);
    await expect.poll(() => worker.model, { timeout: 20_000 }).toBe("b-1");
    await judge(["after.jpg"]);
    const { rows } = await db.pool.query("select decided_by, state from photos where key = 'after.jpg'");
    expect(rows).toEqual([{ decided_by: "model:b-1", state: "hidden" }]);
    expect(await shadowed()).toBe(seen);
    await expect(shadowModel(db.pool, "b-1", 0.5)).rejects.toThrow("is the active model");
  });
});
