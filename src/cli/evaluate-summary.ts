import { confused } from "../evaluate/by-source.ts";
import { GROUPS } from "../evaluate/effect.ts";
import type { Estimate, Evaluation } from "../evaluate/evaluation.ts";
import { percent, pValue, range } from "../evaluate/html.ts";
import { someOf } from "../evaluate/labelled.ts";
import { GROUP_NAMES } from "../evaluate/page-figures.ts";
import { type PairedComparison, QUESTIONS, wordsOf } from "../evaluate/paired-comparison.ts";
import { wordsOfChance } from "../evaluate/reliability.ts";
import type { Report } from "../evaluate/report.ts";
import { FEW_SOURCES, fewSources } from "../evaluate/report.ts";
import { table } from "./output.ts";
import { counted } from "./plural.ts";

export function summaryOf({ subjects, comparison, unjudged, problems, labelled }: Report): string[] {
  const lines: string[] = [];
  for (const { name, provider, evaluation } of subjects) {
    const { photos, sources, category, human, effect } = evaluation;
    lines.push(`${name} on ${provider}: ${counted(photos, "photo")} from ${counted(sources, "source")}`, "");
    lines.push(...table([["", "", "95 % interval"], ...figures(evaluation)]), "");
    lines.push(
      ...table([
        ["category", "photos", "precision", "recall", "F1", ...category.names.map((said) => `-> ${said}`)],
        ...category.each.map(({ category: each, photos: of, precision, recall, f1 }, index) => [
          each,
          String(of),
          ...[precision, recall, f1].map(({ value }) => percent(value)),
          ...category.confusion[index]!.map(String),
        ]),
      ]),
      "",
    );
    const groups = GROUPS.filter((group) => effect[group].photos > 0).map((group) => {
      const { photos: of, shown, held, rules } = effect[group];
      const why = Object.entries(rules).map(([rule, count]) => `${rule} ${count}`);
      return [GROUP_NAMES[group], String(of), both(shown), both(held), why.join(", ")];
    });
    lines.push(...table([["photos", "how many", "shown", "held back", "by rule"], ...groups]), "");
    lines.push(...worstSources(evaluation));
    if (sources < FEW_SOURCES) lines.push(fewSources(sources), "");
    if (human.humans === 0) lines.push("No photo has a human, so nothing is known of that.", "");
  }
  if (comparison) lines.push(...compared(comparison, subjects[0]!.name, subjects[1]!.name));
  if (unjudged.length > 0) {
    const named = unjudged.map(({ file, code, message }) => `  ${file}: ${code}: ${message}`);
    lines.push(`photos that could not be judged: ${unjudged.length} of ${labelled}`, ...someOf(named));
  }
  if (problems.length > 0) {
    lines.push(`lines that are left out: ${problems.length}`, ...someOf(problems.map((line) => `  ${line}`)));
  }
  while (lines.at(-1) === "") lines.pop();
  return lines;
}

function figures({ category, human }: Evaluation): string[][] {
  const row = (name: string, { value, low, high }: Estimate): string[] => [
    name,
    percent(value),
    value === null ? "" : range({ low, high }),
  ];
  return [
    row("category accuracy", category.accuracy),
    row("macro-F1", category.macroF1),
    row("human average precision", human.averagePrecision),
    [
      "calibration error, category",
      percent(category.reliability.expectedCalibrationError),
      wordsOfChance(category.reliability.byChance),
    ],
    [
      "calibration error, human",
      percent(human.reliability.expectedCalibrationError),
      wordsOfChance(human.reliability.byChance),
    ],
  ];
}

/** The sources with most mistakes. */
function worstSources({ mistakesBySource: sources }: Evaluation): string[] {
  const rows = sources
    .slice(0, 5)
    .map(({ source, photos, wrongCategory, confusion, humansShown, heldForHuman }) => [
      source,
      String(photos),
      String(wrongCategory),
      confusion ? confused(confusion) : "",
      String(humansShown),
      String(heldForHuman),
    ]);
  if (rows.length === 0) return [];
  const head = ["mistakes by source", "photos", "category", "most often", "humans shown", "held for a human"];
  return [...table([head, ...rows]), ""];
}

function compared(
  { duels, differences }: NonNullable<Report["comparison"]>,
  one: string,
  other: string,
): string[] {
  const first = differences.slice(0, 10).map(({ file, first, second }) => {
    return [`  ${file}`, `${first.category}, ${first.verdict}`, `${second.category}, ${second.verdict}`];
  });
  return [
    ...duelTable(duels, one, other),
    "",
    `They differ on ${counted(differences.length, "photo")}${differences.length > first.length ? `, the first ${first.length} of them` : ""}:`,
    ...(first.length > 0 ? table(first) : []),
    "",
  ];
}

/** How two models answered, a line for each question. */
export function duelTable(duels: readonly PairedComparison[], one: string, other: string): string[] {
  const rows = duels.map((duel) => {
    const { question, photos, active, candidate, onlyActive, onlyCandidate, p } = duel;
    return [
      QUESTIONS[question],
      String(photos),
      ...[active, candidate].map((right) => percent(photos === 0 ? null : right / photos)),
      `${onlyActive} / ${onlyCandidate}`,
      pValue(p),
      wordsOf(duel, one, other),
    ];
  });
  return table([["right in", "photos", one, other, "only one", "p", ""], ...rows]);
}

function both(estimate: Estimate): string {
  return estimate.value === null ? "-" : `${percent(estimate.value)} (${range(estimate)})`;
}
