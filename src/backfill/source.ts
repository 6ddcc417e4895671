import type { PhotoJob } from "../photo.ts";
import type { Cursor, Page } from "./pages.ts";
import type { FedSelector } from "./selector.ts";

/** A backfill that is running, as the table has it: another version, or a hand, may have written it. */
export interface StoredBackfill {
  id: string;
  what: unknown;
  model: string;
  maxRate: number | null;
  hours: string | null;
  /** Template of the renditions that are read instead of the photos; null: none is. */
  rendition: string | null;
  cursor: Cursor | null;
  readAll: boolean;
  /** Failed photos are to be fed again. */
  retrying: boolean;
  /** At its rate, what was fed lasts for now. */
  rests: boolean;
}

export interface RunningBackfill extends StoredBackfill {
  what: FedSelector;
}

export interface SourceDeps {
  pages(backfill: RunningBackfill, size: number): AsyncGenerator<Page>;
  /** Commits that a page was read; the photos to queue, or undefined where somebody else was faster or stopped it, or it rests. */
  feed(backfill: RunningBackfill, from: Cursor | null, page: Page): Promise<PhotoJob[] | undefined>;
  /** Commits that a page of failed photos is fed again; the photos to queue, or undefined where somebody stopped it. */
  retry(id: string, size: number): Promise<PhotoJob[] | undefined>;
}

/** A backfill that is being read, or whose failed photos are fed again: those come first. */
export interface Source {
  backfill: RunningBackfill;
  /** Commits that the next page is fed; the photos to queue, or undefined where there is nothing more. */
  feed(): Promise<PhotoJob[] | undefined>;
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
      return deps.feed(backfill, read, value);
    },
    async close() {
      await pages.return(undefined);
    },
  };
}
