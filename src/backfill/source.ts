import { compareKeys } from "../key-order.ts";
import type { PhotoJob } from "../photo.ts";
import type { BackfillRow } from "../store/backfills.ts";
import type { Cursor, Page } from "./pages.ts";
import type { FedSelector } from "./selector.ts";

/** A backfill that is running, as the table has it: another version, or a hand, may have written it. */
export interface StoredBackfill
  extends Pick<
    BackfillRow,
    | "id"
    | "what"
    | "model"
    | "maxRate"
    | "hours"
    | "rendition"
    | "readAll"
    | "retrying"
    | "rests"
    | "workers"
    | "able"
  > {
  cursor: Cursor | null;
}

export interface RunningBackfill extends StoredBackfill {
  what: FedSelector;
}

export interface SourceDeps {
  pages(backfill: RunningBackfill, size: number): AsyncGenerator<Page>;
  /** Commits that a page was read; the photos to queue, or undefined where somebody else was faster or stopped it, or it rests. */
  feed(backfill: RunningBackfill, from: Cursor | null, page: Page): Promise<PhotoJob[] | undefined>;
  /** How far it was read, by whichever feeder; null: not at all. */
  stands(id: string): Promise<Cursor | null>;
  /** Commits that a page of failed photos is fed again; the photos to queue, or undefined where somebody stopped it. */
  retry(id: string, size: number): Promise<PhotoJob[] | undefined>;
}

/** A backfill that is being read, or whose failed photos are fed again: those come first. */
export interface Source {
  backfill: RunningBackfill;
  /**
   * Commits that the next page is fed; the photos to queue, "elsewhere" where another feeder did it, or undefined where
   * there is nothing more.
   */
  feed(): Promise<PhotoJob[] | "elsewhere" | undefined>;
  close(): Promise<void>;
}

export function createSource(deps: SourceDeps, backfill: RunningBackfill, size: number): Source {
  // a rate below a page would otherwise come in bursts
  const pageSize = Math.min(size, Math.max(1, Math.ceil(backfill.maxRate ?? size)));
  const pages = deps.pages(backfill, pageSize);
  let from = backfill.cursor;
  let ahead: ReturnType<typeof pages.next> | undefined;
  return {
    backfill,
    async feed() {
      if (backfill.retrying) {
        const photos = await deps.retry(backfill.id, pageSize);
        return photos?.length === 0 ? undefined : photos;
      }
      const { value, done } = await (ahead ?? pages.next());
      if (done) return undefined;
      // one page is read while the one before is committed and queued: that nearly doubles the rate
      ahead = pages.next();
      // whoever takes it hears of it
      ahead.catch(() => {});
      const read = from;
      from = value.cursor;
      const photos = await deps.feed(backfill, read, value);
      // what comes from Postgres is as well begun anew
      if (photos || backfill.what.kind === "photos" || backfill.what.kind === "view") return photos;
      // another feeder fed this page; opened anew, a list would be read from its start, and a bucket listed again
      return reaches(await deps.stands(backfill.id), from) ? "elsewhere" : undefined;
    },
    async close() {
      await pages.return(undefined);
    },
  };
}

/**
 * Whether what was read up to `stands` has the page that ends at `end`. Of a store that lists in no order that may be
 * wrong, and the page is read anew.
 */
function reaches(stands: Cursor | null, end: Cursor): boolean {
  if (!stands) return false;
  if ("after" in stands) return "after" in end && compareKeys(stands.after, end.after) >= 0;
  return "file" in end && (stands.file - end.file || stands.record - end.record) >= 0;
}
