import { useEffect, useState } from "preact/hooks";
import { get, wordsOf } from "../api.ts";

type Query = Readonly<Record<string, string | number | undefined>>;

export interface Asked<T> {
  /** What was answered last; it stays while it, or something else, is asked for. */
  answer: T | undefined;
  /** The query that was answered so. */
  of: Query;
  /** Why it was not answered, in words. */
  problem: string;
  again(): void;
  /** Puts another answer in its place. */
  set(answer: T): void;
}

/** Asks the server for what is at the path, and again whenever the path, the query or the edition of what is asked for changes. */
export function useAsked<T>(path: string, query: Query = {}, edition: string | number = ""): Asked<T> {
  const [{ answer, of }, setAnswered] = useState<{ answer: T | undefined; of: Query }>({
    answer: undefined,
    of: query,
  });
  const [problem, setProblem] = useState("");
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const gone = new AbortController();
    get<T>(path, query, gone.signal).then(
      (value) => {
        setAnswered({ answer: value, of: query });
        setProblem("");
      },
      (thrown: unknown) => {
        if (!gone.signal.aborted) setProblem(wordsOf(thrown));
      },
    );
    return () => gone.abort();
  }, [path, JSON.stringify(query), edition, tries]);
  return {
    answer,
    of,
    problem,
    again: () => setTries(tries + 1),
    set: (value) => setAnswered({ answer: value, of: query }),
  };
}
