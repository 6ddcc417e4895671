import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, inject } from "vitest";
import { policyIdOf } from "../../src/decide/policy.ts";
import { createLog } from "../../src/log.ts";
import { readWorkers, reportFigures, reportWorker } from "../../src/store/models.ts";
import { keepPolicy } from "../../src/store/policies.ts";
import { startWorker } from "../../workers/moderate.ts";
import { BACKENDS, type Database } from "../fixtures.ts";
import { ended } from "../maitred.ts";
import { makeModel } from "../models.ts";
import { before, judge, yaml } from "../policies.ts";
import { promote, test } from "../promoted.ts";

const unfit = /the policy has the thresholds of restaurant-6, not of ours-1/;

/** As a worker says it that runs elsewhere. */
async function told(db: Database, worker: string, policy: string, { pinned = false, problem = "" } = {}) {
  await keepPolicy(db.pool, { id: policyIdOf(policy), yaml: policy, thresholds: {} });
  await reportWorker(db.pool, { worker, model: "m", variant: "", provider: "cpu", pinned, problem });
  await reportFigures(db.pool, worker, { policy: policyIdOf(policy) });
}

test("a worker tells which policy it decides by", async ({ configFor, db, scope }) => {
  await startWorker(
    configFor(BACKENDS[0]!, { MAITRED_MODEL: inject("idleModel") }),
    createLog("silent"),
    scope,
  );
  const policies = async () =>
    (await readWorkers(db.pool)).map(({ figures }) => (figures as { policy?: string } | null)?.policy);
  await expect.poll(policies, { timeout: 20_000 }).toEqual([policyIdOf(yaml)]);
}, 40_000);

test("nothing is promoted that the policies of workers are not for, but by force", async ({
  db,
  models,
  folder,
}) => {
  makeModel(models, "ours-1");
  const ours = join(folder, "ours.yaml");
  writeFileSync(ours, yaml.replace("model: restaurant-6", "model: ours-1"));
  const env = { DATABASE_URL: db.url, MAITRED_MODELS: models, MAITRED_POLICY: ours, MAITRED_PROVIDER: "cpu" };
  await told(db, "a:1", yaml);
  await told(db, "b:2", yaml.replace("model: restaurant-6", "model: ours-1"));
  await told(db, "c:3", yaml.replace("version: 1", "version: 1 # pinned"), { pinned: true });
  const gold = join(folder, "labels.jsonl");
  writeFileSync(
    gold,
    `{"file":"${join(inject("samples"), "menu-1.jpg")}","category":"menu","human":false}\n`,
  );
  const refused = await ended(["model", "promote", "ours-1", "--gold", gold], env);
  expect([refused.code, refused.out]).toEqual([1, expect.stringMatching(unfit)]);
  expect(refused.out).toMatch(/; a:1: the policy has/);
  expect(refused.out).not.toMatch(/b:2|c:3/);
  const forced = await ended(["model", "promote", "ours-1", "--force", "--reason", "to see"], env);
  expect(forced.code, forced.err).toBe(0);
  expect(forced.err).toMatch(/^warning: a:1: the policy has .*restaurant-6/m);
}, 60_000);

test("a policy that workers do not decide by, or of another model, is applied by force alone", async ({
  db,
  models,
  folder,
}) => {
  await judge(db, before);
  const next = yaml.replace(/review: [\d.]+/, "review: 0.02");
  const file = join(folder, "next.yaml");
  writeFileSync(file, next);
  const env = { DATABASE_URL: db.url, MAITRED_MODELS: models };
  const run = (...args: string[]) => ended(["policy", ...args], env);
  const runs = async () => (await db.pool.query("select from backfills")).rowCount;
  await told(db, "a:1", yaml);
  const refused = await run("apply", file);
  expect([refused.code, await runs()]).toEqual([2, 0]);
  expect(refused.err).toBe(
    "warning: a:1: another policy decides there: give it this one first (MAITRED_POLICY)\n" +
      "maitred policy: nothing was decided anew: --force does it all the same\n",
  );
  expect((await run("apply", file, "--propose")).code).toBe(0);
  expect((await run("apply", file, "--force")).code).toBe(0);
  await told(db, "a:1", next);
  expect(await run("apply", file)).toMatchObject({ code: 0, err: expect.not.stringContaining("warning") });
  await promote(db, makeModel(models, "ours-1"));
  expect(await run("diff", file)).toMatchObject({ code: 0, err: expect.stringMatching(unfit) });
  expect(await run("apply", file)).toMatchObject({ code: 2, err: expect.stringMatching(unfit) });
}, 90_000);

test("doctor warns of a policy that has the thresholds of another model, here and at workers", async ({
  db,
  models,
}) => {
  await promote(db, makeModel(models, "ours-1"));
  await told(db, "a:1", yaml, { problem: "something is wrong" });
  await told(db, "b:2", yaml);
  const doctor = await ended(["doctor"], { DATABASE_URL: db.url, MAITRED_MODELS: models });
  expect(doctor.out).toMatch(
    /^warn +model +ours-1 .*; the policy has the thresholds of restaurant-6, not of ours-1/m,
  );
  expect(doctor.out).toMatch(/^warn +workers +a:1: something is wrong$/m);
}, 60_000);
