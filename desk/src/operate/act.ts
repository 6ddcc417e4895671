import { useState } from "preact/hooks";
import { wordsOf } from "../api.ts";
import { announce } from "../ui/announce.tsx";

export interface Act {
  /** Something is on its way. */
  busy: boolean;
  /** What came of the last one, in words. */
  said: string;
  /** Why it did not come about. */
  problem: string;
  /** Does it and says what came of it; one at a time. */
  run(work: () => Promise<string>): Promise<void>;
}

/** What a button does at the server, with what is said of it. */
export function useAct(): Act {
  const [busy, setBusy] = useState(false);
  const [said, setSaid] = useState("");
  const [problem, setProblem] = useState("");
  return {
    busy,
    said,
    problem,
    async run(work) {
      setBusy(true);
      setProblem("");
      setSaid("");
      try {
        const words = await work();
        setSaid(words);
        announce(words);
      } catch (thrown) {
        setProblem(wordsOf(thrown));
      }
      setBusy(false);
    },
  };
}
