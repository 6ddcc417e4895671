/** What a question answered within the last `ms`, asked once however many want to know. */
export function cachedFor<T>(ask: () => Promise<T>, ms: number): () => Promise<T> {
  let asked: { at: number; answer: Promise<T> } | undefined;
  return () => {
    if (!asked || Date.now() - asked.at >= ms) {
      const answer = ask();
      asked = { at: Date.now(), answer };
      // a failure is told to those who asked, and not remembered
      answer.catch(() => {
        asked = undefined;
      });
    }
    return asked.answer;
  };
}

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

/** What `work` comes to; or, where that takes longer than `ms`, what `late` answers or throws. The work goes on all the same. */
export async function withTimeout<T, Late>(
  work: Promise<T>,
  ms: number,
  late: () => Late,
): Promise<T | Late> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return Promise.race([work, over.then(late)]).finally(() => clearTimeout(timer));
}
