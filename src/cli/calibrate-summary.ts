import type { Policy } from "../decide/policy.ts";
import { changesBetween } from "../decide/rewrite.ts";
import type { Target } from "../evaluate/calibrate.ts";
import { type Effect, GROUPS, type Group, type Stratum, unseenIn } from "../evaluate/effect.ts";
import { percent, range } from "../evaluate/html.ts";
import { GROUP_NAMES } from "../evaluate/page-figures.ts";
import { FEW_SOURCES, fewSources } from "../evaluate/report.ts";
import type { TrainedOn } from "../evaluate/trained-on.ts";
import { table } from "./output.ts";

/** What is printed as JSON. */
export interface Outcome {
  model: string;
  photos: number;
  sources: number;
  target: Target;
  before: { policy: Policy; effect: Record<Group, Effect> };
  after: { policy: Policy; effect: Record<Group, Effect> } | null;
  /** What thresholds that other sources chose do to each source. */
  byOthers: Record<Group, Effect> | null;
  /** With --audit: which photos those that moderators saw stand for. */
  strata: Stratum[];
  /** The model, where it knows sources of these photos, or does not say which it knows. */
  trainedOn: TrainedOn[];
  warnings: string[];
  /** Whether there is a new policy in `--out`. */
  written: boolean;
}

export interface Doubts {
  /** Photos that the target is about, and how many they stand for. */
  counted: number;
  standFor: number;
  /** How many photos those with a human stand for, whatever the target is about. */
  humans: number;
  /** Whether the photos are what the policy sent to moderators. */
  biased: boolean;
  /** Thresholds that could not be met. */
  stay: readonly string[];
}

/** Why these photos cannot tell that the target is met. */
export function tooFewOf({ target, strata }: Outcome, { counted, standFor }: Doubts): string[] {
  const reasons: string[] = [];
  // with none of n seen, up to 3 / n may still be: the rule of three
  const enough = Math.ceil(3 / Math.max(target.share, 1e-6));
  if (counted < enough) {
    const what = target.limit === "shown" ? "with a human" : "of food and ambience without a human";
    reasons.push(
      target.share === 0
        ? "no number of photos can tell that a share is 0"
        : `too few photos: ${counted} ${what} cannot tell ${percent(target.share)}, ${enough} or more could`,
    );
  }
  if (target.share === 0) return reasons;
  // where what is to be rare may lie unseen: humans among what was shown, clear photos among what was hidden
  const where = target.limit === "shown" ? "shown" : "hidden";
  return [...reasons, ...tooFewAudits(strata, where, target.share * standFor)];
}

/** Where more photos of a verdict than these may be what no audit of them shows. */
function tooFewAudits(strata: readonly Stratum[], verdict: "shown" | "hidden", most: number): string[] {
  const stratum = strata.find((each) => each.verdict === verdict);
  if (!stratum || unseenIn(stratum) <= most) return [];
  const { reviewed, photos } = stratum;
  const needed = Math.ceil(Math.min(photos - most, (3 * photos) / most));
  return [
    `too few audits: ${reviewed} of ${photos} photos that were ${verdict}, so that ${Math.round(unseenIn(stratum))} of those may show what none of these does: ${needed} or more could tell`,
  ];
}

/** Why else the figures may not be what they seem. */
export function warningsOf(
  { target, after, sources, strata }: Outcome,
  { biased, stay, humans }: Doubts,
): string[] {
  // nobody says how few humans are to be shown: that is to be known as well as what is held back
  const warnings = target.limit === "held" ? tooFewAudits(strata, "shown", target.share * humans) : [];
  if (sources < FEW_SOURCES) warnings.push(fewSources(sources));
  if (biased) {
    warnings.push(
      "moderators see what the policy sends them, so these are not shares of all photos: --audit weighs each by how many it stands for",
    );
  }
  if (stay.length > 0) {
    warnings.push(
      `${stay.join(", ")}: no threshold is right so often on these photos, so what was there stays`,
    );
  }
  if (after && target.limit === "shown" && after.policy.human.review === after.policy.human.hide) {
    warnings.push("human.review stops at human.hide: raise that in the policy first to hold back less");
  }
  return warnings;
}

/** What became of --out; `told` where the photos are enough to tell that the target is met. */
interface Written {
  out: string | undefined;
  told: boolean;
  writes: boolean;
}

export function summaryOf(chosen: Outcome, { out, told, writes }: Written): string[] {
  const { model, photos, sources, before, after, byOthers, target, warnings } = chosen;
  const lines = [`${model}: ${photos} labelled photos from ${sources} sources`, ""];
  if (chosen.strata.length > 0) {
    const all = chosen.strata.map(({ verdict, reviewed, photos }) => [
      verdict,
      String(reviewed),
      String(photos),
    ]);
    lines.push(...table([["verdict", "reviewed", "of photos"], ...all]), "");
  }
  const effects = [before.effect, ...(after ? [after.effect] : []), ...(byOthers ? [byOthers] : [])];
  const heads = [
    "before",
    ...(after ? ["after"] : []),
    ...(byOthers ? ["after, chosen by other sources"] : []),
  ];
  const rows = GROUPS.filter((group) => before.effect[group].photos > 0).map((group) => {
    const side = group === "humans" || group === "smallHumans" ? "shown" : "held";
    return [
      `${GROUP_NAMES[group]}, ${side === "shown" ? "shown" : "held back"}`,
      String(before.effect[group].photos),
      ...effects.map((effect) => `${percent(effect[group][side].value)} (${range(effect[group][side])})`),
    ];
  });
  if (after) {
    const changes = changesBetween(before.policy, after.policy).map(({ at, from, to }) => [
      at.join("."),
      String(from),
      String(to),
    ]);
    lines.push(
      ...(changes.length > 0
        ? table([["threshold", "before", "after"], ...changes])
        : ["No threshold changes."]),
      "",
    );
  }
  lines.push(...table([["photos", "how many", ...heads], ...rows]), "");
  if (!after) {
    lines.push(
      `No human.review ${target.limit === "shown" ? "shows" : "holds back"} ${percent(target.share)} or less${target.limit === "held" ? ": thresholds of categories hold back more than that" : ""}.`,
    );
  } else {
    lines.push(
      `"after" is of the photos that chose it, and better than it will be${byOthers ? "; the last column is what to expect" : ""}.`,
    );
  }
  for (const warning of warnings) lines.push(`warning: ${warning}`);
  if (out === undefined || !after) return lines;
  const cannotTell = "these photos cannot tell that it does what is asked";
  if (!writes)
    lines.push(
      "",
      `${out} is not written: ${cannotTell}; more may, and --force writes it as it is, to a new file`,
    );
  else if (!told) lines.push("", `${out}: do not use it before more photos say so: ${cannotTell}`);
  else
    lines.push(
      "",
      `${out}: set MAITRED_POLICY to it; its old comments stay, also where they tell old figures`,
    );
  return lines;
}
