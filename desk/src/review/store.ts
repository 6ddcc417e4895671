import { batch, computed, type Signal, signal } from "@preact/signals";
import { get, wordsOf } from "../api.ts";
import type { Eyes } from "../eyes.ts";
import type { Decision, Photo } from "../types.ts";
import { announce } from "../ui/announce.tsx";
import type { Sight } from "../ui/grid.tsx";
import { leaveOut, leftOut } from "../ui/left-out.ts";
import { uuid } from "../uuid.ts";
import { count, nameOf } from "../words.ts";
import type { Undoable } from "./done.ts";
import { createGuard, LOOK } from "./guard.ts";
import {
  asDecided,
  changed,
  type Item,
  type Items,
  isOpen,
  isOverruled,
  itemOf,
  nextOpen,
  says,
} from "./list.ts";
import { type Act, type Answer, counts, decideAct, decisionOf, type Outbox } from "./outbox.ts";

/** The list of one moderator: what is in it, what is looked at, and what may be done. */
export interface ReviewStore {
  items: Signal<Items>;
  /** Index of the item that the keys act on; behind the last where nothing is left to decide. */
  at: Signal<number>;
  current: { readonly value: Item | undefined };
  selected: Signal<ReadonlySet<string>>;
  /** Whether a photo just came into hand though nobody moved: for a second nothing is decided or selected. */
  slipped: { readonly value: boolean };
  /** Of whoever alone shows the photo in hand; null where it is seen anyway. */
  sight: { current: Sight };
  /** When each decision of this page was made, in milliseconds. */
  times: Signal<readonly number[]>;
  move(by: number, extend?: boolean): void;
  go(index: number): void;
  toggle(index: number, through?: boolean): void;
  select(ids: Iterable<string>): void;
  /**
   * Takes the list as it is now. The cursor stays on its photo, wherever that is; where that went, or all were decided, it goes
   * to what is open.
   */
  take(next: Items): void;
  setCategory(category: string): void;
  /** To show a photo counts where its picture was seen; of many, those that were not stay selected. */
  decide(verdict: Decision["verdict"], human: boolean | null): void;
  /** A photo that is not in the list any more comes back to it. */
  undo(): void;
  /** Decides anew what another decided meanwhile; to show it counts where it was seen as it is now. Whether it was done. */
  insist(act: Act, answer: Answer): boolean;
  /** To be called with what became of each act. */
  answered(act: Act, answer: Answer): void;
  /** Asks for the links of a photo again. */
  refresh(id: string): Promise<void>;
}

/** @param later calls back after `ms`, unless what it returns is called before. */
export function createReviewStore(
  outbox: Pick<Outbox, "add">,
  later: (ms: number, wake: () => void) => () => void,
  done: Undoable,
  eyes: Pick<Eyes, "unseen" | "refuses">,
): ReviewStore {
  const items = signal<Items>([]);
  const at = signal(0);
  const selected = signal<ReadonlySet<string>>(new Set());
  const times = signal<readonly number[]>([]);
  const current = computed(() => items.value[at.value]);
  const guard = createGuard(later);
  const sight: ReviewStore["sight"] = { current: null };

  const clamp = (index: number): number => Math.max(0, Math.min(index, items.peek().length - 1));
  const targets = (): Items => {
    const chosen = items.peek().filter(({ photo }) => selected.peek().has(photo.id));
    const item = current.peek();
    return chosen.length > 0 ? chosen : item ? [item] : [];
  };
  /** Whether nothing may be done with the photo in hand just now; one that was scrolled out of view comes into hand anew. */
  const refuses = (): boolean => {
    if (sight.current?.() === false) guard.slip();
    return guard.refuses();
  };
  /** Of these, those that may be decided, or given a category. */
  const mine = (): Items => {
    if (selected.peek().size > 0 ? guard.refuses() : refuses()) return [];
    const [all, left] = [targets(), targets().filter((item) => !isOverruled(item))];
    if (left.length === 0 && all.length > 0) announce(OVERRULED);
    return left;
  };
  const change = (ids: readonly string[], how: (item: Item) => Item): void => {
    items.value = changed(items.peek(), new Set(ids), how);
  };

  /** Of these, those that may be shown to everybody; of others is said why not. */
  function showable(asked: Items): Items {
    if (asked.length < 2) {
      const why = asked[0] ? eyes.refuses(asDecided(asked[0])) : "";
      if (why) leaveOut(why);
      return why ? [] : asked;
    }
    const whys = asked.map((item) => eyes.unseen(asDecided(item), "card"));
    const parts = (["blurred", "not seen"] as const).flatMap((why) => {
      const many = whys.filter((each) => each === why).length;
      return many > 0 ? `${many} ${why}` : [];
    });
    if (parts.length > 0) leaveOut(`Not shown, and still selected: ${parts.join(", ")}`);
    return asked.filter((_, index) => !whys[index]);
  }

  function decide(verdict: Decision["verdict"], human: boolean | null): void {
    leftOut.value = "";
    const asked = mine().filter((item) => !says(item, verdict, human));
    const chosen = verdict === "shown" ? showable(asked) : asked;
    const left = asked.filter((item) => !chosen.includes(item)).map(({ photo }) => photo.id);
    const first = items.peek().findIndex(({ photo }) => photo.id === left[0]);
    const from = at.peek();
    if (chosen.length === 0) {
      if (first < 0 || first === from) return;
      at.value = first;
      guard.slip();
      return;
    }
    const decisions = new Map(
      chosen.map(({ photo, category }) => [photo.id, decisionOf(photo, { verdict, category, human })]),
    );
    batch(() => {
      change([...decisions.keys()], (item) => ({
        ...item,
        decision: decisions.get(item.photo.id),
        answer: undefined,
      }));
      times.value = [...times.peek(), ...chosen.map(() => Date.now())];
      const many = selected.peek().size > 0;
      selected.value = new Set(left);
      at.value = first >= 0 ? first : nextOpen(items.peek(), many ? from - 1 : from);
    });
    // back to what was skipped, which is not what lay ahead, or on to what was not seen
    const slips = at.peek() < from || left.length > 0;
    if (slips) guard.slip();
    done.push(
      chosen.map(({ photo }) => ({
        id: decisions.get(photo.id)!.id,
        photo: photo.id,
        key: photo.key,
        before: photo,
      })),
    );
    outbox.add(...chosen.map(({ photo }) => decideAct(decisions.get(photo.id)!, photo.key)));
    const which = chosen.length > 1 ? count(chosen.length, "photo") : nameOf(chosen[0]!.photo);
    const rest = leftOut.peek() ? `. ${leftOut.peek()}` : "";
    announce(`${which} ${verdict}${rest}${slips ? `. ${LOOK}` : ""}`);
  }

  function undo(): void {
    const last = done.pop();
    if (!last) {
      announce("Nothing to take back");
      return;
    }
    const ids = last.map(({ photo }) => photo);
    batch(() => {
      const there = new Set(items.peek().map(({ photo }) => photo.id));
      const back = last.flatMap(({ before }) => (before && !there.has(before.id) ? itemOf(before) : []));
      items.value = [...items.peek().slice(0, at.peek()), ...back, ...items.peek().slice(at.peek())];
      // with its category, or the next decision would give it again
      change(ids, (item) => ({ ...item, category: null, decision: undefined, answer: undefined }));
      times.value = times.peek().slice(0, -last.length);
      const index = items.peek().findIndex(({ photo }) => photo.id === ids[0]);
      if (index < 0) return;
      at.value = index;
      // what is decided next is what was taken back
      selected.value = new Set();
      guard.steady();
    });
    outbox.add(
      ...last.map(({ id, photo, key }): Act => ({ does: "undo", id: uuid(), decision: id, photo, key })),
    );
    announce(`${count(last.length, "decision")} taken back`);
  }

  function answered(act: Act, answer: Answer): void {
    if (act.does === "undo") {
      const { photo } = answer;
      if (photo) change([photo.id], (item) => (item.decision ? item : { ...item, photo }));
      if (photo && !counts(answer) && current.peek()?.photo.id === photo.id) guard.slip();
      return;
    }
    const { photo: id } = act.decision;
    change([id], (item) => {
      // a later decision of ours is on its way
      if (item.decision?.id !== act.id) return item;
      // what was looked at stays as of when it was: the server's newest verdict may be of other bytes
      return { ...item, answer };
    });
    if (counts(answer)) return;
    if (answer.outcome === "changed") void renew(id);
    done.drop(act.id);
    announce(`The decision on ${nameOf(act)} did not count`);
  }

  /** The photo as it is now, where the server can be reached: what its moderator must know is said all the same. */
  async function renew(id: string): Promise<void> {
    const photo = await get<Photo>(`photos/${id}`).catch(() => undefined);
    if (photo)
      change([id], (item) =>
        isOverruled(item) ? { ...item, photo: { ...photo, kind: item.photo.kind } } : item,
      );
  }

  return {
    items,
    at,
    current,
    selected,
    slipped: guard.slipped,
    sight,
    times,
    decide,
    undo,
    answered,
    move(by, extend = false) {
      // a photo that nobody has looked at is not selected on the way
      if (extend && refuses()) return;
      leftOut.value = "";
      const from = at.peek();
      // from behind the last there is nothing but back
      if (by < 0 || from < items.peek().length) at.value = clamp(from + by);
      if (!extend) return;
      const ids = [from, at.peek()].flatMap((index) => items.peek()[index]?.photo.id ?? []);
      selected.value = new Set([...selected.peek(), ...ids]);
    },
    go(index) {
      leftOut.value = "";
      at.value = Math.max(0, Math.min(index, items.peek().length));
    },
    toggle(index, through = false) {
      // what is selected is what the next key decides
      if (index === at.peek() ? refuses() : guard.refuses()) return;
      const id = items.peek()[index]?.photo.id;
      if (id === undefined) return;
      const next = new Set(selected.peek());
      if (through) {
        const [first, last] = [Math.min(at.peek(), index), Math.max(at.peek(), index)];
        for (const { photo } of items.peek().slice(first, last + 1)) next.add(photo.id);
      } else if (!next.delete(id)) {
        next.add(id);
      }
      batch(() => {
        selected.value = next;
        at.value = index;
      });
    },
    select(ids) {
      const next = new Set(ids);
      if (next.size > 0 && guard.refuses()) return;
      selected.value = next;
    },
    take(next) {
      const [before, had] = [targets(), items.peek()];
      const id = current.peek()?.photo.id;
      const waited = !had.some(isOpen);
      batch(() => {
        items.value = next;
        const there = new Set(next.map(({ photo }) => photo.id));
        selected.value = new Set([...selected.peek()].filter((each) => there.has(each)));
        const index = id === undefined ? -1 : next.findIndex(({ photo }) => photo.id === id);
        const from = index >= 0 ? index : at.peek();
        const stays = index >= 0 && !(waited && next.some(isOpen));
        at.value = stays ? from : nextOpen(next, from - 1);
      });
      const after = new Map(targets().map((item) => [item.photo.id, item]));
      // one that is open again, as after an appeal, is looked at anew; and one that may have other bytes, as it has another verdict
      const same =
        before.length === after.size &&
        before.every(
          ({ photo, decision }) =>
            after.get(photo.id)?.decision === decision && after.get(photo.id)?.photo.asOf === photo.asOf,
        );
      // also where nothing was in hand, as in a page that just opened: one key too many may be on its way
      if (!same && after.size > 0) {
        guard.slip();
        announce(LOOK);
      }
    },
    setCategory(category) {
      const chosen = mine();
      if (chosen.length === 0) return;
      const same = chosen.every((item) => item.category === category);
      change(
        chosen.map(({ photo }) => photo.id),
        (item) => ({ ...item, category: same ? null : category }),
      );
      announce(same ? "Category as it was" : `Category ${category}, once you show or hide`);
    },
    insist(act, answer) {
      if (act.does !== "decide") return false;
      const decision = { ...act.decision, id: uuid(), asOf: answer.asOf ?? null };
      const before = items.peek().find(({ photo }) => photo.id === decision.photo)?.photo;
      if (decision.verdict === "shown") {
        const why = before && before.asOf === answer.asOf ? eyes.refuses(before) : LOOK_ANEW;
        if (why) {
          leaveOut(why);
          return false;
        }
      }
      change([decision.photo], (item) => ({ ...item, decision, answer: undefined }));
      done.push([{ id: decision.id, photo: decision.photo, key: act.key, before }]);
      outbox.add(decideAct(decision, act.key));
      return true;
    },
    async refresh(id) {
      try {
        const { links } = await get<Photo>(`photos/${id}`);
        change([id], (item) => ({ ...item, photo: { ...item.photo, links } }));
      } catch (thrown) {
        announce(wordsOf(thrown));
      }
    },
  };
}

const LOOK_ANEW = "It may be another picture by now: look at it first, on its own page";
const OVERRULED = "It was decided, replaced or removed meanwhile: no key decides it again";
