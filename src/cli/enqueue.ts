import { join } from "node:path";
import { foldersOf, isInside } from "../image/folder.ts";
import { ANSWER_MS, connectS3 } from "../image/s3.ts";
import { Scope } from "../lifecycle.ts";
import { byLane, type Lane, type PhotoMetadata, type PhotoRef } from "../photo.ts";
import { requireSchema } from "../store/migrate.ts";
import { databaseTime, photosToReplay } from "../store/photos.ts";
import { sayAway } from "./away.ts";
import { connectedConfig, defineCommand, EXIT, flags, texts, UsageError, type Values } from "./command.ts";
import { pagesOf, requireThere } from "./enqueue-sources.ts";
import { openIntake } from "./intake.ts";
import { codeOption, laneOption, uploaderOption } from "./options.ts";
import { printResult } from "./output.ts";
import { sayPaused } from "./paused.ts";
import { drawStatus, printable } from "./terminal.ts";

const options = {
  ...texts("lane", "listing", "uploader", "claimed", "code"),
  ...flags("again", "failed", "pending", "json"),
};
type Given = Values<typeof options>;

export const enqueue = defineCommand({
  help: `
usage: maitred enqueue [options] WHAT...
       maitred enqueue --failed [--code CODE] | --pending

WHAT is s3://bucket/key, s3://bucket/prefix/ (with its slash: everything below; s3://bucket/ is all of it), a file, a
folder, or - for one of these a line on stdin. Files and folders must be there, where this runs; names in a folder that begin
with a dot are left out. What is decided already is left alone unless --again is given.

  --lane live|backfill   which queue (default live; of a replay, the one that it was in)
  --listing ID           the restaurant that the photos belong to
  --uploader WHO         moderator or user
  --claimed CATEGORY     what the uploader marked: any word, also of categories that the model does not know
  --again                also what is decided already
  --failed               what failed; with --code CORRUPT only what failed for that
  --pending              what waits for longer than ten minutes, in case the queue was lost
  --json                 counts as JSON

  maitred enqueue --listing 42 s3://photos/uploads/dinner.jpg
  maitred enqueue --lane backfill s3://photos/2019/

Exit codes: 1 something in a bucket, in a folder or on stdin is not there or cannot be read, and was left out; 2 a file or
folder that is an argument is not there, or there is no photo in any.
`,
  words: true,
  options,

  async run({ values, positionals }, terminal) {
    const lane = laneOption(values);
    const known = knownOf(values);
    const replay = replayOf(values, positionals);
    if (!replay && positionals.length === 0) throw new UsageError("expected what to queue");
    requireThere(positionals);
    const config = connectedConfig(terminal);
    const scope = new Scope();
    const intake = openIntake(config, scope, () => {}, sayAway(terminal));
    const s3 = connectS3(config, 8, 1, ANSWER_MS);
    scope.onClose("S3", () => s3.destroy());
    const counts = { queued: 0, decided: 0, unclear: 0 };
    const used = new Set<Lane>();
    const roots = foldersOf(config.folders);
    let outside: string | undefined;
    let whole = true;
    const leftOut = (what: string): void => {
      whole = false;
      terminal.say(`left out  ${printable(what)}\n`);
    };
    const progress = (): void => drawStatus(terminal, `${counts.queued} queued`);
    try {
      await intake.server.check();
      await requireSchema(intake.db);
      if (replay) {
        for await (const page of photosToReplay(intake.db, replay)) {
          for (const [to, photos] of byLane(page.map((photo) => ({ ...photo, lane: lane ?? photo.lane })))) {
            if (photos.length > 0) used.add(to);
            await intake.queues.add(to, photos);
          }
          counts.queued += page.length;
          progress();
        }
      } else {
        let looked = await databaseTime(intake.db);
        for await (const page of pagesOf(positionals, terminal.stdin, s3, leftOut)) {
          const how = { known, again: values.again, looked };
          const { ids, queued, unclear } = await intake.take(page, lane ?? "live", how);
          looked = await databaseTime(intake.db);
          outside ??= page.find((photo) => isOutside(photo, roots))?.bucket;
          counts.queued += queued.length;
          if (queued.length > 0) used.add(lane ?? "live");
          counts.decided += ids.length - queued.length - unclear.length;
          counts.unclear += unclear.length;
          progress();
        }
      }
      if (used.size > 0) await sayPaused(terminal, intake, [...used]);
    } finally {
      await scope.close();
    }
    const found = counts.queued + counts.decided + counts.unclear;
    if (found === 0 && whole && !replay && !positionals.includes("-"))
      throw new UsageError(`expected photos, got none in ${positionals.join(", ")}`);
    if (outside !== undefined) {
      const where = `${printable(outside)} is not in MAITRED_FOLDERS here`;
      terminal.say(
        `${where}: workers judge what lies there if it is in theirs, or lies in one that maitred up was given\n`,
      );
    }
    if (counts.unclear > 0) {
      terminal.say(
        `of ${counts.unclear} an older version may be the object again, which a listing does not tell: maitred sweep BUCKET does\n`,
      );
    }
    const decided =
      counts.decided > 0 ? `, ${counts.decided} decided already (--again judges them once more)` : "";
    printResult(terminal, values.json, counts, `${counts.queued} queued${decided}`);
    return whole ? EXIT.done : EXIT.notAll;
  },
});

function knownOf(values: Given): PhotoMetadata {
  const { listing, claimed } = values;
  const uploader = uploaderOption(values);
  return { ...(listing && { listing }), ...(uploader && { uploader }), ...(claimed && { claimed }) };
}

function replayOf(
  values: Given,
  positionals: readonly string[],
): { state: "failed" | "pending"; code?: string; olderThanS: number } | undefined {
  const { failed, pending } = values;
  if (failed && pending) throw new UsageError("expected --failed or --pending, not both");
  if (values.code !== undefined && !failed) throw new UsageError("--code: expected --failed too");
  if (!failed && !pending) return undefined;
  const state = failed ? "failed" : "pending";
  const given = (["listing", "uploader", "claimed", "again"] as const).filter((name) => values[name]);
  const [other] = [...positionals, ...given.map((name) => `--${name}`)];
  // it would be taken for a choice among them
  if (other !== undefined) throw new UsageError(`--${state}: expected nothing besides, got ${other}`);
  const code = codeOption(values);
  return { state, ...(code !== undefined && { code }), olderThanS: failed ? 0 : 600 };
}

function isOutside({ store, bucket, key }: PhotoRef, roots: readonly string[]): boolean {
  return store === "folder" && !roots.some((root) => isInside(root, join(bucket, key)));
}
