/** The parts of the page that are figures: what the policy does, how good the categories are, and the human score. */
import { cutTo } from "../decide/decide.ts";
import type { Policy } from "../decide/policy.ts";
import { confused } from "./by-source.ts";
import { precisionRecallChart, reliabilityChart } from "./charts.ts";
import { type Effect, GROUPS, type Group } from "./effect.ts";
import type { Estimate, Evaluation } from "./evaluation.ts";
import { type Html, html, percent, range, raw } from "./html.ts";
import { type Reliability, wordsOfChance } from "./reliability.ts";
import type { Subject } from "./report.ts";
import type { CurvePoint } from "./statistics.ts";

export const GROUP_NAMES: Record<Group, string> = {
  humans: "with a human",
  smallHumans: "of them, every human small",
  foodAndAmbience: "food and ambience, nobody there",
  otherHumanFree: "anything else, nobody there",
  likenesses: "statues, dolls, posters",
  hands: "hands alone",
};

export function policySection(
  subjects: readonly Subject[],
  { human, categories, verify, hide }: Policy,
): Html {
  const thresholds = Object.entries(categories).map(([name, threshold]) => `${name} ${threshold}`);
  return html`<section aria-labelledby="policy"><h2 id="policy">Shown and held back</h2>
<p class="soft">What the policy makes of the scores: hidden from ${human.hide}, in review from ${human.review}; a category from ${thresholds.join(", ")}${verify.length > 0 && `; every ${verify.join(" and ")} is verified`}${hide.length > 0 && `; ${hide.join(" and ")} is hidden`}. Held back is whatever is not shown.</p>
${cards(subjects, [({ effect }) => effectTable(effect)])}</section>`;
}

function effectTable(effect: Record<Group, Effect>): Html {
  const rows = GROUPS.filter((group) => effect[group].photos > 0).map((group) => {
    const { photos, shown, held, rules } = effect[group];
    const reasons = Object.entries(rules).sort(([, a], [, b]) => b - a);
    const words = reasons.map(([rule, count]) => `${RULES[rule] ?? rule} ${count}`).join(", ");
    return html`<tr><th scope="row">${GROUP_NAMES[group]}</th><td>${photos}</td><td>${share(shown)}</td><td>${share(held)}</td><td class="text small">${words || "–"}</td></tr>`;
  });
  return scrolling(
    "What the policy shows",
    html`<table><caption>Photos by what people said of them</caption>
<thead><tr><th scope="col" class="text">photos</th><th scope="col">how many</th><th scope="col">shown</th><th scope="col">held back</th><th scope="col" class="text">why</th></tr></thead>
<tbody>${rows}</tbody></table>`,
  );
}

export function categorySection(subjects: readonly Subject[]): Html {
  return html`<section aria-labelledby="categories"><h2 id="categories">Categories</h2>
<p class="soft">Of the photos whose category somebody said, whatever else is on them.</p>
${cards(subjects, [
  ({ category }) => confusion(category),
  ({ category }) => eachCategory(category),
  ({ category: { each } }) => {
    const averages = each.map(({ category, averagePrecision }) => `${category} ${percent(averagePrecision)}`);
    const label = `Precision over recall of each category; average precision ${averages.join(", ")}`;
    const series = each.map(({ category, curve }) => ({ name: category, curve }));
    return html`<h3>Precision over recall</h3>${raw(precisionRecallChart(label, series))}${legend(each)}`;
  },
  ({ category }) => reliability("Is it as sure as it is right?", category.reliability),
])}</section>`;
}

/** Of the sources with most mistakes. */
export function sourceTable(
  { name, evaluation: { mistakesBySource: sources } }: Subject,
  named: boolean,
): Html | null {
  if (sources.length === 0) return null;
  const rows = sources
    .slice(0, SOURCES_SHOWN)
    .map(
      ({ source, photos, wrongCategory, confusion: most, humansShown, heldForHuman }) =>
        html`<tr><th scope="row">${source}</th><td>${photos}</td><td>${wrongCategory}</td><td class="text small">${most ? confused(most) : "–"}</td><td>${humansShown}</td><td>${heldForHuman}</td></tr>`,
    );
  const rest = sources.length > SOURCES_SHOWN && `, the first ${SOURCES_SHOWN} of ${sources.length}`;
  return scrolling(
    "Mistakes by source",
    html`<table><caption>${named && `${name}: `}Mistakes by source${rest}. Many in one source are a kind of photo that the model does not know.</caption>
<thead><tr><th scope="col" class="text">source</th><th scope="col">photos</th><th scope="col">wrong category</th><th scope="col" class="text">most often</th><th scope="col">humans shown</th><th scope="col">held for a human</th></tr></thead>
<tbody>${rows}</tbody></table>`,
  );
}

function confusion({ names, confusion: rows }: Evaluation["category"]): Html {
  const body = rows.map((row, truth) => {
    const all = row.reduce((sum, count) => sum + count, 0);
    const cells = row.map((count, said) => {
      const part = all === 0 ? 0 : count / all;
      return html`<td${truth === said && html` class="right"`} style="--p:${part.toFixed(3)}">${count}${all > 0 && html`<i>${percent(part)}</i>`}</td>`;
    });
    return html`<tr><th scope="row">${names[truth]!}</th>${cells}</tr>`;
  });
  return scrolling(
    "Confusion matrix",
    html`<table class="confusion"><caption>Rows: what it is. Columns: what the model says.</caption>
<thead><tr><td></td>${names.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead><tbody>${body}</tbody></table>`,
  );
}

function eachCategory({ each }: Evaluation["category"]): Html {
  const rows = each.map(
    ({ category, photos, precision, recall, f1, averagePrecision }) =>
      html`<tr><th scope="row">${category}</th><td>${photos}</td><td>${share(precision)}</td><td>${share(recall)}</td><td>${share(f1)}</td><td>${percent(averagePrecision)}</td></tr>`,
  );
  return scrolling(
    "Precision and recall",
    html`<table><caption>Precision: of what it calls so, how much is. Recall: of what is, how much it calls so.</caption>
<thead><tr><th scope="col" class="text">category</th><th scope="col">photos</th><th scope="col">precision</th><th scope="col">recall</th><th scope="col">F1</th><th scope="col">avg. prec.</th></tr></thead>
<tbody>${rows}</tbody></table>`,
  );
}

function legend(each: Evaluation["category"]["each"]): Html {
  return html`<ul class="legend">${each.map(
    ({ category }, index) =>
      html`<li>${raw(`<svg viewBox="0 0 30 10" aria-hidden="true"><path class="line s${index}" d="M1 5H29"/></svg>`)}${category}</li>`,
  )}</ul>`;
}

export function humanSection(subjects: readonly Subject[]): Html {
  const { photos, humans } = subjects[0]!.evaluation.human;
  return html`<section aria-labelledby="humans"><h2 id="humans">Humans</h2>
<p class="soft">${humans} of ${photos} photos show a human. Hands alone count as neither.</p>
${cards(subjects, [
  ({ human }) => {
    const average = percent(human.averagePrecision.value, 2);
    const label = `Precision over recall of humans; average precision ${average}`;
    const chart = precisionRecallChart(label, [{ name: "human", curve: human.curve }]);
    return html`<h3>Precision over recall: ${average} on average</h3>${raw(chart)}${curveNumbers(human.curve)}`;
  },
  ({ human }) => reliability("Are its probabilities true?", human.reliability),
])}</section>`;
}

/** What a reader of charts would look for: the threshold that finds so many. */
function curveNumbers(curve: readonly CurvePoint[]): Html {
  const rows = [0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1].flatMap((wanted) => {
    const point = curve.find(({ recall }) => recall >= wanted);
    return point
      ? html`<tr><th scope="row">${percent(wanted)}</th><td>${percent(point.precision)}</td><td>${cutTo(4, point.threshold)}</td></tr>`
      : [];
  });
  return html`<details><summary>As numbers</summary><table><caption>Thresholds that find so many of the photos with a human</caption>
<thead><tr><th scope="col" class="text">recall</th><th scope="col">precision</th><th scope="col">threshold</th></tr></thead><tbody>${rows}</tbody></table></details>`;
}

function reliability(title: string, { bins, expectedCalibrationError, byChance }: Reliability): Html {
  const label = `Share that is true over the model's probability; expected calibration error ${percent(expectedCalibrationError)}`;
  const rows = bins.map(
    ({ photos, score, share: truth }) =>
      html`<tr><th scope="row">${percent(score)}</th><td>${share(truth)}</td><td>${photos}</td></tr>`,
  );
  return html`<h3>${title} Expected calibration error ${percent(expectedCalibrationError)}</h3><p class="soft small">${wordsOfChance(byChance)}</p>${raw(reliabilityChart(label, bins))}
<details><summary>As numbers</summary><table><caption>Photos in the order of their probability, in equal parts</caption>
<thead><tr><th scope="col" class="text">model says</th><th scope="col">true</th><th scope="col">photos</th></tr></thead><tbody>${rows}</tbody></table></details>`;
}

function share(estimate: Estimate): Html {
  return html`${percent(estimate.value)}${estimate.value !== null && html`<i>${range(estimate)}</i>`}`;
}

/** Each figure of each model in a card of its own, so that the same figures of two models stand side by side. */
function cards(subjects: readonly Subject[], figures: readonly ((evaluation: Evaluation) => Html)[]): Html {
  const named = subjects.length > 1;
  return html`<div class="pair">${figures.flatMap((figure) =>
    subjects.map(
      ({ name, evaluation }) =>
        html`<div class="card">${named && html`<p class="soft small">${name}</p>`}${figure(evaluation)}</div>`,
    ),
  )}</div>`;
}

/** A table that is wider than a phone scrolls by itself, also by keyboard. */
export function scrolling(label: string, content: Html): Html {
  return html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${content}</div>`;
}

const RULES: Record<string, string> = {
  human: "hidden for a human",
  "hidden-category": "of a category that is hidden",
  "human-uncertain": "unsure of a human",
  verify: "to be verified",
  "category-uncertain": "unsure of the category",
  "scores-invalid": "invalid scores",
};

/** Sources with mistakes that the page names; the JSON has them all. */
const SOURCES_SHOWN = 12;
