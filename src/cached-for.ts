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
