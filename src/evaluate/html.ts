/** Markup that is safe to lay into other markup. */
export interface Html {
  readonly html: string;
}

type Piece = Html | string | number | null | false | readonly Piece[];

/** A template in which whatever is not markup already is escaped; null and false are nothing, lists are joined. */
export function html(strings: TemplateStringsArray, ...pieces: Piece[]): Html {
  return raw(
    strings.map((text, index) => text + (index < pieces.length ? flat(pieces[index]!) : "")).join(""),
  );
}

/** Markup of our own making, as it is. */
export function raw(markup: string): Html {
  return { html: markup };
}

/** A share as a person reads it: 98.7 %; a dash where there is none. */
export function percent(value: number | null, digits = 1): string {
  return value === null || Number.isNaN(value) ? "–" : `${(100 * value).toFixed(digits)} %`;
}

/** An interval of shares: 97.5 to 99.3 %. */
export function range({ low, high }: { low: number; high: number }): string {
  return `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)} %`;
}

/** A p-value; one that is too small to read as what it is, not as nothing. */
export function pValue(p: number): string {
  return p < 0.0001 ? "< 0.0001" : p.toFixed(4);
}

function flat(piece: Piece): string {
  if (piece === null || piece === false) return "";
  if (Array.isArray(piece)) return piece.map(flat).join("");
  if (typeof piece === "object") return (piece as Html).html;
  const escaped = String(piece).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  // a number stays with its sign where a line breaks
  return escaped.replace(/(\d) %/g, "$1&nbsp;%");
}
