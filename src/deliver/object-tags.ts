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
 *   tagged     the object has them, or each version that has the photo's bytes
 *   gone       there is no such object, or no such version any more: nothing was written
 *   overtaken  other bytes took the object's place, and may have the tags, of this attempt or of one before that did not end:
 *              `version` says which
 *   full       it has as many tags of others as the store takes: of such a version nothing was written
 *   unlisted   the store refuses to list the versions that have the photo's bytes: only a current one was written
 *   unknown    nothing tells the photo's bytes from later ones under its key: nothing was written
 */
export type Tagged =
  | { became: "tagged" | "gone" | "full" | "unlisted" | "unknown" }
  | { became: "overtaken"; version: string };

interface TagDeps {
  /** undefined where no photo is known of this version of this object. */
  photoOf(photo: PhotoRef): Promise<PhotoNow | undefined>;
  /** Gives the object, or each version that has the photo's bytes, the tags for it, and takes other tags of ours away; null: all of them. */
  setTags(photo: PhotoRef, tagsFor: (version: string) => Promise<PhotoTags | null>): Promise<Tagged>;
}

/**
 * Makes the tags of a photo's object say what is known of it now, which may be more than the change that is told: so a
 * change that comes late, or again, never brings an old verdict back. It looks once more after writing, because another
 * process may have been faster with a later change; and where other bytes have taken the object's place, they get the
 * tags of their own photo, or none. Of the versions that have the bytes of a photo that is known by its etag, one that
 * has a photo of its own gets the tags of that, and the others get those of the photo: at most one photo of an object is
 * current, so that no two of them can say "shown".
 */
export function createTagger(deps: TagDeps): (claim: Pick<Claim, "payload">) => Promise<Attempt> {
  return async ({ payload }) => {
    const { store, bucket, key } = payload;
    let version = payload.version;
    let note: string | undefined;
    for (let turn = 0; turn < MOST_TURNS; turn++) {
      const photo: PhotoRef = { store: store === "s3" ? "s3" : "folder", bucket, key, version };
      const tagsFor = async (of: string): Promise<PhotoTags | null> =>
        tagsOf((await deps.photoOf({ ...photo, version: of })) ?? (await deps.photoOf(photo)));
      const given = new Map<string, string>();
      const result = await deps.setTags(photo, async (of) => {
        const tags = await tagsFor(of);
        given.set(of, JSON.stringify(tags));
        return tags;
      });
      if (result.became === "overtaken") {
        version = result.version;
        note = "other bytes are in its place: they have the tags of their own verdict, or none";
        continue;
      }
      let changed = false;
      for (const [of, tags] of given) changed ||= JSON.stringify(await tagsFor(of)) !== tags;
      if (!changed) return attemptOf(result.became, `${bucket}/${key}`, note);
    }
    return { outcome: "failed", why: `it changed ${MOST_TURNS} times while it was tagged` };
  };
}

function attemptOf(
  became: Exclude<Tagged["became"], "overtaken">,
  where: string,
  note: string | undefined,
): Attempt {
  switch (became) {
    case "tagged":
      return { outcome: "delivered", ...(note && { note }) };
    case "gone":
      return { outcome: "delivered", note: "its bytes are not there any more" };
    case "unknown":
      return { outcome: "delivered", note: "not tagged: it has neither version id nor etag" };
    // dead at once: what was tried again for days would hold up the tags of later verdicts
    case "full":
      return dead(
        `TAGS_FULL: ${where}: it has ten tags of others, which is all that S3 takes: take one away`,
      );
    case "unlisted":
      return dead(
        `VERSIONS_UNLISTED: ${where}: older versions with the same bytes may keep other tags: allow s3:ListBucketVersions`,
      );
  }
}

function dead(why: string): Attempt {
  return { outcome: "failed", why: `${why}, then maitred deliveries replay`, final: true };
}

/** A photo that is not current is tagged as such: its bytes may still be there, as a version that somebody can ask for. */
function tagsOf(photo: PhotoNow | undefined): PhotoTags | null {
  if (!photo || photo.state === "pending") return null;
  return {
    "maitred-verdict": photo.current ? photo.state : "withdrawn",
    ...(photo.category && { "maitred-category": photo.category }),
  };
}

const MOST_TURNS = 5;
