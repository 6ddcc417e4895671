import { createReadStream } from "node:fs";
import type { PageDeps } from "../backfill/pages.ts";
import { pages } from "../backfill/pages.ts";
import { describe, type FedSelector } from "../backfill/selector.ts";
import { connectS3, listStretch, openObject } from "../image/s3.ts";
import { bestRate } from "../store/backfills.ts";
import type { Pool } from "../store/pool.ts";
import { selectPhotos, viewPhotos } from "../store/selected-photos.ts";
import { type Arguments, connectedConfig, EXIT, type Terminal } from "./command.ts";

/** maitred backfill start --dry-run: reads the whole selector, and changes nothing. */
export async function estimate(
  db: Pool,
  what: FedSelector,
  model: string,
  maxRate: number | null,
  { values }: Arguments,
  terminal: Terminal,
): Promise<number> {
  const s3 = connectS3(connectedConfig(terminal), 2);
  const counted = { photos: 0, unreadable: 0, listRequests: 0, bytes: null as number | null };
  const deps: PageDeps = {
    async list(bucket, prefix, after, limit) {
      const stretch = await listStretch(s3, bucket, prefix, after, limit);
      counted.listRequests++;
      counted.bytes = (counted.bytes ?? 0) + stretch.bytes;
      return stretch;
    },
    known: async (photos) => photos.map(({ key }) => key),
    select: ({ olderModel, ...filter }, after, limit) =>
      selectPhotos(db, { ...filter, notBy: olderModel ? model : undefined }, after, limit),
    view: (name, after, limit) => viewPhotos(db, name, after, limit),
    open: async (at) => {
      const url = /^s3:\/\/([^/]+)\/(.+)$/s.exec(at);
      return url ? openObject(s3, url[1]!, url[2]!) : createReadStream(at);
    },
  };
  try {
    for await (const page of pages(deps, what, null, 1_000)) {
      counted.photos += page.ids.length;
      counted.unreadable += page.unreadable;
      if (terminal.columns > 0) terminal.say(`\r${counted.photos} photos so far\x1b[K\r`);
    }
  } finally {
    s3.destroy();
  }
  const measured = await bestRate(db);
  const rate = maxRate === null ? measured : Math.min(maxRate, measured ?? maxRate);
  const result = {
    ...counted,
    getRequests: counted.photos,
    photosPerS: rate,
    seconds: rate ? Math.ceil(counted.photos / rate) : null,
  };
  if (values["json"]) terminal.print(JSON.stringify(result));
  else for (const line of printed(what, result)) terminal.print(line);
  return EXIT.done;
}

function printed(what: FedSelector, result: Record<string, number | null>): string[] {
  const { photos, unreadable, listRequests, getRequests, bytes, photosPerS, seconds } = result;
  const lines = [`${photos} photos: ${describe(what)}`];
  if (unreadable) lines.push(`${unreadable} records name no photo`);
  const size = bytes === null ? "" : `, ${(bytes! / 1e9).toFixed(3)} GB`;
  lines.push(`at most ${getRequests} GET requests${listRequests ? `, ${listRequests} to list` : ""}${size}`);
  lines.push(
    seconds === null
      ? "how long: nothing was judged within a day, so no rate is known"
      : `about ${duration(seconds!)} at ${photosPerS!.toFixed(1)} photos/s`,
  );
  lines.push("what is decided already is among them, and will be skipped");
  return lines;
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
