import { openAll } from "../backfill/inventory.ts";
import { pages } from "../backfill/pages.ts";
import { renditionBucket } from "../backfill/rendition.ts";
import { describe, type FedSelector } from "../backfill/selector.ts";
import { readConfig } from "../config.ts";
import { ConfigError, ModerationError } from "../errors.ts";
import { ANSWER_MS, connectS3 } from "../image/s3.ts";
import { isAbsent, listAfter } from "../image/s3-bucket.ts";
import type { Pool } from "../store/pool.ts";
import { viewPhotos } from "../store/selected-photos.ts";
import { manifestsOf } from "../wiring/manifests.ts";
import { connectedConfig, type Terminal } from "./command.ts";

/** @throws {ConfigError} where the renditions of all photos are looked for in a bucket that is not there. */
export async function lookForRenditions(template: string, terminal: Terminal): Promise<void> {
  const bucket = renditionBucket(template);
  if (bucket === undefined) return;
  const s3 = connectS3(connectedConfig(terminal), 1, 1, ANSWER_MS);
  try {
    if (!(await isAbsent(s3, bucket))) return;
  } finally {
    s3.destroy();
  }
  throw new ConfigError(
    `--rendition-template: there is no bucket ${bucket}, got ${JSON.stringify(template)}`,
  );
}

/**
 * Reads the beginning of what a backfill is about, so that a mistake in its name is told at once, and changes nothing.
 *
 * @param db needed for a view alone.
 * @throws {ConfigError} where it cannot be read; {UpstreamError} where its store does not answer.
 */
export async function lookAt(what: FedSelector, terminal: Terminal, db?: Pool): Promise<void> {
  if (what.kind === "photos") return;
  const s3 = connectS3(readConfig(terminal.env), 8, 1, ANSWER_MS);
  const open = manifestsOf(s3);
  try {
    const read = pages(
      {
        list: (bucket, prefix, after, limit) => listAfter(s3, bucket, prefix, after, limit),
        select: () => Promise.reject(new Error("only photos are selected")),
        view: (name, after, limit) =>
          db ? viewPhotos(db, name, after, limit) : Promise.reject(new Error("views are in Postgres")),
        open,
      },
      what,
      null,
      1,
    );
    let useless = 0;
    for await (const { unreadable } of read) if (unreadable === 0 || ++useless >= LOOKED_AT) break;
    if (what.kind === "manifest" && what.at.endsWith(".json")) await openAll(open, what.at);
  } catch (thrown) {
    if (!(thrown instanceof ModerationError) || thrown.retry) throw thrown;
    const start = "nothing was started; --unchecked starts it all the same, where the feeder can read it";
    const named = thrown.message.startsWith(describe(what)) ? "" : `${describe(what)}: `;
    throw new ConfigError(`${named}${thrown.message}: ${start}`, {
      cause: thrown,
    });
  } finally {
    s3.destroy();
  }
}

/** Records of a list that name no photo, after which its feeder finds out by itself whether any does. */
const LOOKED_AT = 10_000;
