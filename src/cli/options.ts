import { userInfo } from "node:os";
import { type ErrorCode, FAILURE_CODES } from "../errors.ts";
import { LANES, type Lane, type PhotoMetadata, UPLOADERS } from "../photo.ts";
import { closest } from "./closest.ts";
import { UsageError } from "./command.ts";
import { either } from "./plural.ts";

/** Values among which that option may be. */
type Given<Name extends string> = { readonly [Each in Name]?: string | undefined };

/** Which numbers an option takes: as a person is told, and as they are checked. */
interface Numbers {
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

/** The number that an option gives; undefined where it was not given. @throws {UsageError} for any other, and for what is none. */
export function numberOption<Name extends string>(
  values: Given<Name>,
  name: Name,
  { words, has }: Numbers,
): number | undefined {
  const given = values[name];
  if (given === undefined) return undefined;
  const number = Number(given);
  if (has(number)) return number;
  throw new UsageError(`--${name}: expected ${words}, got ${JSON.stringify(given)}`);
}

/**
 * The time that an option gives, a day or a moment; of no zone it is UTC. Undefined where it was not given.
 *
 * @throws {UsageError} For what is none, the 31st of February among it, of which `Date` makes the 3rd of March.
 */
export function timeOption<Name extends string>(values: Given<Name>, name: Name): Date | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const [given, year, month, day, clock, , , zone] = TIME.exec(text) ?? [];
  if (given !== undefined) {
    const time = new Date(clock === undefined || zone !== undefined ? given : `${given}Z`);
    const inMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
    if (!Number.isNaN(time.valueOf()) && Number(day) <= inMonth) return time;
  }
  throw new UsageError(
    `--${name}: expected a day such as 2026-01-31 or a time such as 2026-01-31T08:30:00Z, got ${JSON.stringify(text)}`,
  );
}

/** The one of `choices` that an option gives; undefined where it was not given. @throws {UsageError} for any other. */
export function choiceOption<Name extends string, Choice extends string>(
  values: Given<Name>,
  name: Name,
  choices: readonly Choice[],
): Choice | undefined {
  const given = values[name];
  const choice = choices.find((each) => each === given);
  if (choice !== undefined || given === undefined) return choice;
  throw new UsageError(`--${name}: expected ${either(choices)}, got ${JSON.stringify(given)}`);
}

/** As `choiceOption`, of several with commas between. */
export function choicesOption<Name extends string, Choice extends string>(
  values: Given<Name>,
  name: Name,
  choices: readonly Choice[],
): Choice[] | undefined {
  return values[name]?.split(",").map((given) => {
    const choice = choices.find((each) => each === given);
    if (choice !== undefined) return choice;
    throw new UsageError(`--${name}: expected some of ${choices.join(", ")}, got ${JSON.stringify(given)}`);
  });
}

/** --lane. @throws {UsageError} */
export const laneOption = (values: Given<"lane">): Lane | undefined => choiceOption(values, "lane", LANES);

/** --uploader. @throws {UsageError} */
export function uploaderOption(values: Given<"uploader">): PhotoMetadata["uploader"] {
  return choiceOption(values, "uploader", UPLOADERS);
}

/** --code: what a photo may end with; any other would choose nothing. @throws {UsageError} */
export function codeOption({ code: given }: Given<"code">): ErrorCode | undefined {
  const code = FAILURE_CODES.find((each) => each === given);
  if (code !== undefined || given === undefined) return code;
  const meant = closest(given, FAILURE_CODES) || "; docs/operations.md lists them";
  throw new UsageError(`--code: no photo fails with ${JSON.stringify(given)}${meant}`);
}

/** --by: who is written down for a change; without it the account that runs this. */
export function accountOption({ by }: Given<"by">): string {
  if (by !== undefined) return by;
  try {
    return userInfo().username;
  } catch {
    // a container may run as a user that nobody gave a name
    return `uid ${process.getuid?.() ?? "unknown"}`;
  }
}

const TIME = /^(\d{4})-(\d\d)-(\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;
