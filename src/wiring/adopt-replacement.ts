/** Part of the worker: what took the place of a photo that is gone. */
import type { Config } from "../config.ts";
import { connectS3 } from "../image/s3.ts";
import { headObject } from "../image/s3-listing.ts";
import { queuePhotos } from "../intake/ingest-events.ts";
import type { Scope } from "../lifecycle.ts";
import type { LineDeps } from "../moderate/line.ts";
import type { Queues } from "../queue/queues.ts";
import type { Pool } from "../store/pool.ts";
import { knownAmong, objectStates, takeFound } from "../store/sweeps.ts";
import { versionOf } from "../version.ts";
import { queueDeps } from "./intake.ts";

/**
 * Does what a sweep would of one key, but withdraws nothing, and waits for no event that may be on its way. It asks the store once, and not
 * at all where the photo is no longer the current one: what took its place has been told of. Again it changes nothing.
 */
export function openAdoptReplacement(
  config: Config,
  { db, queues }: { db: Pool; queues: Queues },
  scope: Scope,
): LineDeps["adoptReplacement"] {
  const s3 = connectS3(config, CONNECTIONS);
  scope.onClose("S3 of replacements", () => s3.destroy());
  const queue = queueDeps(db, queues);
  return async ({ bucket, key, version }, lane) => {
    // first: where an event comes after it, nothing is done
    const [seen] = await objectStates(db, bucket, [key]);
    const [current] = await knownAmong(db, bucket, [key]);
    if (!current?.versions.includes(version)) return;
    const signal = AbortSignal.timeout(config.fetchTimeoutMs);
    const there = await headObject({ s3, bucket, turn: async () => {}, signal }, key);
    if (typeof there === "string") return;
    const found = versionOf(there.versionId, there.etag);
    // the answers of a store may differ from each other
    if (found === "" || found === version) return;
    const wanted = { kind: "created", key, version: found, state: seen!.state } as const;
    const taken = await takeFound(db, bucket, wanted, { pad: config.sequencerPad, lane });
    if (!taken?.queue) return;
    const photo = {
      id: taken.photoId!,
      store: "s3",
      bucket,
      key,
      version: found,
      known: {},
      found: true,
    } as const;
    await queuePhotos(queue, lane, [photo]);
  };
}

const CONNECTIONS = 8;
