import { asError } from "./errors.ts";

/** Why a file cannot be read, in words for who named it. */
export function whyUnread(thrown: unknown): string {
  const error = asError(thrown) as NodeJS.ErrnoException;
  return WHY[error.code ?? ""] ?? error.message;
}

const WHY: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "expected a file, got a folder",
  EACCES: "this account may not read it",
};
