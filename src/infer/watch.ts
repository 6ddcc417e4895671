import type { Closable } from "../lifecycle.ts";

export interface Watched {
  /** The model run that has been out longest; undefined while none is. */
  oldest(): unknown;
  /** Whether inference worked when it was last asked. */
  infers(): boolean;
}

/**
 * Gives a process up whose inference will not come back by itself, once: one run has been out for a minute, as where a
 * card hangs, or for five minutes none has succeeded, as where a card was lost, which no thread of this process gets back. Photos
 * would go round in it for ever. It is looked, not timed: a process that was stopped for long has been looked at no oftener.
 */
export function watchInference(
  { oldest, infers }: Watched,
  giveUp: (why: string) => void,
  everyMs = LOOK_MS,
): Closable {
  let out: unknown;
  let hung = 0;
  let ill = 0;
  const timer = setInterval(() => {
    const now = oldest();
    hung = now !== undefined && now === out ? hung + 1 : 0;
    out = now;
    ill = infers() ? 0 : ill + 1;
    if (hung < HUNG_LOOKS && ill < ILL_LOOKS) return;
    clearInterval(timer);
    giveUp(hung >= HUNG_LOOKS ? "a model run does not end" : "no model run succeeds");
  }, everyMs).unref();
  return { close: async () => clearInterval(timer) };
}

const LOOK_MS = 10_000;
const HUNG_LOOKS = 6;
const ILL_LOOKS = 30;
