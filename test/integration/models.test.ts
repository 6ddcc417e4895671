import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect } from "vitest";
import { readConfig } from "../../src/config.ts";
import { openModelById } from "../../src/infer/folders.ts";
import { openModel } from "../../src/infer/model.ts";
import type { Weight } from "../../src/moderate/line.ts";
import { createPriorityLimiter } from "../../src/moderate/priority-limiter.ts";
import type { Decision } from "../../src/photo.ts";
import {
  promoteModel,
  readModels,
  readWorkers,
  registerModel,
  reportWorker,
  rollbackModel,
} from "../../src/store/models.ts";
import { connect } from "../../src/store/pool.ts";
import { recordShadowScores } from "../../src/store/shadow.ts";
import { openJudge } from "../../src/wiring/judge.ts";
import { grid, heicOf, heif, type Item, itemOf, refers } from "../heif.ts";
import { ended } from "../maitred.ts";
import { CATEGORIES, graphThatSays, makeModel } from "../models.ts";
import { promote, test } from "../promoted.ts";

describe("variants", () => {
  const files = {
    "model.onnx": graphThatSays({ says: "food" }),
    "model.int8.onnx": graphThatSays({ says: "menu" }),
    "model.fp16.onnx": graphThatSays({ says: "other" }),
  };

  test("each provider gets its own, and model.onnx where none is named", async ({ models }) => {
    const both = makeModel(models, "v-1", {
      files,
      variants: { cpu: "model.int8.onnx", cuda: "model.fp16.onnx" },
    });
    expect((await openModel(both)).graphs).toMatchObject({
      cpu: { variant: "int8" },
      cuda: { variant: "fp16" },
    });
    const one = makeModel(models, "v-2", { files, variants: { cuda: "model.fp16.onnx" } });
    expect((await openModel(one)).graphs).toMatchObject({
      cpu: { variant: "fp32" },
      cuda: { variant: "fp16" },
    });
    expect((await openModel(one, "int8")).graphs).toMatchObject({
      cpu: { variant: "int8" },
      cuda: { variant: "int8" },
    });
    await expect(openModel(one, "int4")).rejects.toThrow(/no variant int4, only fp32, int8, fp16/);
  });

  test("a hash that differs in any variant refuses the model, whichever runs", async ({ models }) => {
    const folder = makeModel(models, "v-1", { files, variants: { cpu: "model.int8.onnx" } });
    writeFileSync(join(folder, "model.fp16.onnx"), graphThatSays({ says: "food" }));
    await expect(openModel(folder)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("weights beside the graph refuse the model, as a graph is opened without its folder", async ({
    models,
  }) => {
    const folder = makeModel(models, "v-1", { files: { ...files, "model.onnx.data": Buffer.alloc(8) } });
    await expect(openModel(folder)).rejects.toThrow(
      "got model.onnx.data: weights must be in the graph itself",
    );
  });

  test("a variant that is not among the files refuses the model", async ({ models }) => {
    const folder = makeModel(models, "v-1", { variants: { cpu: "model.int8.onnx" } });
    await expect(openModel(folder)).rejects.toThrow("files: expected model.int8.onnx");
  });

  test("the one of the provider that really runs is run", async ({ models }) => {
    const variants = { cpu: "model.int8.onnx", cuda: "model.fp16.onnx" };
    const folder = makeModel(models, "v-1", { files, variants });
    const runs = async (env: Record<string, string>) => {
      const judge = await openJudge(readConfig({ MAITRED_MODEL: folder, ...env }));
      try {
        const { provider, variant } = await judge.inference.ready();
        const [scores] = await judge.inference.run([new Uint8Array(64 * 64 * 3)]);
        const says = CATEGORIES.find((name) => scores!.categories[name]! > 0.5);
        return { provider, variant, says };
      } finally {
        await judge.close();
      }
    };
    const cpu = { provider: "cpu", variant: "int8", says: "menu" };
    expect(await runs({ MAITRED_PROVIDER: "cpu" })).toEqual(cpu);
    // CUDA is asked first, and does not run on most machines
    const auto = await runs({});
    expect(auto).toEqual(
      auto.provider === "cpu" ? cpu : { provider: "cuda", variant: "fp16", says: "other" },
    );
    const forced = await runs({ MAITRED_PROVIDER: "cpu", MAITRED_VARIANT: "fp32" });
    expect(forced).toEqual({ provider: "cpu", variant: "fp32", says: "food" });
  });
});

test("a graph that was replaced after its hash was checked is not opened, as verdicts would be signed for another", async ({
  models,
}) => {
  const model = await openModel(makeModel(models, "a-1", { says: "food" }));
  writeFileSync(model.graphs.cpu.file, graphThatSays({ says: "menu" }));
  const judge = await openJudge(readConfig({ MAITRED_PROVIDER: "cpu" }), model);
  await expect(judge.inference.ready()).rejects.toMatchObject({
    name: "ConfigError",
    message: expect.stringContaining(`expected sha256 ${model.graphs.cpu.sha256}`),
  });
  await judge.close();
});

test("a folder of another name than its model is refused, as verdicts would be signed for another", async ({
  models,
}) => {
  renameSync(makeModel(models, "a-1"), join(models, "b-1"));
  const open = openModelById([models], { id: "b-1", sha256: "" }, "auto");
  await expect(open).rejects.toThrow("expected b-1, got a-1: rename the folder");
});

test("large AVIF and HEIC have turns of their own, and those that wait at the end are put off", async ({
  models,
}) => {
  const judge = await openJudge(readConfig({ MAITRED_MODEL: makeModel(models, "a-1", {}) }));
  const avif = (width: number): Promise<Buffer> =>
    sharp({ create: { width, height: 4_000, channels: 3, background: "teal" } })
      .avif({ effort: 0 })
      .toBuffer();
  const weights: (Weight | undefined)[] = [];
  const gate = createPriorityLimiter(1);
  const decoded = (bytes: Buffer): Promise<Uint8Array[]> =>
    judge.decode(bytes, (work, weight) => {
      weights.push(weight);
      return weight === "large" ? gate("live", work) : work();
    });
  const tile = itemOf(heicOf("menu.heic"));
  const heic = (tiles: number): Buffer =>
    Buffer.from(
      heif(
        [grid(1, tiles, 64, 64), ...Array<Item>(tiles).fill(tile)],
        refers("dimg", 1, ...Array.from({ length: tiles }, (_, n) => n + 2)),
      ),
      "latin1",
    );
  const [ordinary, large] = [await avif(4_000), await avif(4_200)];
  const all = [large, large, ordinary, heic(80), heic(82)].map(decoded);
  judge.refuseWaiting();
  const outcomes = await Promise.allSettled(all);
  const closed = { reason: { code: "CLOSED", retry: true } };
  const done = { status: "fulfilled" };
  expect(outcomes).toMatchObject([done, closed, done, closed, closed]);
  expect(weights).toEqual(["large", "large", "ordinary", "slow", "large"]);
  await judge.close();
});

test("no thread joins those of a model that is closed while it warms up, as nobody would end it", async () => {
  const judge = await openJudge(readConfig({ MAITRED_PROVIDER: "cpu", MAITRED_THREADS: "1" }));
  const warm = judge.inference.ready();
  const refused = expect(warm).rejects.toMatchObject({ code: "CLOSED" });
  await judge.close();
  await refused;
  expect(judge.inference.threads).toBe(1);
});

test("a graph whose output is not as wide as model.json says is refused, as photos would get their neighbours' scores", async ({
  models,
}) => {
  const files = { "model.onnx": graphThatSays({ categories: [...CATEGORIES, "drinks"] }) };
  const judge = await openJudge(readConfig({ MAITRED_MODEL: makeModel(models, "wide-1", { files }) }));
  await expect(judge.inference.ready()).rejects.toMatchObject({
    name: "ConfigError",
    message: expect.stringContaining(
      "expected the graph's output category to be [1,4] as model.json has it, got [1,5]",
    ),
  });
  await judge.close();
});

test("pixels of another size are refused, as what lacks would be those of the photo before", async ({
  models,
}) => {
  const judge = await openJudge(readConfig({ MAITRED_MODEL: makeModel(models, "a-1") }));
  await judge.inference.ready();
  const run = (bytes: number) => judge.inference.run([new Uint8Array(bytes)]);
  await expect(run(64 * 64 * 3 - 3)).rejects.toThrow("expected 12288 bytes of pixels, got 12285");
  expect(await run(64 * 64 * 3)).toHaveLength(1);
  await judge.close();
});

describe("promotions", () => {
  test("of two at once against the same model, the later one is refused", async ({ models, db }) => {
    for (const id of ["a-1", "b-1", "c-1"])
      await registerModel(db.pool, await openModel(makeModel(models, id)), "ann");
    const by = { by: "ann", why: "a test", figures: null };
    await promoteModel(db.pool, { to: "a-1", from: null, ...by });
    const both = await Promise.allSettled(
      ["b-1", "c-1"].map((to) => promoteModel(db.pool, { to, from: "a-1", ...by })),
    );
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const { rows } = await db.pool.query("select count(*)::int as n from models where state = 'active'");
    expect(rows).toEqual([{ n: 1 }]);
  });

  test("a model that ran cannot become another under the same id; a candidate can", async ({
    models,
    db,
  }) => {
    await registerModel(db.pool, await openModel(makeModel(models, "a-1")), "ann");
    await registerModel(db.pool, await openModel(makeModel(models, "a-1", { human: 0.2 })), "ann");
    await promote(db, join(models, "a-1"));
    const other = await openModel(makeModel(models, "a-1", { human: 0.3 }));
    await expect(registerModel(db.pool, other, "ann")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("a worker's role follows models and reports, and may promote none", async ({ models, db }) => {
    await promote(db, makeModel(models, "a-1"));
    await registerModel(db.pool, await openModel(makeModel(models, "b-1")), "ann");
    await db.pool.query(
      "insert into photos (id, store, bucket, key) overriding system value values (7, 'folder', '/', 'k')",
    );
    const pool = connect(db.url, () => {}, 1);
    await pool.query("set role maitred_worker");
    expect((await pool.query("select current_user as who")).rows).toEqual([{ who: "maitred_worker" }]);
    expect(await readModels(pool)).toMatchObject([{ id: "a-1", state: "active" }, { id: "b-1" }]);
    const report = {
      worker: "w",
      model: "a-1",
      variant: "fp32",
      provider: "cpu",
      pinned: false,
      problem: "",
    };
    await reportWorker(pool, report);
    await reportWorker(pool, { ...report, problem: "x" });
    expect(await readWorkers(pool)).toMatchObject([{ ...report, problem: "x" }]);
    const decision: Decision = { verdict: "shown", rule: "clear", reason: "", category: "food", tags: [] };
    const said = { scores: { categories: { food: 1 }, human: 0 }, decision };
    const words = { shadow: { model: "b-1", ...said }, beside: { model: "a-1", ...said } };
    // photo 8 was deleted meanwhile
    const rows = ["7", "8"].map((photoId) => ({ photoId, ...words }));
    await recordShadowScores(db.pool, []);
    for (let time = 0; time < 2; time++) await recordShadowScores(pool, rows);
    expect((await pool.query("select photo_id from shadow_scores")).rows).toEqual([{ photo_id: "7" }]);
    const by = { by: "eve", why: "a test", figures: null };
    await expect(promoteModel(pool, { to: "b-1", from: "a-1", ...by })).rejects.toThrow(/maitred_migrator/);
    await pool.end();
  });

  test("of two who go back at once the second does not go back further", async ({ db, models }) => {
    for (const id of ["a-1", "b-1", "c-1"]) await promote(db, makeModel(models, id));
    const back = { from: "c-1", by: "ann", why: "bad" };
    const both = await Promise.allSettled([rollbackModel(db.pool, back), rollbackModel(db.pool, back)]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect((await db.pool.query("select id from models where state = 'active'")).rows).toEqual([
      { id: "b-1" },
    ]);
  });

  test("does not go back to a model that is gone, unless it is forced to", async ({ models, db }) => {
    for (const id of ["a-1", "b-1"]) await promote(db, makeModel(models, id));
    rmSync(join(models, "a-1"), { recursive: true });
    const env = { DATABASE_URL: db.url, MAITRED_MODELS: models, MAITRED_PROVIDER: "cpu" };
    const gone = await ended(["model", "rollback", "--reason", "bad"], env);
    expect(gone.code).toBe(2);
    expect(gone.err).toContain("a-1");
    const forced = await ended(["model", "rollback", "--reason", "bad", "--force", "--json"], env);
    expect(forced.code, forced.err).toBe(0);
    expect(JSON.parse(forced.out)).toEqual({ active: "a-1", from: "b-1" });
  });

  test("rolling back where nothing was promoted says so", async ({ db }) => {
    await expect(rollbackModel(db.pool, { from: null, by: "ann", why: "a test" })).rejects.toThrow(
      "no model before",
    );
  });
});
