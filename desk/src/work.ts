import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { post } from "./api.ts";
import { type ClaimLoop, createClaimLoop } from "./review/claims.ts";
import {
  type Act,
  type Answer,
  answerOfUndo,
  createOutbox,
  type KeptStrings,
  type Outbox,
} from "./review/outbox.ts";
import { createReviewStore, type ReviewStore } from "./review/store.ts";
import type { AllDecided, Session, Undone } from "./types.ts";

/** What one signed-in person is at, on whichever page. */
export interface Work {
  outbox: Outbox;
  store: ReviewStore;
  claims: ClaimLoop;
  close(): void;
}

const Context = createContext<Work | undefined>(undefined);
export const WorkProvider = Context.Provider;

export function useWork(): Work {
  return useContext(Context)!;
}

export function startWork({ name, settings }: Session): Work {
  const outbox = createOutbox({
    storage: browserStorage(),
    owner: name,
    deliver,
    answered: (act, answer) => store.answered(act, answer),
    later(ms, wake) {
      const timer = setTimeout(wake, ms);
      return () => clearTimeout(timer);
    },
  });
  const store = createReviewStore(outbox);
  const wake = (): void => outbox.wake();
  addEventListener("online", wake);
  outbox.wake();
  return {
    outbox,
    store,
    claims: createClaimLoop({ store, outbox, leaseS: settings.leaseS }),
    close() {
      removeEventListener("online", wake);
      outbox.close();
    },
  };
}

async function deliver(acts: readonly Act[]): Promise<Answer[]> {
  const [first] = acts;
  if (first?.does === "undo") {
    return [answerOfUndo(await post<Undone>("review/undo", { decision: first.decision }))];
  }
  const decisions = acts.flatMap((act) => (act.does === "decide" ? act.decision : []));
  const answer = await post<AllDecided>("review/decisions", { decisions });
  return answer.decisions.map(({ outcome, by, state, asOf }) => ({ outcome, by, state, asOf }));
}

function browserStorage(): KeptStrings {
  try {
    return localStorage;
  } catch {
    return NO_STORAGE;
  }
}

/** Where storage is forbidden; the outbox says so. */
const NO_STORAGE: KeptStrings = {
  length: 0,
  key: () => null,
  getItem: () => null,
  setItem: () => {
    throw new Error("storage is forbidden in this browser");
  },
  removeItem: () => {},
};
