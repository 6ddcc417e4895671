import type { Agreement } from "../http/desk/dashboard-deps.ts";
import { type Proportion, wilson } from "./statistics.ts";

/** Photos drawn at random to measure a model, of which it said the same, and a moderator too. */
export interface Audited {
  model: string;
  saidVerdict: string;
  /** Whether it hid the photo because of a human, and not because of its category. */
  saidHuman: boolean;
  saidCategory: string | null;
  /** Whether the moderator saw a human; null: they did not say. */
  human: boolean | null;
  /** The category that the moderator gave; null: they left the model's as it was. */
  category: string | null;
  verdict: string;
  reviews: number;
}

/**
 * How often moderators agree with each model. The audit sample is drawn by chance from what a model showed or hid, so its
 * shares are those of all such photos; photos that waited for a person anyway are not in it.
 *
 * @returns models in the order of their names.
 */
export function agreement(audited: readonly Audited[]): Agreement[] {
  const models = [...new Set(audited.map(({ model }) => model))].sort();
  return models.map((model) =>
    of(
      model,
      audited.filter((each) => each.model === model),
    ),
  );
}

function of(model: string, all: readonly Audited[]): Agreement {
  const share = (of: (row: Audited) => boolean, hit: (row: Audited) => boolean): Proportion => {
    const rows = all.filter(of);
    return wilson(sum(rows.filter(hit)), sum(rows));
  };
  const hidden = ({ saidVerdict }: Audited): boolean => saidVerdict === "hidden";
  const human = (row: Audited): boolean => row.human === true;
  const said = (row: Audited): boolean => row.human !== null;
  const truth = ({ category, saidCategory }: Audited): string | null => category ?? saidCategory;
  const categories = [...new Set(all.flatMap((row) => [row.saidCategory ?? [], truth(row) ?? []].flat()))];
  return {
    model,
    audited: sum(all),
    kept: share(
      () => true,
      (row) => row.verdict === row.saidVerdict,
    ),
    human: {
      precision: share((row) => said(row) && row.saidHuman, human),
      recall: share((row) => said(row) && human(row), hidden),
      missed: share((row) => said(row) && !hidden(row), human),
    },
    categories: categories.sort().map((category) => ({
      category,
      precision: share(
        (row) => row.saidCategory === category,
        (row) => truth(row) === category,
      ),
      recall: share(
        (row) => row.saidCategory !== null && truth(row) === category,
        (row) => row.saidCategory === category,
      ),
    })),
  };
}

function sum(rows: readonly Audited[]): number {
  return rows.reduce((total, { reviews }) => total + reviews, 0);
}
