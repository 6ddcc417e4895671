import { PhotoError, UpstreamError } from "../errors.ts";
import type { Fetched } from "../moderate/line.ts";
import type { PhotoRef, Store } from "../photo.ts";

export interface FetchLimits {
  maxBytes: number;
  /** Milliseconds in which a store begins to answer, and in which more of an object comes. */
  timeoutMs: number;
}

/**
 * Reads one object of one store.
 *
 * @throws {PhotoError} GONE (a ReplacedError where the store says so), ACCESS_DENIED or TOO_LARGE (told while streaming, not after).
 * @throws {UpstreamError} STORE_UNAVAILABLE: no answer in time, a broken connection, or the store's own error.
 */
export type FetchPhoto = (photo: PhotoRef, limits: FetchLimits) => Promise<Fetched>;

/** Sends each photo to the fetcher of its store. A store without one is a setting that is missing. */
export function createFetch(stores: Partial<Record<Store, FetchPhoto>>): FetchPhoto {
  return async (photo, limits) => {
    const fetch = stores[photo.store];
    if (fetch) return fetch(photo, limits);
    throw new PhotoError(
      "ACCESS_DENIED",
      `no ${photo.store} store is configured${photo.store === "folder" ? `: set MAITRED_FOLDERS=${photo.bucket}` : ""}`,
    );
  };
}

export function tooLarge(size: number, maxBytes: number): PhotoError {
  return new PhotoError(
    "TOO_LARGE",
    `expected at most ${maxBytes} bytes, got ${size} or more (MAITRED_MAX_BYTES)`,
  );
}

export function unavailable(photo: PhotoRef, why: string, cause?: unknown): UpstreamError {
  return new UpstreamError("STORE_UNAVAILABLE", `${photo.bucket}/${photo.key}: ${why}`, { cause });
}
