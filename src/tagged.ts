/** Tags of ours on an object; every other tag is somebody else's, and stays. */
export interface PhotoTags {
  "maitred-verdict": string;
  "maitred-category"?: string;
}

/**
 * What became of setting tags.
 *   tagged     the object has them; where the photo is known by its etag and the bucket keeps versions, `version` has them
 *   gone       there is no such object, or a later version is there: nothing was written
 *   overtaken  other bytes took the object's place, and may have the tags, of this attempt or of one before that did not end:
 *              `version` says which
 *   full       it has as many tags of others as the store takes: nothing was written
 *   unknown    nothing tells the photo's bytes from later ones under its key: nothing was written
 */
export type Tagged =
  | { became: "tagged" | "gone" | "full" | "unknown" }
  | { became: "tagged" | "overtaken"; version: string };
