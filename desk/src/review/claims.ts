import { type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { wordsOf } from "../api.ts";
import type { Claims, Kind, Queue, Renewed } from "../types.ts";
import { leaveOut } from "../ui/left-out.ts";
import { USES, unusedMs } from "../use.ts";
import { count } from "../words.ts";
import { bounded, open, settledOf, withClaimed, withoutLost } from "./list.ts";
import type { Outbox } from "./outbox.ts";
import { limitOf, runsLow, type Share, shareOf, surplusOf } from "./share.ts";
import type { ReviewStore } from "./store.ts";

export interface ClaimLoop {
  /** "loading" until the first answer; then whether the list was filled, or why not; "away" while nobody uses the page. */
  state: Signal<"loading" | "ready" | "failed" | "away">;
  /** Whether nothing more was to be had when it was last asked. */
  exhausted: Signal<boolean>;
  /** Why the last claim failed, in words. */
  problem: Signal<string>;
  /** What is asked for; undefined: all kinds. */
  kind: Signal<Kind | undefined>;
  /**
   * Claims more where the list runs low; `anew` also where nothing more was to be had when it was last asked, once what is beyond
   * this page's share was given back.
   */
  fill(anew?: boolean): Promise<void>;
  /** Gives back what is undecided, and asks for this kind alone. */
  only(kind: Kind | undefined): Promise<void>;
  /** Gives back what is undecided, and claims nothing until the returned function is called: its person is about to sign out. */
  rest(): Promise<() => void>;
  /** Keeps claims as long as it runs; the returned function ends it, and gives back what is undecided. */
  run(): () => void;
}

interface Deps {
  store: ReviewStore;
  outbox: Pick<Outbox, "waiting">;
  /** By which the server tells this page from others of the same person, which hold other photos. */
  page: string;
  /** How the page before this one in its tab was called: what was claimed for it, and never came to it, goes to this one. */
  before: string | undefined;
  /** What waits, and for how many; undefined until the server has said so, which `look` asks. */
  queue: ReadonlySignal<Queue | undefined>;
  look(): Promise<Queue>;
  /** Asks the server, as the person whose claims these are. */
  ask<T>(path: string, body: unknown): Promise<T>;
  /** Seconds that a claim holds. */
  leaseS: number;
}

export function createClaimLoop({ store, outbox, page, before, queue, look, ask, leaseS }: Deps): ClaimLoop {
  const state: ClaimLoop["state"] = signal("loading");
  const problem = signal("");
  const kind = signal<Kind | undefined>(undefined);
  const exhausted = signal(false);
  let [running, resting, away] = [false, false, false];
  let claiming: Promise<void> | undefined;
  /** Whether more is to be asked for once that is answered. */
  let again = false;
  /** Until the server has heard of it, and no longer: where the tab was copied, the page before may be there still. */
  let follows = before;
  /** Changes with what is asked for: an answer to what was asked before is given back. */
  let round = 0;
  /** What each renewal on its way is to say, but for what was given back since: it may have been claimed again. */
  const renewing = new Set<Set<string>>();
  /** All that was given back has arrived: a claim that overtook it would be answered with what is free the next moment. */
  let given: Promise<unknown> = Promise.resolve();

  async function fill(anew = false): Promise<void> {
    again = claiming !== undefined && (again || anew);
    if (claiming || !running || resting || away) return;
    const share = queue.peek() && shareOf(queue.peek()!, kind.peek());
    if (anew && share) giveBackBeyond(share);
    const items = store.items.peek();
    const low = share ? runsLow(items, share) : open(items).length === 0;
    if (!low || (exhausted.peek() && !anew)) return;
    const mine = round;
    claiming = claim(mine);
    await claiming;
    claiming = undefined;
    if (mine !== round || again) await fill(true);
  }

  async function claim(mine: number): Promise<void> {
    try {
      await given;
      const share = shareOf(queue.peek() ?? (await look()), kind.peek());
      if (mine !== round) return;
      const limit = limitOf(store.items.peek(), share);
      const kinds = kind.peek() && [kind.peek()];
      const had = new Set(held());
      // what is answered from here on may be younger than the claims
      const onItsWay = new Set(
        outbox.waiting.peek().flatMap((act) => (act.does === "decide" ? act.decision.photo : [])),
      );
      const settled = settledOf(store.items.peek());
      const { photos } = await ask<Claims>("review/claims", {
        page,
        before: follows,
        limit,
        ...(kinds && { kinds }),
      });
      follows = undefined;
      if (mine !== round) return await release(photos.map(({ id }) => id));
      const left = withoutLost(store.items.peek(), had, new Set(photos.map(({ id }) => id)));
      store.take(bounded(withClaimed(left, photos, onItsWay, settled), MOST));
      exhausted.value = photos.length < limit;
      state.value = "ready";
      problem.value = "";
    } catch (thrown) {
      if (state.peek() === "loading") state.value = "failed";
      problem.value = wordsOf(thrown);
    }
  }

  async function renew(): Promise<void> {
    if (away) return;
    if (unusedMs() > IDLE_MS) {
      away = true;
      // whoever comes back while this is on its way says otherwise
      state.value = "away";
      await giveBack();
      return;
    }
    const asked = new Set(held().slice(0, MOST_HELD));
    if (asked.size > 0) {
      renewing.add(asked);
      try {
        const { photos } = await ask<Renewed>("review/claims/renew", { page, photos: [...asked] });
        store.take(withoutLost(store.items.peek(), asked, new Set(photos)));
        problem.value = "";
      } catch (thrown) {
        problem.value = wordsOf(thrown);
      }
      renewing.delete(asked);
    }
    await fill(true);
  }

  /** Photos that are to be decided, but for those that the server gives this page only once it has their undo. */
  function held(): string[] {
    const undone = new Set(outbox.waiting.peek().flatMap((act) => (act.does === "undo" ? act.photo : [])));
    return open(store.items.peek()).flatMap(({ photo }) => (undone.has(photo.id) ? [] : photo.id));
  }

  /** Those photos go to others that nobody here has begun with, and that the list ends with. */
  function giveBackBeyond(share: Share): void {
    const [items, had] = [store.items.peek(), new Set(held())];
    const begun = new Set([store.current.peek()?.photo.id, ...store.selected.peek()]);
    const ids = surplusOf(
      items,
      share,
      ({ photo, category }) => begun.has(photo.id) || category !== null || !had.has(photo.id),
    ).map(({ photo }) => photo.id);
    if (ids.length === 0) return;
    // none is decided here any more by the time another may have it
    store.take(withoutLost(items, new Set(ids), new Set()));
    leaveOut(`Free for others: ${count(ids.length, "photo")} from the end of your list`);
    void release(ids);
  }

  async function giveBack(): Promise<void> {
    round++;
    const ids = open(store.items.peek()).map(({ photo }) => photo.id);
    store.items.value = store.items.peek().filter(({ decision }) => decision);
    store.select([]);
    store.go(store.items.peek().length);
    await release(ids);
  }

  /** What does not arrive is free once its lease ends. */
  async function release(photos: string[]): Promise<void> {
    if (photos.length === 0) return;
    for (const asked of renewing) for (const id of photos) asked.delete(id);
    // at once, even while others are on their way: the page may be gone the next moment
    const released = ask("review/claims/release", { page, photos: photos.slice(0, MOST_HELD) });
    given = Promise.allSettled([given, released]);
    await given;
  }

  return {
    state,
    exhausted,
    problem,
    kind,
    fill,
    async only(next) {
      kind.value = next;
      state.value = "loading";
      await giveBack();
      await fill(true);
    },
    async rest() {
      resting = true;
      state.value = "loading";
      await giveBack();
      // what is answered now is given back too
      await claiming;
      return () => {
        resting = false;
        void fill(true);
      };
    },
    run() {
      running = true;
      const timer = setInterval(() => void renew(), (leaseS * 1_000) / 3);
      // timers sleep while the laptop does
      const onShown = (): void => void (document.visibilityState === "visible" && renew());
      const onGone = (): void => void giveBack();
      const onUse = (): void => {
        if (!away) return;
        away = false;
        state.value = "loading";
        void fill(true);
      };
      document.addEventListener("visibilitychange", onShown);
      addEventListener("online", onShown);
      addEventListener("pagehide", onGone);
      for (const use of USES) addEventListener(use, onUse, { passive: true });
      // now, and as soon as the server says what came into the queue, or who is there
      const stopHearing = queue.subscribe(() => void fill(true));
      return () => {
        running = false;
        stopHearing();
        clearInterval(timer);
        document.removeEventListener("visibilitychange", onShown);
        removeEventListener("online", onShown);
        removeEventListener("pagehide", onGone);
        for (const use of USES) removeEventListener(use, onUse);
        void giveBack();
      };
    },
  };
}

/** Without any use, after which what is held goes to others. */
const IDLE_MS = 600_000;
/** As many as the server renews at once. */
const MOST_HELD = 500;
/** Of the list; what was decided first leaves it first. */
const MOST = 2_000;
