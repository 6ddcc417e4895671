import { ConfigError } from "../errors.ts";
import { storableKey } from "../key-order.ts";
import type { PhotoMetadata, PhotoRef } from "../photo.ts";
import type { OpenFile } from "./inventory.ts";
import { type ManifestCursor, readManifest } from "./manifest.ts";
import type { FedSelector, PhotoSelector } from "./selector.ts";

/** Where a selector goes on; stored as JSON, and null at its beginning. */
export type Cursor = { after: string } | ManifestCursor;

type NamedObject = PhotoRef & { known: PhotoMetadata };

/** A stretch of a selector. Nothing of it is made known before it is fed, or of a run that is stopped it would wait for nobody. */
export interface Page {
  /** Ids of photos; of a prefix or a list none. */
  ids: string[];
  /** Objects of which no photo may be known yet; one may be named twice. */
  objects?: NamedObject[];
  /** The page that begins here comes next. */
  cursor: Cursor;
  /** Nothing comes after it. */
  end: boolean;
  /** Records that name no photo. */
  unreadable: number;
}

/** What one scan step finds, in the order of ids or keys. */
export interface ScanPage<T> {
  found: T[];
  /** The last id or key that was looked at. */
  after: string;
  /** Nothing comes after it. */
  end: boolean;
}

export interface PageDeps {
  /** Objects below a prefix, after a key, at most `limit`. */
  list(bucket: string, prefix: string, after: string, limit: number): Promise<ScanPage<PhotoRef>>;
  /** Ids that match, after an id, at most `limit`; it looks at a bounded stretch of the table, and may find none. */
  select(what: PhotoSelector, after: string, limit: number): Promise<ScanPage<string>>;
  /** Ids that a view holds, after an id, at most `limit`. */
  view(name: string, after: string, limit: number): Promise<ScanPage<string>>;
  open: OpenFile;
}

/**
 * The photos of a selector from `from` on, in pages of at most `size`. Each page is complete: whoever keeps its cursor
 * can go on behind it in another process.
 *
 * @throws {ConfigError} for a manifest that cannot be read, or none of whose records names a photo; {UpstreamError} what may be better later.
 */
export async function* pages(
  deps: PageDeps,
  what: FedSelector,
  from: Cursor | null,
  size: number,
): AsyncGenerator<Page> {
  if (what.kind === "manifest") {
    yield* manifestPages(deps, what.at, what.bucket, from as ManifestCursor | null, size);
    return;
  }
  let after = (from as { after: string } | null)?.after ?? "";
  if (what.kind === "prefix") {
    yield* prefixPages(deps, what, after, size);
    return;
  }
  for (;;) {
    const { found, end, ...next } = await (what.kind === "view"
      ? deps.view(what.view, after, size)
      : deps.select(what, after, size));
    after = next.after;
    yield { ids: found, cursor: { after }, end, unreadable: 0 };
    if (end) return;
  }
}

/** As many are listed as a request gives, however few make a page: stores take their price by the request. */
async function* prefixPages(
  deps: PageDeps,
  { bucket, prefix }: Extract<FedSelector, { kind: "prefix" }>,
  from: string,
  size: number,
): AsyncGenerator<Page> {
  let listed: ScanPage<PhotoRef> = { found: [], after: from, end: false };
  while (!listed.end) {
    listed = await deps.list(bucket, prefix, listed.after, LISTED);
    const { found, after, end } = listed;
    for (let at = 0; at === 0 || at < found.length; at += size) {
      const some = found.slice(at, at + size);
      const last = at + size >= found.length;
      yield {
        ids: [],
        objects: some.map((photo) => ({ ...photo, known: {} })),
        cursor: { after: storableKey(last ? after : some.at(-1)!.key) },
        end: last && end,
        unreadable: 0,
      };
    }
  }
}

async function* manifestPages(
  deps: PageDeps,
  at: string,
  bucket: string | undefined,
  from: ManifestCursor | null,
  size: number,
): AsyncGenerator<Page> {
  let objects: NamedObject[] = [];
  let unreadable = 0;
  let usable = false;
  let read = 0;
  const whys: string[] = [];
  let cursor = from ?? { file: 0, record: 0 };
  const page = (end: boolean): Page => {
    const done = { ids: [], objects, cursor, end, unreadable };
    objects = [];
    unreadable = 0;
    return done;
  };
  for await (const { photo, why, next } of readManifest(deps.open, at, cursor, bucket)) {
    read++;
    usable ||= photo !== undefined;
    if (photo) objects.push(photo);
    else unreadable++;
    if (!photo && whys.length < 2) whys.push(`record ${next.record} ${why}`);
    cursor = next;
    if (objects.length + unreadable >= size) yield page(false);
  }
  // what was read before a stop may have named some
  if (from === null && read > 0 && !usable) throw useless(at, read, whys);
  yield page(true);
}

function useless(at: string, records: number, whys: readonly string[]): ConfigError {
  const bucket = whys.some((why) => why.endsWith("names no bucket"))
    ? "; --bucket NAME says whose keys they are"
    : "";
  const none = `${at}: none of its ${records} records names a photo`;
  return new ConfigError(`${none}: ${whys.join(", ")}${bucket}`);
}

/** The most that S3 lists at once. */
const LISTED = 1_000;
