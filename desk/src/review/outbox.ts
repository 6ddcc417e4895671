import { type Signal, signal } from "@preact/signals";
import { Refused, wordsOf } from "../api.ts";
import type { Decided, Decision, Photo, Undone } from "../types.ts";
import { uuid } from "../uuid.ts";

/** What a moderator did. The id of a decision makes it, and its undo, the same act however often it is sent. */
export type Act =
  | { does: "decide"; id: string; decision: Decision; key: string }
  | { does: "undo"; id: string; decision: string; photo: string; key: string };

export function decisionOf(
  { id, asOf, appeal }: Photo,
  said: Pick<Decision, "verdict" | "category" | "human">,
): Decision {
  return { id: uuid(), photo: id, ...said, note: null, asOf, appeal: appeal?.at ?? null };
}

export function decideAct(decision: Decision, key: string): Act {
  return { does: "decide", id: decision.id, decision, key };
}

/** What became of an act; `words` where the server refused it as a whole. */
export interface Answer {
  outcome: Decided["outcome"] | "refused";
  by?: string | null;
  state?: string | null;
  asOf?: string | null;
  words?: string;
  /** Of an undo, the photo as it was before. */
  photo?: Photo | null;
}

/** An act that does not count, until a person has seen so. */
export interface Failed {
  act: Act;
  answer: Answer;
}

export interface Outbox {
  /** Not delivered yet, oldest first. */
  waiting: Signal<readonly Act[]>;
  failed: Signal<readonly Failed[]>;
  /** Why the last try did not arrive; "" where it did. */
  trouble: Signal<string>;
  /** False where this browser keeps nothing beyond the page. */
  durable: Signal<boolean>;
  /** Keeps the act, then sends it. */
  add(...acts: Act[]): void;
  /** Tries at once: the network is back, or somebody signed in. */
  wake(): void;
  dismiss(id: string): void;
  close(): void;
}

interface OutboxDeps {
  storage: KeptStrings;
  /** Whose acts these are: nobody delivers those of another. */
  owner: string;
  /** Sends acts that are all decisions, or one that is an undo; answers in their order. */
  deliver(acts: readonly Act[]): Promise<Answer[]>;
  answered(act: Act, answer: Answer): void;
  /** Calls back after `ms`, unless what it returns is called before. */
  later(ms: number, wake: () => void): () => void;
}

/** What of the browser's `Storage` is used. */
export interface KeptStrings {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/**
 * Acts on their way to the server. Each is written to storage before anything else happens, and leaves it only when the
 * server has answered for it; the order of one page is kept. A lost answer, a closed laptop or a second tab only mean
 * that an act is sent twice, which its id makes harmless.
 */
export function createOutbox(deps: OutboxDeps): Outbox {
  const { owner, storage } = deps;
  const prefix = `${KEPT}${encodeURIComponent(owner)}/`;
  const kept = readKept(storage, prefix);
  const waiting = signal<readonly Act[]>(kept.flatMap(({ act, answer }) => (answer ? [] : [act])));
  const failed = signal(kept.flatMap(({ act, answer }) => (answer ? [{ act, answer }] : [])));
  const trouble = signal("");
  const durable = signal(true);
  const names = new Map(kept.map(({ act, name }) => [act.id, name]));
  let [sending, closed, tries, count] = [false, false, 0, 0];
  /** Milliseconds; later than what is kept, also where the clock was set back. */
  let addedAt = 1 + (Number.parseInt(kept.at(-1)?.name.slice(prefix.length) ?? "0", 10) || 0);
  /** Answered 4xx as part of a batch: sent alone, so that only what is at fault is refused. */
  let alone = 0;
  let cancel = (): void => {};

  async function send(): Promise<void> {
    cancel();
    if (sending || closed) return;
    sending = true;
    try {
      while (waiting.peek().length > 0 && !closed) {
        const acts = nextOf(waiting.peek(), alone > 0 ? 1 : MAX_TOGETHER);
        const answers = await tryToDeliver(acts);
        if (!answers) return;
        tries = 0;
        trouble.value = "";
        alone = Math.max(0, alone - answers.length);
        for (const [index, answer] of answers.entries()) settle(acts[index]!, answer);
      }
    } finally {
      sending = false;
    }
  }

  /** @returns the answers; none where the acts are to be sent one by one; undefined where they are to be sent later. */
  async function tryToDeliver(acts: readonly Act[]): Promise<Answer[] | undefined> {
    try {
      return await deps.deliver(acts);
    } catch (thrown) {
      if (thrown instanceof Refused && !thrown.again) {
        if (acts.length === 1) return [{ outcome: "refused", words: thrown.message }];
        alone = acts.length;
        return [];
      }
      trouble.value = wordsOf(thrown);
      const backoffMs = Math.min(FIRST_RETRY_MS * 2 ** tries++, LAST_RETRY_MS);
      const retryMs = (thrown instanceof Refused && thrown.retryMs) || backoffMs;
      cancel = deps.later(retryMs, () => void send());
      return undefined;
    }
  }

  function settle(act: Act, answer: Answer): void {
    waiting.value = waiting.peek().filter((each) => each.id !== act.id);
    if (counts(answer)) {
      forget(act.id);
    } else {
      failed.value = [...failed.peek(), { act, answer }];
      keep(act, answer);
    }
    deps.answered(act, answer);
  }

  function keep(act: Act, answer?: Answer): void {
    // a later page sends them in the order of their names
    addedAt = Math.max(addedAt, Date.now());
    const name = names.get(act.id) ?? `${prefix}${addedAt}.${String(count++).padStart(6, "0")}.${act.id}`;
    names.set(act.id, name);
    try {
      storage.setItem(name, JSON.stringify({ act, answer }));
    } catch {
      durable.value = false;
    }
  }

  function forget(id: string): void {
    const name = names.get(id);
    if (name) storage.removeItem(name);
    names.delete(id);
  }

  return {
    waiting,
    failed,
    trouble,
    durable,
    add(...acts) {
      for (const act of acts) keep(act);
      waiting.value = [...waiting.peek(), ...acts];
      void send();
    },
    wake() {
      tries = 0;
      void send();
    },
    dismiss(id) {
      forget(id);
      failed.value = failed.peek().filter(({ act }) => act.id !== id);
    },
    close() {
      closed = true;
      cancel();
    },
  };
}

/** Whether the act did what it should. */
export function counts({ outcome }: Answer): boolean {
  return outcome === "done" || outcome === "known";
}

/** The decisions that come first, or the undo that does. */
function nextOf(acts: readonly Act[], atMost: number): readonly Act[] {
  if (acts[0]?.does === "undo") return acts.slice(0, 1);
  const undo = acts.findIndex(({ does }) => does === "undo");
  return acts.slice(0, Math.min(undo < 0 ? acts.length : undo, atMost));
}

function readKept(storage: KeptStrings, prefix: string): { name: string; act: Act; answer?: Answer }[] {
  const names = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
  return names
    .filter((name) => name.startsWith(prefix))
    .sort()
    .map((name) => ({ name, ...JSON.parse(storage.getItem(name)!) }));
}

/** What an undo was answered, in the words of a decision. */
export function answerOfUndo({ outcome, photo }: Undone): Answer {
  return { outcome, photo, by: photo?.by ?? null, state: photo?.state ?? null };
}

/** Whose acts wait in this browser until they sign in here, and how many. */
export function whoseWait(storage: KeptStrings): { owner: string; acts: number }[] {
  const counts = new Map<string, number>();
  for (const { name, answer } of readKept(storage, KEPT)) {
    const owner = decodeURIComponent(name.slice(KEPT.length, name.indexOf("/")));
    if (!answer) counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return [...counts].map(([owner, acts]) => ({ owner, acts }));
}

/** How the names of acts begin in storage; then come their owner, whose "/" is escaped, and their place in the order. */
const KEPT = "maitred.act.";
/** Of an act each, so that an answer takes less than a twentieth of a second. */
const MAX_TOGETHER = 25;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
