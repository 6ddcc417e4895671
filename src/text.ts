/** The id of a row, as text. */
export const ID = /^[1-9]\d{0,17}$/;

/** Whether Postgres can hold it: it takes no zero character, and no half of a character pair. */
export function isStorable(text: string): boolean {
  return !text.includes("\0") && !/\p{Surrogate}/u.test(text);
}

/** What Postgres can hold of a text; the rest becomes a replacement character, or is cut off. */
export function storable(text: string, maxBytes: number): string {
  const clean = text.replaceAll(/\p{Surrogate}/gu, "\uFFFD").replaceAll("\0", "\uFFFD");
  if (Buffer.byteLength(clean) <= maxBytes) return clean;
  // a character that the cut goes through becomes one of three bytes
  return Buffer.from(clean)
    .subarray(0, maxBytes - 3)
    .toString();
}

/** Whether a person can be called so: one that only looks like another's would be taken for theirs in history. */
export function isName(text: string): boolean {
  return text === text.trim().normalize() && text !== "" && text.length <= LONGEST_NAME && !UNSEEN.test(text);
}

/** The blank of Braille among it; and pages draw two blanks as one. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|[^\S ]| {2}/u;
/** Characters. An index in Postgres could not hold some kilobytes. */
export const LONGEST_NAME = 200;

/** Text that was encoded as in an HTML form, where a plus is a space, as S3 encodes keys. @throws {URIError} where it was not. */
export function decodeForm(encoded: string): string {
  return decodeURIComponent(encoded.replaceAll("+", " "));
}
