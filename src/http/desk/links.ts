import { isSigned, sign } from "./secrets.ts";

/** Pixels of the long side, at most, by the name of a picture. */
export const SIDES = { small: 320, medium: 640, large: 1_600 } as const;
/** What links lead to; heat says where the model sees a human. */
export const SIZES = ["small", "medium", "large", "heat"] as const;
type Size = (typeof SIZES)[number];

export type Links = Record<Size, string>;

/**
 * Links to the pictures of a photo, and to its heat map, for the session with this secret alone. They hold for 5 to 10
 * minutes, and stay the same for five, so that a browser keeps what it has.
 */
export function linksOf(secret: string, photo: string, now: Date): Links {
  const until = Math.ceil(now.valueOf() / 1_000 / STEP_S) * STEP_S + STEP_S;
  const link = (size: Size): string =>
    `/desk/api/pictures/${photo}/${size}?until=${until}&sign=${sign(secret, textOf(photo, size, until))}`;
  return { small: link("small"), medium: link("medium"), large: link("large"), heat: link("heat") };
}

/** Seconds that a link still holds; undefined where it is none of this session's, or too old. */
export function linkHolds(
  secret: string,
  { photo, size, until, signature }: { photo: string; size: Size; until: number; signature: string },
  now: Date,
): number | undefined {
  const leftS = Math.floor(until - now.valueOf() / 1_000);
  return leftS > 0 && isSigned(secret, textOf(photo, size, until), signature) ? leftS : undefined;
}

function textOf(photo: string, size: Size, until: number): string {
  return `${photo}/${size}/${until}`;
}

const STEP_S = 300;
