/** First and last day, of UTC, as 2026-01-31. */
export interface Days {
  from: string;
  to: string;
}

/** Which days a dashboard is about, as its address says: `days` back from today, or `from` and `to`. */
interface Range extends Days {
  /** Undefined where first and last day are given. */
  days: number | undefined;
}

export const PRESETS = [1, 7, 30, 90, 365] as const;

/** What is no range is taken as the last thirty days; of one that is too long the server says so. */
export function rangeOf(query: Readonly<Record<string, string>>, today: string): Range {
  const { from = "", to = "" } = query;
  if (DAY.test(from) && DAY.test(to) && from <= to) {
    return { from, to, days: undefined };
  }
  const days = PRESETS.find((each) => String(each) === query["days"]) ?? 30;
  return { from: before(today, days - 1), to: today, days };
}

/** The address with these given anew; what is "" goes. */
export function addressOf(
  query: Readonly<Record<string, string>>,
  change: Readonly<Record<string, string>>,
): string {
  const all = Object.entries({ ...query, ...change }).filter(
    ([name, value]) => NAMES.includes(name) && value !== "",
  );
  const search = new URLSearchParams(all).toString();
  return search ? `/desk/dashboards?${search}` : "/desk/dashboards";
}

/** Every hour or day of the range, as the server writes them, so that a gap is seen as one. */
export function timesOf({ from, to }: Days, step: "hour" | "day"): number[] {
  const [stepMs, end] = [step === "hour" ? HOUR_MS : DAY_MS, Date.parse(to) + DAY_MS];
  const times: number[] = [];
  for (let at = Date.parse(from); at < end; at += stepMs) times.push(at);
  return times;
}

function before(day: string, days: number): string {
  return new Date(Date.parse(day) - days * DAY_MS).toISOString().slice(0, 10);
}

const NAMES = ["days", "from", "to", "model", "listing", "score"];
const DAY = /^\d{4}-\d\d-\d\d$/;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
