/** The parts of the page that are photos: the worst mistakes, and where two models differ. */
import type { Comparison, Difference } from "./comparison.ts";
import { type Html, html, percent, pValue } from "./html.ts";
import { MISTAKES, type Mistake, type MistakeKind } from "./mistakes.ts";
import { scrolling, sourceTable } from "./page-figures.ts";
import { QUESTIONS, wordsOf } from "./paired-comparison.ts";
import type { Subject } from "./report.ts";

/** Pictures as data: URLs, by the path of their photo. */
export type Thumbnails = ReadonlyMap<string, string>;

/** Photos on which models differ that the page shows; the JSON has them all. */
export const DIFFERENCES_SHOWN = 48;

export function mistakeSections(subject: Subject, named: boolean, thumbnails: Thumbnails): Html {
  const { name, evaluation } = subject;
  return html`${sourceTable(subject, named)}${MISTAKES.map((kind) => {
    const { photos, worst } = evaluation.mistakes[kind];
    const rest = photos > worst.length && `, the first ${worst.length} of them here`;
    return html`<h3>${named && `${name}: `}${TITLES[kind]}: ${photos}${rest}</h3>
${gallery(worst.map((mistake) => tile(mistake, thumbnails, said(mistake, kind))))}`;
  })}`;
}

export function differenceSection(
  { duels, differences, photos }: Comparison,
  subjects: readonly Subject[],
  thumbnails: Thumbnails,
): Html {
  const [one, other] = [subjects[0]!.name, subjects[1]!.name];
  const rows = duels.map(
    (comparison) =>
      html`<tr><th scope="row">${QUESTIONS[comparison.question]}</th><td>${comparison.photos}</td><td>${percent(part(comparison.active, comparison.photos))}</td><td>${percent(part(comparison.candidate, comparison.photos))}</td><td>${comparison.onlyActive}</td><td>${comparison.onlyCandidate}</td><td>${pValue(comparison.p)}</td><td class="text">${wordsOf(comparison, one, other)}</td></tr>`,
  );
  const first = differences.slice(0, DIFFERENCES_SHOWN);
  return html`<section aria-labelledby="compare"><h2 id="compare">Side by side</h2>
<div class="card">${scrolling(
    "McNemar's test",
    html`<table><caption>McNemar's exact test over ${photos} photos: p is how likely such a difference is where both are equally good. Photos of one source count together.</caption>
<thead><tr><th scope="col" class="text">right in</th><th scope="col">photos</th><th scope="col">${one}</th><th scope="col">${other}</th><th scope="col">only ${one}</th><th scope="col">only ${other}</th><th scope="col">p</th><th scope="col" class="text">so</th></tr></thead><tbody>${rows}</tbody></table>`,
  )}</div>
<h3>They differ on ${differences.length} photos${differences.length > first.length && `, the first ${first.length} of them here`}</h3>
${gallery(first.map((difference) => tile(difference, thumbnails, differing(difference, one, other))))}</section>`;
}

function said(
  { label, said: { category, score, human, verdict, reason } }: Mistake,
  kind: MistakeKind,
): Html {
  if (kind === "wrongCategory") {
    return html`<b>${label.category} called ${category} ${percent(score, 0)}</b>${verdict}, human ${percent(human, 1)}`;
  }
  return html`<b>human ${percent(human)}</b>${reason}`;
}

function differing({ first, second, right }: Difference, one: string, other: string): Html {
  const line = (name: string, place: "first" | "second", from: Mistake["said"]): Html => {
    const wins = right.category === place || right.shown === place;
    return html`<b>${name}${wins && " ✓"}</b>${from.category} ${percent(from.score, 0)}, human ${percent(from.human)}: ${from.verdict}<br>`;
  };
  return html`${line(one, "first", first)}${line(other, "second", second)}`;
}

/** The first few, and the rest behind a word. */
function gallery(tiles: readonly Html[]): Html | null {
  const list = (some: readonly Html[]): Html => html`<ul class="photos">${some}</ul>`;
  if (tiles.length === 0) return null;
  const [first, rest] = [tiles.slice(0, OPEN), tiles.slice(OPEN)];
  return html`${list(first)}${rest.length > 0 && html`<details><summary>${rest.length} more</summary>${list(rest)}</details>`}`;
}

/** Whatever was said to show a human is blurred until it is chosen: with the mouse, or the space bar. */
function tile(
  { file, path, label }: Pick<Mistake, "file" | "path" | "label">,
  thumbnails: Thumbnails,
  words: Html,
): Html {
  const source = thumbnails.get(path);
  const truth = [label.category, label.human && (label.small ? "small human" : "human"), label.kind].filter(
    Boolean,
  );
  const about = truth.join(", ") || (label.human === false ? "nobody there" : "with nothing");
  const image = source && html`<img src="${source}" alt="${`photo labelled ${about}`}">`;
  return html`<li>${
    image
      ? label.human
        ? html`<label class="veil"><input type="checkbox" aria-label="${`show ${file}`}">${image}<span>show</span></label>`
        : image
      : html`<div class="none">no picture</div>`
  }<div class="words">${words}<span class="soft" style="display:block">labelled ${about}</span><span class="file">${file}</span></div></li>`;
}

function part(hits: number, of: number): number | null {
  return of === 0 ? null : hits / of;
}

/** Photos that are seen without asking. */
const OPEN = 12;

const TITLES: Record<MistakeKind, string> = {
  humansShown: "Shown although a human is visible",
  heldForHuman: "Held back for a human where nobody is",
  wrongCategory: "The wrong category",
};
