import { effect, untracked } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { get, post } from "./api.ts";
import { createEyes, type Eyes } from "./eyes.ts";
import { leaveToNext, takeLeft } from "./left.ts";
import { connected, queue } from "./live.ts";
import { type ClaimLoop, createClaimLoop } from "./review/claims.ts";
import { type AllDone, createUndoable } from "./review/done.ts";
import {
  type Act,
  type Answer,
  answerOfUndo,
  createOutbox,
  type KeptStrings,
  type Outbox,
} from "./review/outbox.ts";
import { createReviewStore, type ReviewStore } from "./review/store.ts";
import type { AllDecided, Queue, Session, Undone } from "./types.ts";

/** What one signed-in person is at, on whichever page. */
export interface Work {
  outbox: Outbox;
  eyes: Eyes;
  store: ReviewStore;
  claims: ClaimLoop;
  close(): void;
}

/** What goes on in the next page of the tab. */
interface Left {
  page: string;
  done: AllDone;
}

const Context = createContext<Work | undefined>(undefined);
export const WorkProvider = Context.Provider;

export function useWork(): Work {
  return useContext(Context)!;
}

/** @param page by which the server tells this page from others of the same person. */
export function startWork({ name, settings }: Session, page: string): Work {
  const outbox = createOutbox({
    storage: browserStorage(),
    owner: name,
    deliver: (acts) => deliver(acts, name, page),
    answered: (act, answer) => store.answered(act, answer),
    later,
  });
  const left = takeLeft<Left>(name);
  const done = createUndoable(left?.done);
  const eyes = createEyes(settings.blur);
  const store = createReviewStore(outbox, laterInView, done, eyes);
  const stopLeaving = leaveToNext(name, (): Left => ({ page, done: done.kept() }));
  const wake = (): void => outbox.wake();
  addEventListener("online", wake);
  outbox.wake();
  // the server is back
  const stopWaking = effect(() => {
    if (connected.value) untracked(wake);
  });
  return {
    outbox,
    eyes,
    store,
    claims: createClaimLoop({
      store,
      outbox,
      page,
      before: left?.page,
      queue,
      look: () => get<Queue>("review/queue"),
      ask: (path, body) => post(path, body, name),
      leaseS: settings.leaseS,
    }),
    close() {
      stopLeaving();
      stopWaking();
      removeEventListener("online", wake);
      outbox.close();
    },
  };
}

/** @param owner whose acts these are: the server takes them of nobody else. */
async function deliver(acts: readonly Act[], owner: string, page: string): Promise<Answer[]> {
  const [first] = acts;
  if (first?.does === "undo") {
    return [answerOfUndo(await post<Undone>("review/undo", { decision: first.decision, page }, owner))];
  }
  const decisions = acts.flatMap((act) => (act.does === "decide" ? act.decision : []));
  const answer = await post<AllDecided>("review/decisions", { decisions }, owner);
  return answer.decisions.map(({ outcome, by, state, asOf }) => ({ outcome, by, state, asOf }));
}

/** Calls back after so many milliseconds, unless what it returns is called before. */
function later(ms: number, wake: () => void): () => void {
  const timer = setTimeout(wake, ms);
  return () => clearTimeout(timer);
}

/** The same, once the page was seen for so long without a break. */
function laterInView(ms: number, wake: () => void): () => void {
  let stopWaiting = (): void => {};
  const onSeen = (): void => {
    stopWaiting();
    if (document.visibilityState === "visible") stopWaiting = later(ms, wake);
  };
  document.addEventListener("visibilitychange", onSeen);
  onSeen();
  return () => {
    stopWaiting();
    document.removeEventListener("visibilitychange", onSeen);
  };
}

export function browserStorage(): KeptStrings {
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
