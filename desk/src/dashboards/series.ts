import type { Counts } from "../types.ts";

type Row = Counts["counts"][number];

/** One line of a chart: a value for each time, null where there is none. */
export interface Series {
  name: string;
  values: (number | null)[];
}

/** How many photos at each time, one series for each name, those with most photos first. */
export function countsBy(
  rows: readonly Row[],
  times: readonly number[],
  nameOf: (row: Row) => string | null,
): Series[] {
  const place = new Map(times.map((time, index) => [time, index]));
  const series = new Map<string, number[]>();
  for (const row of rows) {
    const name = nameOf(row);
    const index = place.get(Date.parse(row.at));
    if (name === null || index === undefined) continue;
    let values = series.get(name);
    if (!values) {
      values = times.map(() => 0);
      series.set(name, values);
    }
    values[index]! += row.photos;
  }
  const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
  return [...series].sort(([, a], [, b]) => total(b) - total(a)).map(([name, values]) => ({ name, values }));
}

/** Those that are named, in this order, and then the others: a line keeps its colour whatever the days. */
export function inOrder(series: readonly Series[], names: readonly string[]): Series[] {
  const place = ({ name }: Series): number => (names.includes(name) ? names.indexOf(name) : names.length);
  return [...series].sort((a, b) => place(a) - place(b));
}

/** Of what was judged at each time, the share 0 to 1 that the model hid for a human. */
export function hideRate(rows: readonly Row[], times: readonly number[]): Series {
  const [judged] = countsBy(rows, times, ({ verdict }) => (verdict === "failed" ? null : "judged"));
  const [hidden] = countsBy(rows, times, ({ forHuman }) => (forHuman ? "hidden" : null));
  return {
    name: "hidden for a human",
    values: times.map((_, index) => {
      const all = judged?.values[index] ?? 0;
      return all > 0 ? (hidden?.values[index] ?? 0) / all : null;
    }),
  };
}

/** How many photos are of each: verdict by who decided. */
export function byModel(models: Counts["models"]): { model: string; photos: Record<string, number> }[] {
  const found = new Map<string, Record<string, number>>();
  for (const { model, verdict, photos } of models) {
    found.set(model, { ...found.get(model), [verdict]: photos });
  }
  const total = (photos: Record<string, number>): number =>
    Object.values(photos).reduce((sum, value) => sum + value, 0);
  return [...found]
    .map(([model, photos]) => ({ model, photos }))
    .sort((a, b) => total(b.photos) - total(a.photos));
}

/** Where values stand that no line leads to or from; null where there are none. */
export function alone(values: readonly (number | null)[]): number[] | null {
  const there = (index: number): boolean => typeof values[index] === "number";
  const indexes = values.flatMap((_, index) =>
    there(index) && !there(index - 1) && !there(index + 1) ? [index] : [],
  );
  return indexes.length > 0 ? indexes : null;
}
