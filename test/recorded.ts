import type { PhotoEvent } from "../src/intake/event.ts";
import type { EventOutcome } from "../src/photo.ts";
import { recordEvents } from "../src/store/events.ts";
import { type Database, rows } from "./fixtures.ts";

/** The upload of one object, as its store tells it. */
export const event = (over: Partial<PhotoEvent> = {}): PhotoEvent => ({
  kind: "created",
  store: "s3",
  bucket: "b",
  key: "a",
  version: "etag:1",
  order: "10",
  receivedAt: new Date(0),
  known: {},
  ...over,
});

/** The same as an upload handler tells it now: by its key alone, in no order. */
export const told = (over: Partial<PhotoEvent> = {}): PhotoEvent =>
  event({ version: "", order: null, receivedAt: new Date(), ...over });

export const removed = (order: string | null, version = ""): PhotoEvent =>
  event({ kind: "removed", version, order });

export const record = (db: Database, ...events: PhotoEvent[]): Promise<EventOutcome[]> =>
  recordEvents(db.pool, events, "right");

export const one = async (db: Database, each: PhotoEvent): Promise<EventOutcome> =>
  (await record(db, each))[0]!;

export const outcomes = async (db: Database, ...events: PhotoEvent[]) =>
  (await record(db, ...events)).map(({ outcome }) => outcome);

export const publicVersions = async (db: Database): Promise<string[]> =>
  (await rows(db, "select version from public_photos order by 1")).map((row) => row.version);

export const current = async (db: Database): Promise<string[]> =>
  (await rows(db, "select version from photos where superseded_at is null order by 1")).map(
    (row) => row.version,
  );
