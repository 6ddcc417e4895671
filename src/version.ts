/**
 * What a photo's version is made of, and read as: the store's version id; `etag:` and what the store tells bytes apart by;
 * `generation:` and the order of the upload, where it tells nothing else; or "" for whatever is there now.
 */

/** The version of an object. "null" is S3's name for having no version id. */
export function versionOf(versionId: string | null | undefined, etag: string | null | undefined): string {
  if (versionId && versionId !== "null") return versionId;
  const bare = bareEtag(etag ?? "");
  return bare && ETAG + bare;
}

/**
 * The version of an object that is new. Where neither a version id nor an etag tells its bytes from those before it, its
 * order does: an overwrite must not keep the verdict of what it overwrote.
 */
export function createdVersion(
  versionId: string | null | undefined,
  etag: string | null | undefined,
  order: string | null,
): string {
  return versionOf(versionId, etag) || GENERATION + order;
}

/** The etag, bare, that the object must have; undefined where a version says nothing of it. */
export function etagOf(version: string): string | undefined {
  return version.startsWith(ETAG) ? version.slice(ETAG.length) : undefined;
}

/** Whether nothing about the object itself tells that it is this version: whatever is there now may be. */
export function isAnyBytes(version: string): boolean {
  return version === "" || version.startsWith(GENERATION);
}

/** Without its quotes, and without the mark of a weak one, as which what compresses answers on the way may give it. */
function bareEtag(etag: string): string {
  return etag.replace(/^W\/(?=")/, "").replaceAll('"', "");
}

const ETAG = "etag:";
const GENERATION = "generation:";
