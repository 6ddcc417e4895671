import type { PhotoRef } from "../photo.ts";
import type { Attempt, Claim } from "./message.ts";

/** What is known of the photo of an object at this moment. */
export interface PhotoNow {
  state: string;
  category: string | null;
  /** Neither replaced nor removed. */
  current: boolean;
}

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

export interface TagDeps {
  /** undefined where no photo is known of this version of this object. */
  photoOf(photo: PhotoRef): Promise<PhotoNow | undefined>;
  /** Gives the object these tags, and takes other tags of ours away; null: all of them. */
  setTags(photo: PhotoRef, tags: PhotoTags | null): Promise<Tagged>;
}

/**
 * Makes the tags of a photo's object say what is known of it now, which may be more than the change that is told: so a
 * change that comes late, or again, never brings an old verdict back. It looks once more after writing, because another
 * process may have been faster with a later change; and where other bytes have taken the object's place, they get the
 * tags of their own photo, or none. Where a photo that is known by its etag turns out to be a version that has a
 * photo of its own, that one has the last word.
 */
export function createTagger(deps: TagDeps): (claim: Pick<Claim, "payload">) => Promise<Attempt> {
  return async ({ payload }) => {
    const { store, bucket, key } = payload;
    let version = payload.version;
    let note: string | undefined;
    for (let turn = 0; turn < MOST_TURNS; turn++) {
      const photo: PhotoRef = { store: store === "s3" ? "s3" : "folder", bucket, key, version };
      const tags = tagsOf(await deps.photoOf(photo));
      const result = await deps.setTags(photo, tags);
      if (result.became === "overtaken") {
        version = result.version;
        note = "other bytes are in its place: they have the tags of their own verdict, or none";
      } else if (result.became === "gone")
        return { outcome: "delivered", note: "its bytes are not there any more" };
      else if (result.became === "full") return full(bucket, key);
      else if (result.became === "unknown")
        return { outcome: "delivered", note: "not tagged: it has neither version id nor etag" };
      else if ("version" in result && (await deps.photoOf({ ...photo, version: result.version })))
        version = result.version;
      else if (JSON.stringify(tagsOf(await deps.photoOf(photo))) === JSON.stringify(tags))
        return { outcome: "delivered", ...(note && { note }) };
    }
    return { outcome: "failed", why: `it changed ${MOST_TURNS} times while it was tagged` };
  };
}

/** A photo that is not current is tagged as such: its bytes may still be there, as a version that somebody can ask for. */
function tagsOf(photo: PhotoNow | undefined): PhotoTags | null {
  if (!photo || photo.state === "pending") return null;
  return {
    "maitred-verdict": photo.current ? photo.state : "withdrawn",
    ...(photo.category && { "maitred-category": photo.category }),
  };
}

function full(bucket: string, key: string): Attempt {
  const why = `TAGS_FULL: ${bucket}/${key}: it has ten tags of others, which is all that S3 takes: take one away, then maitred deliveries replay`;
  return { outcome: "failed", why, final: true };
}

const MOST_TURNS = 5;
