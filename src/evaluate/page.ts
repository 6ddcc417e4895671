/** The page that shows an evaluation: one file, without a script, that asks nothing of any server. */
import type { Group } from "./effect.ts";
import type { Estimate, Evaluation } from "./evaluation.ts";
import { type Html, html, percent, range, raw } from "./html.ts";
import { categorySection, humanSection, policySection } from "./page-figures.ts";
import { differenceSection, mistakeSections, type Thumbnails } from "./page-photos.ts";
import { STYLE } from "./page-style.ts";
import { FEW_SOURCES, fewSources, type Report, type Subject } from "./report.ts";

export function renderPage(report: Report, thumbnails: Thumbnails): string {
  const { subjects, comparison } = report;
  const names = subjects.map(({ name }) => name).join(" and ");
  const [first] = subjects;
  const sections = [
    ["glance", "At a glance"],
    ...(comparison ? [["compare", "Side by side"]] : []),
    ["policy", "Shown and held back"],
    ["categories", "Categories"],
    ["humans", "Humans"],
    ["mistakes", "The worst mistakes"],
    ...(report.problems.length + report.unjudged.length > 0 ? [["left-out", "Left out"]] : []),
  ] as const;
  const page = html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>How good is ${names}?</title>
<style>${raw(STYLE)}</style>
<main>
<header>
<h1>How good is ${names}?</h1>
<p class="soft">${first!.evaluation.photos} photos from ${first!.evaluation.sources} sources in ${report.set}, judged on ${report.at.slice(0, 10)} with ${report.policy.file}. In brackets: 95 % intervals, over other sets of such sources.</p>
${first!.evaluation.sources < FEW_SOURCES && html`<p class="bad">${fewSources(first!.evaluation.sources)}</p>`}
<nav aria-label="Sections"><ul>${sections.map(([id, title]) => html`<li><a href="#${id!}">${title!}</a></li>`)}</ul></nav>
</header>
<section aria-labelledby="glance"><h2 id="glance">At a glance</h2>${glance(subjects)}</section>
${comparison && differenceSection(comparison, subjects, thumbnails)}
${policySection(subjects, report.policy.thresholds)}
${categorySection(subjects)}
${humanSection(subjects)}
<section aria-labelledby="mistakes"><h2 id="mistakes">The worst mistakes</h2>
<p class="soft">The ones that the model was surest of come first. Photos with a human are blurred until you choose them.</p>
${subjects.map((subject) => mistakeSections(subject, subjects.length > 1, thumbnails))}</section>
${leftOut(report)}
</main>
</html>`;
  return page.html;
}

function glance(subjects: readonly Subject[]): Html {
  const shown = (group: Group) => (one: Evaluation) => one.effect[group].shown;
  const tiles: [string, (one: Evaluation) => Estimate, string][] = [
    ["Category accuracy", ({ category }) => category.accuracy, "the most probable one is right"],
    ["Macro-F1", ({ category }) => category.macroF1, "the mean over the categories"],
    ["Human average precision", ({ human }) => human.averagePrecision, "how well humans are told from none"],
    ["Humans shown", shown("humans"), "of photos with a human"],
    ["Small humans shown", shown("smallHumans"), "of photos where all are small"],
    ["Held back", ({ effect }) => effect.foodAndAmbience.held, "of food and ambience without a human"],
    ["Calibration error, category", ({ category }) => bare(category.reliability), "lower is better"],
    ["Calibration error, human", ({ human }) => bare(human.reliability), "lower is better"],
  ];
  return html`<ul class="tiles">${tiles.map(
    ([title, read, about]) =>
      html`<li>${title}<span class="soft small about">${about}</span>${subjects.map(
        ({ name, evaluation }) =>
          html`${subjects.length > 1 && html`<span class="who">${name}</span>`}${figure(read(evaluation))}`,
      )}</li>`,
  )}</ul>`;
}

function figure(estimate: Estimate): Html {
  const sure = estimate.value !== null && !Number.isNaN(estimate.low);
  return html`<b>${percent(estimate.value)}</b>${sure && html`<span class="soft small">[${range(estimate)}]</span>`}`;
}

/** A figure without an interval. */
function bare({ expectedCalibrationError: value }: { expectedCalibrationError: number | null }): Estimate {
  return { value, low: Number.NaN, high: Number.NaN };
}

function leftOut({ problems, unjudged, labelled }: Report): Html | null {
  if (problems.length + unjudged.length === 0) return null;
  const list = (lines: readonly string[]): Html =>
    html`<ul class="plain small">${lines.slice(0, LISTED).map((line) => html`<li>${line}</li>`)}${lines.length > LISTED && html`<li>and ${lines.length - LISTED} more, in evaluation.json</li>`}</ul>`;
  return html`<section aria-labelledby="left-out"><h2 id="left-out">Left out</h2>
${unjudged.length > 0 && html`<p>Photos that could not be judged, and count nowhere: ${unjudged.length} of ${labelled}</p>${list(unjudged.map(({ file, code, message }) => `${file}: ${code}: ${message}`))}`}
${problems.length > 0 && html`<p>Lines that are left out: ${problems.length}</p>${list(problems)}`}</section>`;
}

/** Lines of a list that is no figure. */
const LISTED = 100;
