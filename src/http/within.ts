import { withTimeout } from "../with-timeout.ts";

/** What a question answers within `ms`; nothing if it fails or takes longer, and nothing while it still hangs. */
export function within<T>(ask: () => Promise<T>): (ms: number) => Promise<T | undefined> {
  let asked: Promise<T | undefined> | undefined;
  return async (ms) => {
    // one at a time: a server that is away would gather the questions of every scrape
    asked ??= ask()
      .catch(() => undefined)
      .finally(() => {
        asked = undefined;
      });
    return withTimeout(asked, ms, () => undefined);
  };
}
