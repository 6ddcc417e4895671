import { setTimeout as sleep } from "node:timers/promises";
import { hundredths } from "../decide/decide.ts";
import { codeOf } from "../errors.ts";
import type { LineOutcome } from "../moderate/outcome.ts";
import type { WorkerEvents } from "../moderate/worker.ts";
import type { PhotoJob } from "../photo.ts";
import { MOST_PUT_OFF_MS } from "../queue/queues.ts";
import type { PhotoRow } from "../store/photos.ts";
import { cut } from "./columns.ts";
import { judgedJson } from "./judged-json.ts";
import { table } from "./output.ts";
import { counted } from "./plural.ts";
import { drawStatus, printable, sayStatus, type Terminal, wipeStatus } from "./terminal.ts";

interface Progress {
  events: Partial<WorkerEvents>;
  /** Ids that `done` waits for. */
  expect(ids: readonly string[]): void;
  /** Ids of photos that are decided already; what a run that was killed had queued may be judged again all the same. */
  decided(ids: readonly string[]): void;
  /** Keys of photos that were taken off the page. */
  withdrew(folder: string, keys: readonly string[]): void;
  /** What is in a folder and cannot be judged. */
  leftOut(what: string): void;
  /**
   * @param held says how many jobs of a photo there are: one that another worker has judged has none.
   * @param why says what photos wait for, of which none is judged for some seconds.
   */
  done(
    held: (id: string) => Promise<number>,
    why: (ids: ReadonlySet<string>) => Promise<string[]>,
    everyMs?: number,
  ): Promise<void>;
  stop(): void;
  /** Says what became of all that there was at the start. @param putOff how many wait for a store. */
  watches(putOff: number): void;
  summary(model: string, provider: string): string;
}

/** Counts what the worker tells, and draws it: a live line on a terminal, a line every few seconds elsewhere. */
export function createProgress(terminal: Terminal, json: boolean, everyPhoto: boolean): Progress {
  const verdicts = new Map<string, number>();
  const waiting = new Set<string>();
  /** Of each photo that was judged, what became of it last, and which were decided already; both until `watches`. */
  let states: Map<string, string> | undefined = new Map();
  const before = new Set<string>();
  const away = new Map<string, Set<string>>();
  let photos = 0;
  let [first, last] = [0, 0];
  let [batches, batched] = [0, 0];
  let wake: (() => void) | undefined;

  const failed = (): number => verdicts.get("failed") ?? 0;
  const tally = (): string => {
    const others = [...before].filter((id) => !states?.has(id)).length;
    return `${photos - failed()} judged, ${failed()} failed, ${others} decided before`;
  };
  const rate = (): number => (last > first ? (photos / (last - first)) * 1000 : 0);
  const line = (): string => {
    const counts = [...verdicts].map(([verdict, count]) => `${verdict} ${count}`).join("  ");
    return `${photos}/${photos + waiting.size} photos  ${rate().toFixed(1)}/s  ${counts}`;
  };
  const draw = (): void => {
    if (photos === 0 && waiting.size === 0) return;
    if (everyPhoto) drawStatus(terminal, line());
    else sayStatus(terminal, line());
  };
  // in place of the live line, which is drawn again below it
  const say = (text: string): void => {
    wipeStatus(terminal);
    terminal.say(`${printable(text)}\n`);
  };
  const timer = setInterval(draw, terminal.columns > 0 ? 100 : 2_000);

  // once, and not for each photo and try, until the bucket has given one
  function putOff({ store, bucket, ...photo }: PhotoJob, error: Error): void {
    const code = codeOf(error);
    if (code === "CLOSED") return;
    const codes = away.get(`${store} ${bucket}`) ?? new Set();
    away.set(`${store} ${bucket}`, codes);
    if (codes.has(code)) return;
    codes.add(code);
    const address = addressOf({ store, bucket, ...photo });
    say(
      `put off  ${address}  ${code}: ${error.message}; tried again, at least every ${MOST_PUT_OFF_MS / 60_000} minutes`,
    );
  }

  function left(photo: PhotoJob, outcome: LineOutcome, changed: boolean): void {
    away.delete(`${photo.store} ${photo.bucket}`);
    last = performance.now();
    // what a backfill left as it was may be a proposal, or what was judged beside a moderator
    if (photo.fed && !changed) return;
    const { result } = outcome;
    const state = "failure" in result ? "failed" : result.decision.verdict;
    // one that was asked for twice, or was in hand as a worker was killed, is judged twice
    const earlier = states?.get(photo.id);
    if (earlier === undefined) photos++;
    else verdicts.set(earlier, verdicts.get(earlier)! - 1);
    states?.set(photo.id, state);
    verdicts.set(state, (verdicts.get(state) ?? 0) + 1);
    // what failed is tried at each start, and was said when it failed first
    const said = !changed && (earlier !== undefined || (everyPhoto && state === "failed"));
    if (json && !said) terminal.print(JSON.stringify(asJson(photo, outcome)));
    else if (everyPhoto && !said) say(asLine(photo, result));
    waiting.delete(photo.id);
    if (waiting.size === 0) wake?.();
  }

  return {
    events: {
      stage(_stage, _lane, seconds) {
        first ||= performance.now() - seconds * 1000;
      },
      batch(_id, frames) {
        batches++;
        batched += frames;
      },
      finished: (photo, _lane, outcome, changed) => left(photo, outcome, changed),
      retried: (photo, _lane, error) => putOff(photo, error),
    },
    expect(ids) {
      // a photo may be judged before the call that queued it returns
      for (const id of ids) if (!states?.has(id)) waiting.add(id);
    },
    decided(ids) {
      if (states) for (const id of ids) before.add(id);
    },
    withdrew(folder, keys) {
      for (const key of keys) say(`withdrawn  ${addressOf({ store: "folder", bucket: folder, key })}`);
    },
    leftOut: (what) => say(`left out  ${what}`),
    async done(held, why, everyMs = LOOK_MS) {
      let saidAt = performance.now();
      while (waiting.size > 0) {
        const told = new Promise<void>((resolve) => (wake = resolve));
        await Promise.race([told, sleep(everyMs, undefined, { ref: false })]);
        for (const id of waiting) {
          // while nobody can say, it may be held
          if ((await within(everyMs, held(id), 1).catch(() => 1)) > 0) break;
          waiting.delete(id);
        }
        const now = performance.now();
        if (waiting.size === 0 || now - Math.max(last, saidAt) < QUIET_MS) continue;
        saidAt = now;
        const reasons = await within(everyMs, why(waiting), ["the queue, which does not answer"]).catch(
          (error: Error) => [`the queue: ${error.message}`],
        );
        for (const reason of reasons) say(`waits for ${reason}`);
      }
    },
    stop() {
      clearInterval(timer);
      // of what ends when all is judged, a table and a summary come next
      if (!everyPhoto) wipeStatus(terminal);
      else if (photos > 0 || waiting.size > 0) {
        draw();
        if (terminal.columns > 0) terminal.say("\n");
      }
      if (waiting.size > 0) say(`${counted(waiting.size, "photo")} not judged yet: the next start goes on`);
    },
    watches(putOff) {
      say(`${tally()}${putOff > 0 ? `, ${putOff} put off` : ""}; watching`);
      states = undefined;
      before.clear();
    },
    summary(model, provider) {
      const judged = photos - failed();
      const speed = judged > 0 ? `${((judged / (last - first)) * 1000).toFixed(1)} photos/s ` : "";
      const shape =
        batches > 0 ? `in ${counted(batches, "batch", "batches")} of ${(batched / batches).toFixed(1)} ` : "";
      return `${tally()}, ${speed}${shape}with ${model} on ${provider}`;
    },
  };
}

/**
 * A photo a line: photo, category, score, human, verdict, reason. Where all are of one folder, it is not repeated.
 *
 * @param columns of the terminal, where a long name has half of them; 0: all of it.
 */
export function photoTable(photos: readonly PhotoRow[], columns = 0): string[] {
  const most = columns > 0 ? Math.max(NARROWEST, Math.floor(columns / 2)) : Number.POSITIVE_INFINITY;
  const oneFolder = photos.every(({ bucket }) => bucket === photos[0]!.bucket);
  const rows = photos.map((photo) => [
    cut(printable(oneFolder ? photo.key : addressOf(photo)), most),
    photo.category ?? "-",
    photo.categoryScore === null ? "-" : hundredths(photo.categoryScore),
    photo.human === null ? "-" : hundredths(photo.human),
    photo.state,
    photo.failure ? `${photo.failure}: ${photo.reason}` : (photo.reason ?? ""),
  ]);
  return table([["photo", "category", "score", "human", "verdict", "reason"], ...rows]);
}

/** Those that failed, and why: above them are as many lines as there are photos. Of many a few. */
export function failedLines(photos: readonly PhotoRow[]): string[] {
  const failed = photos.filter(({ state }) => state === "failed");
  const lines = failed
    .slice(0, MOST_FAILED)
    .map((photo) => `failed  ${printable(`${addressOf(photo)}  ${photo.failure}: ${photo.reason}`)}`);
  return failed.length > MOST_FAILED ? [...lines, `and ${failed.length - MOST_FAILED} more failed`] : lines;
}

/** A client of Redis that is away answers once it is back. */
async function within<T>(ms: number, answer: Promise<T>, without: T): Promise<T> {
  const answered = new AbortController();
  try {
    return await Promise.race([answer, sleep(ms, without, { ref: false, signal: answered.signal })]);
  } finally {
    answered.abort();
  }
}

/** As maitred enqueue and forget take it. */
function addressOf({ store, bucket, key }: Pick<PhotoJob, "store" | "bucket" | "key">): string {
  return store === "s3" ? `s3://${bucket}/${key}` : `${bucket}/${key}`;
}

function asJson(photo: PhotoJob, { by, policy, result }: LineOutcome): object {
  const about = { id: photo.id, bucket: photo.bucket, key: photo.key };
  if ("failure" in result) return { ...about, error: { code: result.failure, message: result.message } };
  return {
    ...about,
    ...judgedJson(result.scores, result.decision, { model: by.replace(/^model:/, ""), policy }),
  };
}

function asLine(photo: PhotoJob, result: LineOutcome["result"]): string {
  if ("failure" in result) return `failed  ${addressOf(photo)}  ${result.failure}: ${result.message}`;
  const { verdict, reason } = result.decision;
  return `${verdict.padEnd(6)}  ${addressOf(photo)}  ${reason}`;
}

/** How often to look whether somebody else has judged what is waited for. */
const LOOK_MS = 2_000;
/** For which nothing is judged before it is said why. */
const QUIET_MS = 10_000;
const MOST_FAILED = 10;
/** Columns of a name below which its ends tell nothing. */
const NARROWEST = 24;
