/** What a question answered within the last `ms`, asked once however many want to know. */
export function recently<T>(ask: () => Promise<T>, ms: number): () => Promise<T> {
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
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), ms);
    });
    return Promise.race([asked, late]).finally(() => clearTimeout(timer));
  };
}
