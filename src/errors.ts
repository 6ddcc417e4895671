/** Every error that is understood, by code. Codes are stored in Postgres and graphed: never renamed. */
export const ERROR_CODES = {
  EMPTY: "the object has no bytes",
  UNSUPPORTED_FORMAT: "the bytes are not an image format that is judged",
  CORRUPT: "the image cannot be decoded",
  TOO_LARGE: "the object has more bytes than MAITRED_MAX_BYTES",
  TOO_MANY_PIXELS: "the image has more pixels than MAITRED_MAX_PIXELS allows",
  GONE: "the object is not in the store",
  ACCESS_DENIED: "the store refuses to give the object",
  STORE_UNAVAILABLE: "the store did not answer, or answered with an error of its own",
  DECODE_UNAVAILABLE: "the decoding thread crashed",
  INFERENCE_UNAVAILABLE: "the inference thread crashed",
  DATABASE_UNAVAILABLE: "Postgres did not answer",
  DATABASE_FORBIDDEN: "Postgres does not let the role of DATABASE_URL do what is needed",
  DATABASE_TIMEOUT: "Postgres did not finish what a message asked of it within a minute",
  QUEUE_UNAVAILABLE: "the queue's server did not answer",
  WORKER_CRASHED: "the photo was in hand each time several workers died",
  EVENT_INVALID: "the message is not an event that is understood",
  EVENT_REFUSED: "the message is not from who it says, or not from one that is heard",
  SOURCE_UNAVAILABLE: "the queue that is listened to did not answer, or refused",
  SENDER_UNAVAILABLE: "who signed a message could not be asked for the key",
  CLOSED: "the process is shutting down",
  CONFIG_INVALID: "a setting, a file or a server is not what is needed, as the message says",
  INTERNAL: "a bug: see the log",
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** Those that a photo may end with. */
export const FAILURE_CODES: readonly ErrorCode[] = [
  "EMPTY",
  "UNSUPPORTED_FORMAT",
  "CORRUPT",
  "TOO_LARGE",
  "TOO_MANY_PIXELS",
  "GONE",
  "ACCESS_DENIED",
  "STORE_UNAVAILABLE",
  "DECODE_UNAVAILABLE",
  "WORKER_CRASHED",
  "INTERNAL",
];

/** Anything understood well enough to name. An error that is not one of these is a bug. */
export abstract class ModerationError extends Error {
  /** Whether the same work may succeed later without anyone changing it. */
  abstract readonly retry: boolean;
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The photo is at fault. Trying again cannot help; a person might. */
export class PhotoError extends ModerationError {
  readonly retry = false;
}

/** GONE, and its key holds another object. */
export class ReplacedError extends PhotoError {
  constructor(message: string, options?: ErrorOptions) {
    super("GONE", message, options);
  }
}

/** The message is at fault: whoever sent it must mend it. */
export class EventError extends ModerationError {
  readonly retry = false;
}

/** A neighbour is unwell: store, queue, Postgres, a thread. Trying again may help. */
export class UpstreamError extends ModerationError {
  readonly retry = true;
}

/** STORE_UNAVAILABLE, as the store has too much to do: it refuses some requests of all, whatever they ask for. */
export class BusyError extends UpstreamError {
  constructor(message: string, options?: ErrorOptions) {
    super("STORE_UNAVAILABLE", message, options);
  }
}

/** The operator is at fault. The process must not start. */
export class ConfigError extends ModerationError {
  readonly retry = false;

  constructor(message: string, options?: ErrorOptions) {
    super("CONFIG_INVALID", message, options);
  }
}

/** Whether it says nothing of the photo: pixels cannot make the model fail, nor their hash Postgres. */
export function isOutage(thrown: unknown): boolean {
  return thrown instanceof ModerationError && (OUTAGES.has(thrown.code) || isExhausted(thrown.cause));
}

/** Whether this process, or its machine, has no descriptor left for another file or connection, or has no other thread. */
export function isExhausted(cause: unknown): boolean {
  const { code, cause: deeper } = (cause ?? {}) as { code?: unknown; cause?: unknown };
  return EXHAUSTED.has(code) || (deeper !== undefined && isExhausted(deeper));
}

/** A thrown value as an Error, so that it always has a message and a stack. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** The code to store for whatever was thrown: its own, or INTERNAL for a bug. */
export function codeOf(thrown: unknown): ErrorCode {
  return thrown instanceof ModerationError ? thrown.code : "INTERNAL";
}

/** Why a file cannot be read, in words for who named it. */
export function whyUnread(thrown: unknown): string {
  const error = asError(thrown) as NodeJS.ErrnoException;
  return UNREAD[error.code ?? ""] ?? error.message;
}

const OUTAGES: ReadonlySet<ErrorCode> = new Set([
  "CLOSED",
  "INFERENCE_UNAVAILABLE",
  "DATABASE_UNAVAILABLE",
  "DATABASE_FORBIDDEN",
]);
const EXHAUSTED: ReadonlySet<unknown> = new Set(["EMFILE", "ENFILE", "NO_THREAD", "ERR_WORKER_INIT_FAILED"]);
const UNREAD: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "expected a file, got a folder",
  EACCES: "this account may not read it",
};
