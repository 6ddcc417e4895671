/** How many columns of a terminal a text takes: letters of East Asia and emoji two, marks upon letters none. */
export function columnsOf(text: string): number {
  if (NARROW.test(text)) return text.length;
  return lettersOf(text).reduce((sum, letter) => sum + widthOf(letter), 0);
}

/** As much of a text's beginning as has room in so many columns. */
export function beginning(text: string, most: number): string {
  return NARROW.test(text) ? text.slice(0, most) : fitting(lettersOf(text), most).join("");
}

/** Text in at most so many columns, without its middle: names differ at their ends. */
export function cut(text: string, most: number): string {
  if (columnsOf(text) <= most) return text;
  const letters = lettersOf(text);
  const end = fitting(letters.toReversed(), Math.floor((most - 1) / 2))
    .reverse()
    .join("");
  return `${fitting(letters, most - 1 - columnsOf(end)).join("")}…${end}`;
}

export function pad(text: string, least: number): string {
  return text + " ".repeat(Math.max(0, least - columnsOf(text)));
}

function fitting(letters: readonly string[], most: number): string[] {
  let left = most;
  const end = letters.findIndex((letter) => {
    left -= widthOf(letter);
    return left < 0;
  });
  return end === -1 ? [...letters] : letters.slice(0, end);
}

function lettersOf(text: string): readonly string[] {
  return text.match(LETTERS) ?? [];
}

function widthOf(letter: string): number {
  return INVISIBLE.test(letter) ? 0 : WIDE.test(letter) ? 2 : 1;
}

const NARROW = /^[\x20-\x7e]*$/;
/** With what stands upon or within a letter: marks, vowels of Korean, colours of skin, and emoji that are joined to it. */
const LETTERS =
  /(?:\p{RI}{2}|.)(?:\u200d\p{Extended_Pictographic}|[\p{M}\p{Emoji_Modifier}\p{Default_Ignorable_Code_Point}\u1160-\u11ff])*/gsu;
const INVISIBLE = /^[\p{M}\p{Default_Ignorable_Code_Point}]/u;
/** What Unicode calls wide or full-width, by its blocks, and what is asked to be drawn as an emoji. */
const WIDE =
  /^[\p{Emoji_Presentation}\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1d300}-\u{1d376}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]|\ufe0f/u;
