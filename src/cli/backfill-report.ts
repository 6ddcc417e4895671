import { setTimeout as sleep } from "node:timers/promises";
import { FEEDER } from "../backfill/feeder.ts";
import { blockedReason, createRate, formatRate, partRead, photosLeft } from "../backfill/progress.ts";
import { describeStored } from "../backfill/selector.ts";
import {
  type BackfillChange,
  type BackfillCount,
  readBackfillCounts,
  readBackfillSums,
  sampleBackfillChanges,
} from "../store/backfill-counts.ts";
import { type BackfillRow, readBackfills } from "../store/backfills.ts";
import type { Pool } from "../store/pool.ts";
import { type BackfillCommand, idOf, theBackfill } from "./backfill-command.ts";
import { duration } from "./backfill-estimate.ts";
import { EXIT, type Terminal } from "./command.ts";
import { numberOption, whole } from "./options.ts";
import { printResult, table } from "./output.ts";
import { nothingAfter } from "./subcommand.ts";
import { sayStatus, wipeStatus } from "./terminal.ts";

export const list: BackfillCommand = (rest, { json }, terminal) => {
  nothingAfter("list", rest);
  return async (db) => {
    const rows = await readBackfills(db);
    const sums = await readBackfillSums(
      db,
      rows.map(({ id }) => id),
    );
    const failures = new Map(rows.map(({ id }) => [id, failedIn(sums.filter((each) => each.id === id))]));
    const cells = rows.map((row) => [
      row.id,
      row.state,
      String(row.judged - failures.get(row.id)!),
      String(failures.get(row.id)!),
      String(row.waiting),
      String(row.skipped),
      row.startedAt.toISOString().slice(0, 16).replace("T", " "),
      row.startedBy,
      describeStored(row.what),
    ]);
    const head = ["id", "state", "judged", "failed", "waiting", "skipped", "started", "by", "what"];
    printResult(terminal, json, rows, table([head, ...cells]));
    return EXIT.done;
  };
};

export const status: BackfillCommand = (rest, { watch, json }, terminal) => {
  const id = idOf(rest);
  return async (db) => {
    if (watch) return follow(db, id, terminal, json);
    const { row, counts } = await read(db, id);
    printResult(terminal, json, { ...row, counts }, statusLines(row, counts));
    return failedIn(counts) > 0 ? EXIT.notAll : EXIT.done;
  };
};

/** Shows a backfill until it is over, or its feeder has paused it. Leaving it stops nothing. */
export async function follow(db: Pool, id: string, terminal: Terminal, json: boolean): Promise<number> {
  const rateOf = createRate(() => performance.now());
  let told: string | undefined;
  for (;;) {
    const { row, counts } = await read(db, id);
    const rate = rateOf(row);
    const stuck = row.state === "paused" && row.changedBy === FEEDER;
    const over = row.endedAt !== null || stuck;
    const paused = row.state === "paused" ? stateLine(row) : undefined;
    if (json) terminal.print(JSON.stringify({ ...row, counts, photosPerS: rate }));
    else if (over) {
      wipeStatus(terminal);
      for (const each of statusLines(row, counts)) terminal.print(each);
    } else if (paused !== undefined) {
      wipeStatus(terminal);
      if (paused !== told) terminal.say(`${paused}; waiting for maitred backfill resume ${id}\n`);
    } else sayStatus(terminal, progressLine(row, counts, rate));
    told = paused;
    if (over) return stuck || failedIn(counts) > 0 ? EXIT.notAll : EXIT.done;
    await sleep(terminal.columns > 0 ? 1_000 : 5_000);
  }
}

export const report: BackfillCommand = (rest, values, terminal) => {
  const id = idOf(rest);
  const most = numberOption(values, "most", whole(0)) ?? 20;
  return async (db) => {
    const { row, counts } = await read(db, id);
    const sample = await sampleBackfillChanges(db, id, most);
    const more = [...matrixLines(counts), ...categoryLines(counts), ...sampleLines(sample)];
    const lines = [...statusLines(row, counts), ...more];
    printResult(terminal, values.json, { ...row, counts, sample }, lines);
    return failedIn(counts) > 0 ? EXIT.notAll : EXIT.done;
  };
};

async function read(db: Pool, id: string): Promise<{ row: BackfillRow; counts: BackfillCount[] }> {
  return { row: await theBackfill(db, id), counts: await readBackfillCounts(db, id) };
}

export function statusLines(
  row: BackfillRow,
  counts: readonly BackfillCount[],
  now: Date = new Date(),
): string[] {
  const gone = row.fed - row.waiting - row.judged;
  const part = partRead(row);
  const failed = failedIn(counts);
  const more = [
    gone > 0 ? `, ${gone} replaced or forgotten before their turn` : "",
    row.unreadable > 0 ? `, ${row.unreadable} records unreadable` : "",
    row.readAll ? "" : part === undefined ? ", more to come" : `, ${percent(part)} read`,
  ];
  const lines = [
    `backfill ${row.id}: ${describeStored(row.what)}`,
    stateLine(row, now),
    `${row.judged - failed} judged, ${failed} failed, ${row.waiting} waiting, ${row.skipped} skipped${more.join("")}`,
  ];
  const limits = [
    row.hours ? `at ${row.hours} of the feeder's clock` : "",
    row.maxRate ? `at most ${row.maxRate} photos/s` : "",
  ].filter(Boolean);
  if (limits.length > 0) lines.push(`fed ${limits.join(", ")}`);
  if (row.rendition) lines.push(`by renditions where there are any: ${row.rendition}`);
  const others = row.workers - row.able;
  if (row.endedAt === null && row.able > 0 && others > 0)
    lines.push(
      `${others} of ${row.workers} workers ${others === 1 ? "runs" : "run"} another model: what ${others === 1 ? "it judges" : "they judge"} of it is fed again`,
    );
  lines.push(outcomeLine(row, counts));
  if (row.undecided && !row.outcome)
    lines.push("these are proposals: maitred backfill apply or discard decides on them");
  if (row.outcome) lines.push(`it was ${row.outcome}${row.changedBy ? ` by ${row.changedBy}` : ""}`);
  if (row.undecided && row.outcome)
    lines.push("proposals are left: maitred backfill apply or discard goes on with them");
  const failures = failuresIn(counts);
  if (failures) lines.push(`failed: ${failures}; maitred backfill retry-failed ${row.id}`);
  if (row.state === "paused" && row.changedBy === FEEDER)
    lines.push(`once that is mended: maitred backfill resume ${row.id}`);
  return lines;
}

/** How many photos came out otherwise, and how many got their first verdict. */
function outcomeLine({ propose, outcome, undecided }: BackfillRow, counts: readonly BackfillCount[]): string {
  const judged = counts.filter(({ after, code }) => after !== "kept" && code === "");
  const first = sum(judged.filter(({ before }) => before === "pending"));
  const changed = sum(judged.filter(isChange));
  const firsts = first > 0 ? `, ${first} their first` : "";
  const discarded = outcome === "discarded" && !undecided;
  if (propose && (!outcome || discarded || undecided))
    return `${sum(judged)} proposed: ${changed} would ${discarded ? "have got" : "get"} another verdict or category${firsts}`;
  return `${changed} got another verdict or category${firsts}`;
}

/** The state, who gave it that and why, and what a run waits for by the clock of this machine. */
function stateLine(row: BackfillRow, now: Date = new Date()): string {
  const { state, changedBy, why } = row;
  const held = blockedReason(row, now);
  return `${state}${held ? `, ${held}` : ""}${changedBy && why ? `, by ${changedBy}: ${why}` : ""}`;
}

/** One line of a run that goes on: how far it is, as far as that is known, how fast, and how it comes out. */
export function progressLine(
  row: BackfillRow,
  counts: readonly BackfillCount[],
  rate: number,
  now: Date = new Date(),
): string {
  const toCome = photosLeft(row);
  const left = toCome !== undefined && rate > 0 ? `, ${duration(toCome / rate)} left` : "";
  const part = row.readAll ? undefined : partRead(row);
  const done = part === undefined ? "" : ` ${percent(part)} read,`;
  const failures = failuresIn(counts);
  return `${stateLine({ ...row, why: null }, now)}:${done} ${row.judged - failedIn(counts)} judged, ${row.waiting} waiting, ${formatRate(rate)}/s${left}, ${sum(counts.filter(isChange))} changed${failures ? `, failed: ${failures}` : ""}`;
}

function percent(part: number): string {
  return `${Math.floor(part * 100)} %`;
}

/** Such as `3 CORRUPT, 1 STORE_UNAVAILABLE`; "" where none failed. */
function failuresIn(counts: readonly BackfillCount[]): string {
  return [...group(counts, ({ code }) => code)]
    .filter(([code]) => code !== "")
    .map(([code, photos]) => `${photos} ${code}`)
    .join(", ");
}

/** The verdict before, and after: how many photos went from which to which. */
function matrixLines(counts: readonly BackfillCount[]): string[] {
  const befores = [...new Set(counts.map(({ before }) => before))].sort();
  const afters = [...new Set(counts.map(({ after }) => after))].sort();
  if (befores.length === 0) return [];
  const rows = befores.map((before) => [
    before,
    ...afters.map((after) =>
      String(sum(counts.filter((each) => each.before === before && each.after === after))),
    ),
  ]);
  return ["", ...table([["before \\ after", ...afters], ...rows])];
}

function categoryLines(counts: readonly BackfillCount[]): string[] {
  const before = group(counts, ({ beforeCategory }) => beforeCategory);
  const after = group(counts, ({ afterCategory }) => afterCategory);
  const names = [...new Set([...before.keys(), ...after.keys()])].filter(Boolean).sort();
  if (names.length === 0) return [];
  const rows = names.map((name) => {
    const [was, is] = [before.get(name) ?? 0, after.get(name) ?? 0];
    return [name, String(was), String(is), `${is >= was ? "+" : ""}${is - was}`];
  });
  return ["", ...table([["category", "before", "after", ""], ...rows])];
}

function sampleLines(sample: readonly BackfillChange[]): string[] {
  if (sample.length === 0) return [];
  const rows = sample.map((change) => [
    change.photoId,
    [change.before, change.beforeCategory].filter(Boolean).join(" "),
    [change.after, change.afterCategory, change.code].filter(Boolean).join(" "),
    `${change.bucket}/${change.key}`,
  ]);
  return ["", ...table([["photo", "before", "after", "object"], ...rows])];
}

/** A first verdict, as all of an archive get, is no other one, and a failure none. */
function isChange({ before, beforeCategory, after, afterCategory, code }: BackfillCount): boolean {
  if (before === "pending" || after === "kept" || code !== "") return false;
  return before !== after || beforeCategory !== afterCategory;
}

function failedIn(counts: readonly Pick<BackfillCount, "code" | "photos">[]): number {
  return sum(counts.filter(({ code }) => code !== ""));
}

function sum(counts: readonly Pick<BackfillCount, "photos">[]): number {
  return counts.reduce((total, { photos }) => total + photos, 0);
}

function group(counts: readonly BackfillCount[], key: (count: BackfillCount) => string): Map<string, number> {
  const totals = new Map<string, number>();
  for (const count of counts) totals.set(key(count), (totals.get(key(count)) ?? 0) + count.photos);
  return totals;
}
