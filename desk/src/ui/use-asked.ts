import { useEffect, useState } from "preact/hooks";
import { get, wordsOf } from "../api.ts";

export interface Asked<T> {
  /** What was answered last; it stays while it is asked for again. */
  answer: T | undefined;
  /** Why it was not answered, in words. */
  problem: string;
  again(): void;
  /** Puts another answer in its place. */
  set(answer: T): void;
}

/** Asks the server for what is at the path, and again whenever the path, the query or the edition of what is asked for changes. */
export function useAsked<T>(
  path: string,
  query: Record<string, string | number | undefined> = {},
  edition: string | number = "",
): Asked<T> {
  const [answer, set] = useState<T>();
  const [problem, setProblem] = useState("");
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const gone = new AbortController();
    get<T>(path, query, gone.signal).then(
      (value) => {
        set(value);
        setProblem("");
      },
      (thrown: unknown) => {
        if (!gone.signal.aborted) setProblem(wordsOf(thrown));
      },
    );
    return () => gone.abort();
  }, [path, JSON.stringify(query), edition, tries]);
  return { answer, problem, again: () => setTries(tries + 1), set };
}
