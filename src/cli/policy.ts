import { type Redecided, redecide } from "../backfill/redecide.ts";
import { selector } from "../backfill/selector.ts";
import { type Policy, parsePolicy, policyIdOf, unfitFor } from "../decide/policy.ts";
import { ConfigError } from "../errors.ts";
import { addBackfill, readBackfill, readBackfills } from "../store/backfills.ts";
import { keepPolicy, readPolicies, type ScoredPhoto, scoredPhotos } from "../store/policies.ts";
import type { Pool } from "../store/pool.ts";
import { lastPhotoId } from "../store/selected-photos.ts";
import { recordAnew, type ScanProgress } from "../store/verdicts.ts";
import { readPolicy } from "../wiring/judge.ts";
import { openModelInUse } from "./choose-model.ts";
import {
  connectedConfig,
  defineCommand,
  EXIT,
  flags,
  type Terminal,
  texts,
  UsageError,
  type Values,
} from "./command.ts";
import { accountOption, numberOption, whole } from "./options.ts";
import { printResult, table } from "./output.ts";
import { withPostgres } from "./postgres.ts";
import { choose, type WordsOf } from "./subcommand.ts";
import { drawStatus } from "./terminal.ts";
import { workersOfOthers } from "./worker-policies.ts";

const options = { ...texts("most", "by"), ...flags("propose", "force", "json") };

export const policy = defineCommand({
  help: `
usage: maitred policy diff FILE [--most 20] [--json]
       maitred policy apply FILE [--propose] [--force] [--by WHO] [--json]

Neither a model nor the bucket is asked: every verdict has its scores beside it. diff changes nothing, and shows how many
photos get another verdict or category, and some of them. apply decides anew where the policy says something else: it is
written down as a backfill, which maitred backfill report shows and maitred backfill rollback undoes; stopped and run
again it goes on. What moderators decided stays. Workers follow the file of MAITRED_POLICY: give it to them first.

  --propose   keep the new verdicts as proposals, for maitred backfill apply or discard
  --force     although workers decide by another policy, or it has the thresholds of another model
  --most N    photos that diff shows (default 20)

  maitred policy diff policy-next.yaml
`,
  words: true,
  options,

  async run(args, terminal) {
    const [command, [file, ...more]] = choose(COMMANDS, args, WORDS_OF);
    const { values } = args;
    if (file === undefined || more.length > 0) throw new UsageError("expected one policy file");
    const most = numberOption(values, "most", whole(0)) ?? 20;
    const yaml = readPolicy(file);
    // whether it knows the model's categories, Postgres must say which model that is
    parsePolicy(yaml, undefined, file);
    const config = connectedConfig(terminal);
    const { id: model, categories } = await openModelInUse(config);
    const next = { id: policyIdOf(yaml), yaml, policy: parsePolicy(yaml, categories, file) };
    return withPostgres(config, async (db) => {
      const unfit = unfitFor(next.policy, model);
      const others = command === apply && (await workersOfOthers(db, next.id));
      const against = [
        unfit,
        others && `${others}: another policy decides there: give it this one first (MAITRED_POLICY)`,
      ];
      for (const each of against) if (each) terminal.say(`warning: ${each}\n`);
      if (command === apply && !values.propose && !values.force && against.some(Boolean))
        throw new ConfigError("nothing was decided anew: --force does it all the same");
      const before = new Map<string, Policy>();
      for (const [id, row] of await readPolicies(db)) {
        try {
          // once a policy could be without `verify`
          before.set(id, parsePolicy(row.yaml, categories, id, { verify: [] }));
        } catch {
          // it was for other categories: whatever it decided is decided anew
        }
      }
      return command(db, next, before, { ...values, most }, terminal);
    });
  },
});

interface NextPolicy {
  id: string;
  yaml: string;
  policy: Policy;
}

type Subcommand = (
  db: Pool,
  next: NextPolicy,
  before: ReadonlyMap<string, Policy>,
  values: Omit<Values<typeof options>, "most"> & { most: number },
  terminal: Terminal,
) => Promise<number>;

const diff: Subcommand = async (db, next, before, { most, json }, terminal) => {
  const moves = new Map<string, number>();
  const sample: { id: string; bucket: string; key: string; move: string; human: number; reason: string }[] =
    [];
  let [photos, changed, other] = [0, 0, 0];
  for await (const page of scored(db, next.id, "0", await lastPhotoId(db))) {
    photos += page.length;
    for (const { photo, decision, visible } of redecide(page, next.policy, before)) {
      if (!visible) {
        other++;
        continue;
      }
      changed++;
      const move = `${photo.state} ${photo.category} -> ${decision.verdict} ${decision.category}`;
      moves.set(move, (moves.get(move) ?? 0) + 1);
      const { id, bucket, key, human } = photo;
      const each = { id, bucket, key, move, human, reason: decision.reason };
      // each photo has the same chance to be among those that are shown
      if (sample.length < most) sample.push(each);
      else if (Math.random() * changed < most) sample[Math.floor(Math.random() * most)] = each;
    }
    drawStatus(terminal, `${photos} photos, ${changed} change`);
  }
  const sorted = [...moves].sort(([, a], [, b]) => b - a);
  const result = { policy: next.id, photos, changed, other, moves: Object.fromEntries(sorted), sample };
  const lines = [
    photos === 0
      ? `no photo has scores that another policy than ${next.id} decided on: there is nothing to compare`
      : `${changed} of ${photos} photos get another verdict or category, ${other} other tags or another rule`,
    ...table(sorted.map(([move, count]) => [String(count), move])),
  ];
  const rows = sample.map(({ id, bucket, key, move, reason }) => [id, move, reason, `${bucket}/${key}`]);
  if (rows.length > 0) lines.push("", ...table([["photo", "change", "reason", "object"], ...rows]));
  printResult(terminal, json, result, lines);
  return EXIT.done;
};

const apply: Subcommand = async (db, next, before, values, terminal) => {
  await keepPolicy(db, { id: next.id, yaml: next.yaml, thresholds: next.policy.categories });
  const run = await begin(db, next.id, values.propose, accountOption(values));
  let [photos, decided, from] = [0, 0, run.cursor];
  const record = async (
    changes: readonly Redecided<ScoredPhoto>[],
    seen: number,
    last: string,
    end = false,
  ) => {
    const group = changes.map(({ photo, scores, decision }) => ({
      photoId: photo.id,
      known: {},
      batch: `policy-${run.id}`,
      by: photo.by,
      policy: next.id,
      result: { decision, scores, ...(photo.rendition && { rendition: true }) },
    }));
    const to = { after: last };
    if (!(await recordAnew(db, run.id, group, { from, to, seen, end }))) return false;
    [photos, decided, from] = [photos + seen, decided + group.length, to];
    return true;
  };
  const since = performance.now();
  for await (const page of scored(db, next.id, from?.after ?? "0", run.upTo)) {
    const changes = redecide(page, next.policy, before);
    for (let seen = 0; seen < page.length; ) {
      const group = changes.splice(0, GROUP);
      const reached = changes.length > 0 ? page.indexOf(group.at(-1)!.photo) + 1 : page.length;
      if (!(await record(group, reached - seen, page[reached - 1]!.id))) return stopped(db, run.id, terminal);
      seen = reached;
    }
    drawStatus(terminal, `${photos} photos, ${decided} decided anew`);
  }
  if (!(await record([], 0, run.upTo, true))) return stopped(db, run.id, terminal);
  const photosPerS = Math.round(photos / Math.max(0.001, (performance.now() - since) / 1_000));
  const result = { backfill: run.id, policy: next.id, photos, decided, photosPerS };
  const how = values.propose ? "proposed" : "decided";
  printResult(terminal, values.json, result, [
    `${decided} of ${photos} photos are ${how} anew, at ${photosPerS}/s`,
    `maitred backfill report ${run.id} shows them`,
  ]);
  return EXIT.done;
};

const COMMANDS: Readonly<Record<string, Subcommand>> = { diff, apply };
const WORDS_OF: WordsOf<typeof options> = {
  most: ["diff"],
  propose: ["apply"],
  force: ["apply"],
  by: ["apply"],
};

/** Somebody paused or cancelled the run while the command was at it, or does the same. */
async function stopped(db: Pool, id: string, terminal: Terminal): Promise<number> {
  const run = (await readBackfill(db, id))!;
  if (run.state === "running" || run.state === "done") {
    terminal.say(
      `another maitred policy apply works on backfill ${id}: maitred backfill status ${id} shows it\n`,
    );
    return EXIT.notAll;
  }
  const next =
    run.state === "paused"
      ? `maitred backfill resume ${id}, and then this command again, goes on`
      : `maitred backfill rollback ${id} undoes what it has decided`;
  terminal.say(`backfill ${id} was ${run.state} by ${run.changedBy}: ${run.why}\n${next}\n`);
  return EXIT.notAll;
}

/** A run of this policy that was stopped goes on where it was. */
async function begin(
  db: Pool,
  policy: string,
  propose: boolean,
  startedBy: string,
): Promise<{ id: string; cursor: ScanProgress["from"]; upTo: string }> {
  for (const row of await readBackfills(db, "running")) {
    // what is not understood is another version's; the feeder tells of it
    const what = selector.safeParse(row.what).data;
    if (what?.kind !== "policy" || what.policy !== policy || row.propose !== propose) continue;
    return { id: row.id, cursor: row.cursor as ScanProgress["from"], upTo: what.upTo };
  }
  const upTo = await lastPhotoId(db);
  const what = { kind: "policy", policy, upTo };
  const run = { what, model: "", again: false, propose, maxRate: null, hours: null, startedBy };
  return { id: await addBackfill(db, run), cursor: null, upTo };
}

/** Pages of photos with scores; the next is read while one is worked on. */
async function* scored(db: Pool, policy: string, after: string, upTo: string): AsyncGenerator<ScoredPhoto[]> {
  let next = scoredPhotos(db, policy, after, upTo, PAGE);
  for (;;) {
    const { found, ...stretch } = await next;
    if (!stretch.end) next = scoredPhotos(db, policy, stretch.after, upTo, PAGE);
    // it is waited for above; a failure meanwhile is not lost
    next.catch(() => {});
    if (found.length > 0) yield found;
    if (stretch.end) return;
  }
}

const PAGE = 5_000;
const GROUP = 500;
