import { isSigned, sign } from "../secrets.ts";

/** Pixels of the long side, at most, by the name of a picture. */
export const SIDES = { small: 320, medium: 640, large: 1_600 } as const;
/** What links lead to; heat says where the model sees a human. */
export const SIZES = ["small", "medium", "large", "heat"] as const;
type Size = (typeof SIZES)[number];

type Links = Record<Size, string>;

interface Link {
  photo: string;
  size: Size;
  /** Its latest verdict when the link was made. */
  asOf: string;
  /** In seconds since 1970. */
  until: number;
}

/**
 * Links to the pictures of a photo, and to its heat map, for the session with this secret alone. They hold for 5 to 10
 * minutes, and stay the same for five, so that a browser keeps what it has; or until the next verdict, as it may be of other
 * bytes, and whoever decides with that `asOf` must have seen those.
 */
export function linksOf(secret: string, { id, asOf }: { id: string; asOf: string }, now: Date): Links {
  const until = Math.ceil(now.valueOf() / 1_000 / STEP_S) * STEP_S + STEP_S;
  const link = (size: Size): string => {
    const signature = sign(secret, textOf({ photo: id, size, asOf, until }));
    return `/desk/api/pictures/${id}/${size}?asOf=${asOf}&until=${until}&sign=${signature}`;
  };
  return { small: link("small"), medium: link("medium"), large: link("large"), heat: link("heat") };
}

/** Whether a link is this session's, and not too old. */
export function linkHolds(
  secret: string,
  { signature, ...link }: Link & { signature: string },
  now: Date,
): boolean {
  return link.until > now.valueOf() / 1_000 && isSigned(secret, textOf(link), signature);
}

function textOf({ photo, size, asOf, until }: Link): string {
  return `${photo}/${size}/${asOf}/${until}`;
}

const STEP_S = 300;
