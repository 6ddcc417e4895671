import { setTimeout as sleep } from "node:timers/promises";
import { asError, ModerationError } from "../errors.ts";
import { connectS3 } from "../image/s3.ts";
import { exitOnSignal, Scope } from "../lifecycle.ts";
import { requireSchema } from "../store/migrate.ts";
import { sayAway } from "./away.ts";
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
import { openIntake } from "./intake.ts";
import { between, laneOption, numberOption } from "./options.ts";
import { printResult } from "./output.ts";
import { type BucketSweep, type Result, sweepBucket, type Target } from "./sweep-bucket.ts";
import { createSweepProgress, describe } from "./sweep-progress.ts";
import { printable } from "./terminal.ts";

const options = {
  ...texts("lane", "grace", "rate", "queue", "every"),
  ...flags("dry-run", "allow-removals", "restart", "json"),
};
type Given = Values<typeof options>;

export const sweep = defineCommand({
  help: `
usage: maitred sweep [options] BUCKET[/PREFIX]...

Lists the bucket and compares it with the photos that are known, in one pass, however many they are. What is in the
bucket and not known is queued; a photo whose object is gone or was replaced is withdrawn. Interrupted, it goes on where
it was when it is run again. Two sweeps of one bucket do not run at once.

  --dry-run           changes nothing: says what it would do, with some of the keys
  --lane LANE         where what was missed is queued: backfill (the default) or live
  --grace TIME        leaves alone what differs and is younger than this, as its event may still come (default 15m)
  --rate N            requests to the store a second at most (default 100)
  --queue N           waits while so many photos wait in the lane, besides those of maitred feed (default 10000)
  --allow-removals    withdraws also when more than 100 photos and a tenth of those known are gone
  --restart           begins anew where an earlier one was interrupted
  --every TIME        stays, and sweeps again so long after each beginning, such as 6h
  --json              one JSON object a bucket on stdout

TIME is a number with s, m, h or d. The role needs s3:ListBucket, s3:GetObject and s3:GetBucketVersioning, and where the
bucket keeps versions s3:ListBucketVersions.

  maitred sweep --dry-run photos
  maitred sweep photos/uploads/
  maitred sweep --every 6h photos

Exit codes: 1 stopped before removals that nobody allowed, or another sweep of the bucket runs.
`,
  words: true,
  options,

  async run({ values, positionals }, terminal) {
    const targets = positionals.map(targetOf);
    if (targets.length === 0) throw new UsageError("expected at least one BUCKET or BUCKET/PREFIX");
    const how = howOf(values);
    const everyMs = msOf(values, "every", 1);
    const config = connectedConfig(terminal);
    const scope = new Scope();
    const stop = new AbortController();
    exitOnSignal(process, scope, config.graceMs, (error) => terminal.say(`${asError(error).message}\n`));
    const intake = openIntake(config, scope, () => {}, sayAway(terminal));
    const s3 = connectS3(config, 16, ATTEMPTS);
    scope.onClose("S3", () => s3.destroy());
    const work = async (): Promise<number> => {
      await requireSchema(intake.db);
      if (!how.dryRun) await intake.server.check();
      for (;;) {
        const begun = Date.now();
        let code: number = EXIT.done;
        for (const target of targets) {
          const result = await one(target, {
            ...how,
            intake,
            s3,
            config,
            signal: stop.signal,
            terminal,
            stays: everyMs !== undefined,
          });
          if (result === undefined || result.stopped) code = EXIT.notAll;
        }
        if (everyMs === undefined) return code;
        await sleep(Math.max(0, begun + everyMs - Date.now()), undefined, { signal: stop.signal });
      }
    };
    const working = work();
    // a signal waits for the step at hand, and then closes the rest
    scope.onClose("sweep", () => {
      stop.abort();
      return working.catch(() => {});
    });
    try {
      return await working;
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      return EXIT.done;
    } finally {
      await scope.close();
    }
  },
});

type One = Omit<BucketSweep, "progress" | "say"> & { terminal: Terminal; stays: boolean; json: boolean };

/** Sweeps one bucket and says what came of it; undefined where it could not be swept and another time will come. */
async function one(target: Target, { terminal, stays, json, ...how }: One): Promise<Result | undefined> {
  const progress = createSweepProgress(terminal, target);
  try {
    const result = await sweepBucket(target, { ...how, progress: progress.step, say: progress.say });
    progress.stop();
    printResult(terminal, json, result, describe(result));
    return result;
  } catch (error) {
    progress.stop();
    if (how.signal.aborted && !how.dryRun) {
      terminal.say(`${target.bucket}/${target.prefix}: interrupted; run it again to go on from there\n`);
    }
    if (how.signal.aborted || !stays || !(error instanceof ModerationError)) throw error;
    terminal.say(`${printable(`${target.bucket}/${target.prefix}: ${error.code}: ${error.message}`)}\n`);
    return undefined;
  }
}

function targetOf(what: string): Target {
  const [, bucket, prefix = ""] = /^(?:s3:\/\/)?([^/]+)(?:\/(.*))?$/s.exec(what) ?? [];
  if (bucket) return { bucket, prefix };
  throw new UsageError(`expected BUCKET or BUCKET/PREFIX, got ${JSON.stringify(what)}`);
}

function howOf(values: Given) {
  return {
    dryRun: values["dry-run"],
    restart: values.restart,
    allowRemovals: values["allow-removals"],
    json: values.json,
    lane: laneOption(values) ?? "backfill",
    graceMs: msOf(values, "grace") ?? GRACE_MS,
    rate: numberOption(values, "rate", between(0.1, 10_000)) ?? 100,
    queueLimit: numberOption(values, "queue", between(1, 100_000_000)) ?? 10_000,
  };
}

/** Milliseconds of a time such as 15m, of some seconds at least; undefined where it was not given. */
function msOf(values: Given, name: "grace" | "every", leastS = 0): number | undefined {
  const given = values[name];
  if (given === undefined) return undefined;
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(given) ?? [];
  // a timer takes no more
  const ms = amount && unit ? Number(amount) * UNITS[unit]! : Number.NaN;
  if (ms >= leastS * UNITS["s"]! && ms <= 24 * UNITS["d"]!) return ms;
  throw new UsageError(
    `--${name}: expected a time of ${leastS}s to 24d such as 30s, 15m, 6h or 1d, got ${JSON.stringify(given)}`,
  );
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const GRACE_MS = 15 * 60_000;
/** Of one request to the store, with the SDK's own waits between them. */
const ATTEMPTS = 5;
