import type { SearchAsked } from "../types.ts";

/** The filters, as they stand in the address of the page: days are of UTC, and `to` is the last day that counts. */
export const FILTERS = [
  "key",
  "listing",
  "bucket",
  "state",
  "current",
  "category",
  "rule",
  "by",
  "unsure",
  "humanFrom",
  "humanTo",
  "scoreFrom",
  "scoreTo",
  "from",
  "to",
] as const;
export type Filter = (typeof FILTERS)[number];
export type Filters = Partial<Record<Filter, string>>;

/** What the server is asked for: from the first instant of a day, and before the day after. */
export function asked(filters: Filters, after?: string): Record<keyof SearchAsked, string | undefined> {
  const { from, to, ...rest } = filters;
  return {
    ...(Object.fromEntries(FILTERS.map((name) => [name, undefined])) as Record<Filter, undefined>),
    ...rest,
    from: startOf(from, 0),
    to: startOf(to, 1),
    after,
    limit: "60",
  };
}

/** The address of the page with these filters, without those that are empty. */
export function addressOf(filters: Filters): string {
  const given = FILTERS.flatMap((name) => (filters[name] ? [[name, filters[name]]] : []));
  const search = new URLSearchParams(given).toString();
  return search ? `/desk/search?${search}` : "/desk/search";
}

/** What an address asks for that is no filter. */
export function unknownOf(query: Readonly<Record<string, string>>): string[] {
  return Object.keys(query).filter((name) => !(FILTERS as readonly string[]).includes(name));
}

/** The filters of an address; what is no filter is left out. */
export function filtersOf(query: Readonly<Record<string, string>>): Filters {
  return Object.fromEntries(FILTERS.flatMap((name) => (query[name] ? [[name, query[name]]] : [])));
}

function startOf(day: string | undefined, later: number): string | undefined {
  const start = day ? Date.parse(`${day}T00:00:00Z`) : Number.NaN;
  return Number.isNaN(start) ? undefined : new Date(start + later * DAY_MS).toISOString();
}

const DAY_MS = 24 * 3_600_000;
