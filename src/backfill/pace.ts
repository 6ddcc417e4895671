import { ConfigError } from "../errors.ts";

/** Hours of the day, 0 to 24, of the feeder's own clock; `from` > `to` goes over midnight. */
export interface Hours {
  from: number;
  to: number;
}

/** @throws {ConfigError} CONFIG_INVALID unless it is two hours such as 22-06. */
export function parseHours(text: string): Hours {
  const [, from, to] = /^(\d{1,2})-(\d{1,2})$/.exec(text) ?? [];
  const hours = { from: Number(from), to: Number(to) };
  if (from === undefined || hours.from > 24 || hours.to > 24 || hours.from % 24 === hours.to % 24) {
    throw new ConfigError("CONFIG_INVALID", `hours: expected two hours such as 22-06, got ${text}`);
  }
  return hours;
}

/** When they begin, such as 22:00; undefined where the moment lies within them. */
export function waitsUntil(hours: Hours, at: Date): string | undefined {
  return within(hours, at) ? undefined : `${String(hours.from % 24).padStart(2, "0")}:00`;
}

/** Whether a moment lies within the hours: `from` belongs to them, `to` does not. */
export function within({ from, to }: Hours, at: Date): boolean {
  const hour = at.getHours();
  return from < to ? hour >= from && hour < to : hour >= from || hour < to;
}
