import { manifestsOf } from "../../workers/manifests.ts";
import { pages } from "../backfill/pages.ts";
import { describe, type FedSelector } from "../backfill/selector.ts";
import { ConfigError, ModerationError } from "../errors.ts";
import { connectS3, listStretch } from "../image/s3.ts";
import type { Pool } from "../store/pool.ts";
import { viewPhotos } from "../store/selected-photos.ts";
import { connectedConfig, type Terminal } from "./command.ts";

/**
 * Reads the beginning of what a backfill is about, so that a mistake in its name is told at once, and changes nothing.
 *
 * @throws {ConfigError} CONFIG_INVALID where it cannot be read; {UpstreamError} where its store does not answer.
 */
export async function lookAt(db: Pool, what: FedSelector, terminal: Terminal): Promise<void> {
  if (what.kind === "photos") return;
  const s3 = connectS3(connectedConfig(terminal), 1);
  try {
    const read = pages(
      {
        list: (bucket, prefix, after, limit) => listStretch(s3, bucket, prefix, after, limit),
        known: async () => [],
        select: () => Promise.reject(new Error("only photos are selected")),
        view: (name, after, limit) => viewPhotos(db, name, after, limit),
        open: manifestsOf(s3),
      },
      what,
      null,
      1,
    );
    for await (const _ of read) break;
  } catch (thrown) {
    if (!(thrown instanceof ModerationError) || thrown.retry) throw thrown;
    const start = "nothing was started; --unchecked starts it all the same, where the feeder can read it";
    const named = thrown.message.startsWith(describe(what)) ? "" : `${describe(what)}: `;
    throw new ConfigError("CONFIG_INVALID", `${named}${thrown.message}: ${start}`, {
      cause: thrown,
    });
  } finally {
    s3.destroy();
  }
}
