import { EventError } from "../errors.ts";
import type { PhotoMetadata, Store } from "../photo.ts";
import { decodeForm } from "../text.ts";
import { fits, MAX_KEY_BYTES } from "./shape.ts";

/**
 * When a message was sent, as its queue says; "now" of one that comes at this moment, which Postgres times: of two machines that take
 * messages either clock may be wrong.
 */
export type Received = Date | "now";

/**
 * What happened to one object, in the one form that every source is turned into.
 *
 * `order` says which of two events of one object is the later, and means nothing between objects: hexadecimal digits
 * in lower case, or null where the source gives none, which is then taken as it arrives.
 */
export interface PhotoEvent {
  kind: "created" | "removed";
  store: Store;
  bucket: string;
  /** As the store knows it: nothing in it is encoded any more. */
  key: string;
  /**
   * As in PhotoRef. Of a removal of the whole object "", as it takes every version off the page, and "null" of the one that
   * a bucket with versions keeps without a version id.
   */
  version: string;
  order: string | null;
  /** When it was said, as far as the source tells, else when it came. What has an order counts by that first. */
  receivedAt: Received;
  known: PhotoMetadata;
}

/** What one message said. */
export interface Parsed {
  events: PhotoEvent[];
  /** How many things it said that are of no concern here, such as a test event, new tags, or a folder's marker. */
  ignored: number;
}

/**
 * The key, checked for what no store and no table could hold.
 *
 * @throws {EventError} EVENT_INVALID.
 */
export function checkKey(key: string, where: string): string {
  if (fits(key, MAX_KEY_BYTES)) return key;
  const got = JSON.stringify(key.slice(0, 100));
  throw new EventError(
    "EVENT_INVALID",
    `${where}: expected a key of 1 to ${MAX_KEY_BYTES} bytes, got ${got}`,
  );
}

/**
 * The key as S3 and MinIO write it in their notifications, as in an HTML form: a plus is a space, and everything
 * unusual, a plus and a percent sign among it, is percent-encoded UTF-8. MinIO encodes the slash too.
 *
 * @throws {EventError} EVENT_INVALID where what follows a percent sign is no UTF-8.
 */
export function decodeFormKey(encoded: string, where: string): string {
  try {
    return checkKey(decodeForm(encoded), where);
  } catch (cause) {
    if (cause instanceof EventError) throw cause;
    throw new EventError(
      "EVENT_INVALID",
      `${where}: expected a form-encoded key, got ${JSON.stringify(encoded.slice(0, 100))}`,
      { cause },
    );
  }
}

/** A folder's marker, as consoles make them: an object that is never a photo. */
export function isFolder(key: string): boolean {
  return key.endsWith("/");
}

/**
 * A sequencer in lower case, or null where there is none.
 *
 * @throws {EventError} EVENT_INVALID where it is no hexadecimal number of at most 64 digits.
 */
export function checkSequencer(sequencer: string | null | undefined, where: string): string | null {
  if (sequencer === undefined || sequencer === null || sequencer === "") return null;
  if (/^[0-9a-f]{1,64}$/i.test(sequencer)) return sequencer.toLowerCase();
  throw new EventError(
    "EVENT_INVALID",
    `${where}: expected a hexadecimal sequencer, got ${JSON.stringify(sequencer.slice(0, 100))}`,
  );
}

/**
 * When an event was said: at its own time, where that can be read and lies before it came. Also of one that has an order, for a later
 * one may have none, and is measured by it. A time before 1970 is how a clock that was never set, and Go, write that they know none.
 */
export function saidAt(time: unknown, receivedAt: Received): Received {
  const said = typeof time === "string" ? Date.parse(time) : Number.NaN;
  const latest = receivedAt === "now" ? LATEST : receivedAt.valueOf();
  return said > 0 && said < latest ? new Date(said) : receivedAt;
}

/**
 * What a removal takes: the version that it names, "null" being S3's name of the one without an id; else the object, as it
 * does `whole` where a marker hides it.
 */
export function removedVersion(whole: boolean, versionId: string | null | undefined): string {
  return whole ? "" : (versionId ?? "");
}

/** Of later years Postgres understands no `Date`. */
const LATEST = Date.UTC(9999, 11, 31);
