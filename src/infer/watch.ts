import type { Closable } from "../lifecycle.ts";

export interface Watched {
  /** The model run that has been out longest; undefined while none is. */
  oldest(): unknown;
  /** Tries in a row of photos that failed because inference did. */
  failedTries(): number;
}

/**
 * Gives a process up whose inference will not come back by itself, once: one run has been out for `patienceMs`, as where a card
 * hangs, or inference has failed for five minutes, as where a card was lost, which no thread of this process gets back. Photos would
 * go round in it for ever. It is looked, not timed: a process that was stopped for long has been looked at no oftener.
 */
export function watchInference(
  { oldest, failedTries }: Watched,
  patienceMs: number,
  giveUp: (why: string) => void,
  everyMs = LOOK_MS,
): Closable {
  let out: unknown;
  let hung = 0;
  let failed = 0;
  let ill = 0;
  const timer = setInterval(() => {
    const now = oldest();
    hung = now !== undefined && now === out ? hung + 1 : 0;
    out = now;
    const tries = failedTries();
    // one that was given nothing to judge has not failed
    if (tries > failed) ill++;
    if (tries === 0) ill = 0;
    failed = tries;
    if (hung * everyMs < patienceMs && ill < ILL_LOOKS) return;
    clearInterval(timer);
    giveUp(ill < ILL_LOOKS ? "a model run does not end" : "no model run succeeds");
  }, everyMs).unref();
  return { close: async () => clearInterval(timer) };
}

const LOOK_MS = 10_000;
const ILL_LOOKS = 30;
