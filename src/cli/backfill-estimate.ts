import { parseHours, secondsWithin } from "../backfill/hours.ts";
import type { PageDeps } from "../backfill/pages.ts";
import { pages } from "../backfill/pages.ts";
import { formatRate } from "../backfill/progress.ts";
import { describe, type FedSelector } from "../backfill/selector.ts";
import { ANSWER_MS, connectS3 } from "../image/s3.ts";
import { listAfter } from "../image/s3-bucket.ts";
import type { PhotoRef } from "../photo.ts";
import { bestRate } from "../store/backfills.ts";
import { type Deciding, decidedObjects, decidedPhotos } from "../store/decided-photos.ts";
import { readWorkers } from "../store/models.ts";
import { readPhotos } from "../store/photos.ts";
import type { Pool } from "../store/pool.ts";
import { selectPhotos, viewPhotos } from "../store/selected-photos.ts";
import { manifestsOf } from "../wiring/manifests.ts";
import { connectedConfig, EXIT, type Terminal } from "./command.ts";
import { printResult } from "./output.ts";
import { counted } from "./plural.ts";
import {
  createSample,
  estimateBytes,
  estimateRenditions,
  type RenditionEstimate,
  type Sample,
} from "./rendition-sample.ts";
import { drawStatus } from "./terminal.ts";

interface Intended extends Deciding {
  what: FedSelector;
  maxRate: number | null;
  hours: string | null;
  rendition: string | null;
}

/** maitred backfill start --dry-run: reads the whole selector, and changes nothing. */
export async function estimate(
  db: Pool,
  intended: Intended,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const { what, model, maxRate, hours, rendition } = intended;
  const s3 = connectS3(connectedConfig(terminal), 2, 1, ANSWER_MS);
  const counted = {
    photos: 0,
    skipped: 0,
    unreadable: 0,
    listRequests: 0,
    bytes: null as number | null,
    sizesAsked: 0,
    sizesFound: 0,
  };
  const ids = createSample<string>(LOOKED_AT);
  const objects = createSample<PhotoRef>(LOOKED_AT);
  let renditions: RenditionEstimate | null = null;
  let left = 0;
  const deps: PageDeps = {
    async list(bucket, prefix, after, limit) {
      const stretch = await listAfter(s3, bucket, prefix, after, limit);
      counted.listRequests++;
      counted.bytes = (counted.bytes ?? 0) + stretch.bytes;
      return stretch;
    },
    select: ({ olderModel, ...filter }, after, limit) =>
      selectPhotos(db, { ...filter, notBy: olderModel ? model : undefined }, after, limit),
    view: (name, after, limit) => viewPhotos(db, name, after, limit),
    open: manifestsOf(s3),
  };
  function count<T>(photos: readonly T[], decided: ReadonlySet<number>, sample: Sample<T>): void {
    counted.photos += photos.length;
    counted.skipped += decided.size;
    for (const [at, photo] of photos.entries()) if (!decided.has(at)) sample.offer(photo);
  }
  try {
    for await (const page of pages(deps, what, null, 1_000)) {
      if (page.objects) {
        const named = new Map(page.objects.map((object) => [`${object.bucket}/${object.key}`, object]));
        const each = [...named.values()];
        count(each, await decidedObjects(db, each, intended), objects);
      } else count(page.ids, await decidedPhotos(db, page.ids, intended), ids);
      counted.unreadable += page.unreadable;
      drawStatus(terminal, `${counted.photos} photos so far`);
    }
    const some = [...objects.kept, ...(await readPhotos(db, ids.kept))];
    left = counted.photos - counted.skipped;
    if (what.kind !== "prefix") {
      const sizes = await estimateBytes(s3, some, left);
      counted.bytes = left === 0 ? 0 : (sizes?.bytes ?? null);
      counted.sizesAsked = some.length;
      counted.sizesFound = sizes?.found ?? 0;
    }
    if (rendition !== null) renditions = await estimateRenditions(s3, some, left, rendition);
  } finally {
    s3.destroy();
  }
  const rate = await rateOf(db, maxRate);
  const seconds = rate && left / rate.photosPerS;
  const result = {
    ...counted,
    getRequests: left + (renditions?.originals ?? 0),
    renditions,
    photosPerS: rate?.photosPerS ?? null,
    rateIs: rate?.is ?? null,
    seconds: seconds && Math.ceil(hours ? secondsWithin(parseHours(hours), seconds) : seconds),
  };
  printResult(terminal, json, result, printed(intended, result));
  return EXIT.done;
}

interface Rate {
  photosPerS: number;
  /** Where it is from, for a person. */
  is: string;
}

/** What workers have shown that they can, as far as it is known; no more than what was asked for. */
async function rateOf(db: Pool, maxRate: number | null): Promise<Rate | null> {
  const measured = await measuredRate(db);
  if (maxRate === null || (measured && measured.photosPerS < maxRate)) return measured;
  return { photosPerS: maxRate, is: "--max-rate" };
}

async function measuredRate(db: Pool): Promise<Rate | null> {
  const workers = await readWorkers(db);
  const best = workers.map(({ figures }) => (figures as { bestPerS?: number } | null)?.bestPerS ?? 0);
  const photosPerS = best.reduce((sum, each) => sum + each, 0);
  if (photosPerS > 0) {
    const whose =
      workers.length === 1 ? "the worker that runs" : `each of the ${workers.length} workers that run`;
    return { photosPerS, is: `the best five seconds of ${whose}` };
  }
  const minute = await bestRate(db);
  return minute === null ? null : { photosPerS: minute, is: "the best minute of the last day" };
}

interface Estimate {
  photos: number;
  /** Of these, those that are decided already. */
  skipped: number;
  unreadable: number;
  listRequests: number;
  /** Of the photos themselves, of a prefix with those that are skipped; null where it could not be found out. */
  bytes: number | null;
  /** How many photos' sizes were asked for to say so of all; 0 where the listing told. */
  sizesAsked: number;
  /** How many of those are there: the others count as no bytes. */
  sizesFound: number;
  getRequests: number;
  renditions: RenditionEstimate | null;
  photosPerS: number | null;
  /** Where that rate is from. */
  rateIs: string | null;
  seconds: number | null;
}

function printed({ what, hours }: Intended, result: Estimate): string[] {
  const { photos, skipped, unreadable, listRequests, getRequests, bytes, renditions, seconds } = result;
  // what is said of photos in Postgres begins with that word
  const lines = [`${counted(photos, "photo")}: ${describe(what).replace(/^photos: /, "")}`];
  if (skipped)
    lines.push(
      `${skipped} of them ${skipped === 1 ? "is" : "are"} decided already, and skipped: ${photos - skipped} left to judge`,
    );
  if (unreadable) lines.push(`${counted(unreadable, "record names", "records name")} no photo`);
  const { sizesAsked, sizesFound } = result;
  const rest = sizesFound < sizesAsked ? ": the rest is absent or refused, and counts as none" : "";
  const about = sizesAsked > 0 ? ` by the sizes of ${sizesFound} of ${sizesAsked} asked for${rest}` : "";
  const size =
    bytes === null
      ? "; how many bytes the bucket did not say"
      : `, ${gigabytes(bytes)}${renditions ? " of originals" : ""}${about}${what.kind === "prefix" && skipped ? " with what is skipped" : ""}`;
  lines.push(
    `at most ${counted(getRequests, "GET request")}${listRequests ? `, ${listRequests} to list` : ""}${size}`,
  );
  if (renditions) {
    const { looked, found, originals } = renditions;
    lines.push(
      `of ${counted(looked, "photo")} looked at, ${found} ${found === 1 ? "has" : "have"} a rendition: about ${gigabytes(renditions.bytes)}` +
        ` of them all, and ${originals} originals`,
    );
    if (looked > 0 && found === 0)
      lines.push(
        "none of them has one: is --rendition-template right? Each costs a request more than without it",
      );
  }
  lines.push(
    seconds === null
      ? "how long: nothing was judged within a day, so no rate is known"
      : `about ${duration(seconds)} at ${formatRate(result.photosPerS!)} photos/s, which is ${result.rateIs}${hours ? `, within ${hours} only` : ""}`,
  );
  return lines;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(3)} GB`;
}

/** A length of time in its two largest units. */
export function duration(seconds: number): string {
  const units = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ] as const;
  const first = Math.max(
    0,
    units.findIndex(([length]) => seconds >= length),
  );
  const parts: string[] = [];
  let left = Math.max(0, Math.round(seconds));
  for (const [length, name] of units.slice(first, first + 2)) {
    const count = Math.floor(left / length);
    left -= count * length;
    if (count > 0) parts.push(`${count} ${name}`);
  }
  return parts.join(" ") || "0 s";
}

/** Photos whose size or rendition is asked for: enough to say nine tenths from all, in a second or two. */
const LOOKED_AT = 100;
