import { userInfo } from "node:os";
import { ERROR_CODES } from "../errors.ts";
import { type Known, LANES, type Lane } from "../photo.ts";
import { closest } from "./closest.ts";
import { type Arguments, UsageError } from "./command.ts";

type Values = Arguments["values"];

/** Which numbers an option takes: as a person is told, and as they are checked. */
export interface Numbers {
  words: string;
  has(number: number): boolean;
}

export function between(min: number, max: number): Numbers {
  return { words: `a number ${min} to ${max}`, has: (number) => number >= min && number <= max };
}

export function whole(min: number, max = Number.MAX_SAFE_INTEGER): Numbers {
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} up` : `${min} to ${max}`;
  return {
    words: `a whole number ${range}`,
    has: (number) => Number.isInteger(number) && number >= min && number <= max,
  };
}

/**
 * The number that an option gives, or `fallback` where it was not given.
 *
 * @throws {UsageError} for any other, and for what is none: nothing among it, which `Number` takes for 0.
 */
export function numberOption(values: Values, name: string, numbers: Numbers, fallback: number): number;
export function numberOption(values: Values, name: string, numbers: Numbers): number | undefined;
export function numberOption(
  values: Values,
  name: string,
  { words, has }: Numbers,
  fallback?: number,
): number | undefined {
  const given = values[name];
  if (given === undefined) return fallback;
  const number = String(given).trim() === "" ? Number.NaN : Number(given);
  if (has(number)) return number;
  throw new UsageError(`--${name}: expected ${words}, got ${JSON.stringify(given)}`);
}

/**
 * The time that an option gives, a day or a moment; of no zone it is UTC. Undefined where it was not given.
 *
 * @throws {UsageError} For what is none, the 31st of February among it, of which `Date` makes the 3rd of March.
 */
export function timeOption(values: Values, name: string): Date | undefined {
  if (values[name] === undefined) return undefined;
  const [given, year, month, day, clock, , , zone] = TIME.exec(String(values[name])) ?? [];
  if (given !== undefined) {
    const time = new Date(clock === undefined || zone !== undefined ? given : `${given}Z`);
    const inMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
    if (!Number.isNaN(time.valueOf()) && Number(day) <= inMonth) return time;
  }
  throw new UsageError(
    `--${name}: expected a day such as 2026-01-31 or a time such as 2026-01-31T08:30:00Z, got ${JSON.stringify(values[name])}`,
  );
}

/** --lane. @throws {UsageError} */
export function laneOption({ lane: given }: Values, fallback: Lane): Lane {
  const lane = LANES.find((each) => each === (given ?? fallback));
  if (lane) return lane;
  throw new UsageError(`--lane: expected ${LANES.join(" or ")}, got ${JSON.stringify(given)}`);
}

/** --uploader. @throws {UsageError} */
export function uploaderOption({ uploader }: Values): Known["uploader"] {
  if (uploader === undefined || uploader === "moderator" || uploader === "user") return uploader;
  throw new UsageError(`--uploader: expected moderator or user, got ${JSON.stringify(uploader)}`);
}

/** --code: that of a failure; one that is none would choose nothing. @throws {UsageError} */
export function codeOption({ code }: Values): string | undefined {
  if (code === undefined) return undefined;
  const codes = Object.keys(ERROR_CODES);
  const given = String(code);
  if (codes.includes(given)) return given;
  const meant = closest(given, codes) || "; docs/operations.md lists them";
  throw new UsageError(`--code: there is no code ${JSON.stringify(given)}${meant}`);
}

/** --by: who is written down for a change; without it the account that runs this. */
export function accountOption({ by }: Values): string {
  if (by !== undefined) return String(by);
  try {
    return userInfo().username;
  } catch {
    // a container may run as a user that nobody gave a name
    return `uid ${process.getuid?.() ?? "unknown"}`;
  }
}

const TIME = /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;
