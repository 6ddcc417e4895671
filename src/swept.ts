/** What a sweep compares, and what it wants done: the words between a store's listing, the comparison, and the table of photos. */

/** An object as the store shows it now. */
export interface ListedObject {
  key: string;
  /** As the store writes it. */
  etag: string | undefined;
  /** Where the bucket keeps versions; "null" is the store's name for having none. */
  versionId: string | undefined;
  modifiedAt: Date;
}

/** An object with the versions of its current photos, of which there is nearly always one. */
export interface KnownObject {
  key: string;
  versions: string[];
}

/** What is to be done about an object, as an event without an order, if its `state` is still the same. */
export interface Wanted {
  kind: "created" | "removed";
  key: string;
  version: string;
  state: string;
}
