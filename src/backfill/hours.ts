import { ConfigError } from "../errors.ts";

/** Hours of the day, 0 to 24, of the feeder's own clock; `from` > `to` goes over midnight. */
interface Hours {
  from: number;
  to: number;
}

/** @throws {ConfigError} unless it is two hours such as 22-06. */
export function parseHours(text: string): Hours {
  const [, from, to] = /^(\d{1,2})-(\d{1,2})$/.exec(text) ?? [];
  const hours = { from: Number(from), to: Number(to) };
  if (from === undefined || hours.from > 24 || hours.to > 24 || hours.from % 24 === hours.to % 24) {
    throw new ConfigError(`hours: expected two hours such as 22-06, got ${text}`);
  }
  return hours;
}

/** When they begin, such as 22:00; undefined where the moment lies within them. */
export function waitsUntil(hours: Hours, at: Date): string | undefined {
  return isWithin(hours, at) ? undefined : `${String(hours.from % 24).padStart(2, "0")}:00`;
}

/** Whether a moment lies within the hours: `from` belongs to them, `to` does not. */
export function isWithin({ from, to }: Hours, at: Date): boolean {
  const hour = at.getHours();
  return from < to ? hour >= from && hour < to : hour >= from || hour < to;
}

/** How long it is from the beginning of such hours until something has gone on for `seconds` within them, in seconds. */
export function secondsWithin({ from, to }: Hours, seconds: number): number {
  const length = ((to - from + 24) % 24) * 3_600;
  const nights = Math.max(0, Math.ceil(seconds / length) - 1);
  return seconds + nights * (86_400 - length);
}
