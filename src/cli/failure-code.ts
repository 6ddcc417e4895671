import { ERROR_CODES } from "../errors.ts";
import { closest } from "./closest.ts";
import { UsageError } from "./command.ts";

/** The code that --code names, which would otherwise choose nothing. @throws {UsageError} */
export function failureCode(given: string | boolean | undefined): string | undefined {
  if (given === undefined || Object.hasOwn(ERROR_CODES, String(given))) return given as string | undefined;
  const meant = closest(String(given), Object.keys(ERROR_CODES));
  throw new UsageError(
    `--code: there is no code ${JSON.stringify(given)}${meant || "; docs/operations.md lists them"}`,
  );
}
