import { batch, type Signal, signal } from "@preact/signals";
import { get, wordsOf } from "../api.ts";
import type { Eyes } from "../eyes.ts";
import type { Decision, Photo } from "../types.ts";
import { announce } from "../ui/announce.tsx";
import { leftOut } from "../ui/left-out.ts";
import { uuid } from "../uuid.ts";
import { count, nameOf, stateWords } from "../words.ts";
import type { Undoable } from "./done.ts";
import { createGuard, LOOK } from "./guard.ts";
import { createHand, type Hand } from "./hand.ts";
import { changed, type Item, isOverruled, itemOf, nextOpen, says } from "./list.ts";
import { type Act, type Answer, counts, decideAct, decisionOf, type Outbox } from "./outbox.ts";
import { createRule } from "./rule.ts";

/** What a moderator decides of their list, and what became of it. */
export interface ReviewStore extends Omit<Hand, "targets"> {
  /** When each decision of this page was made, in milliseconds. */
  times: Signal<readonly number[]>;
  setCategory(category: string): void;
  /**
   * To show a photo counts where its picture was seen; of many, those that were not stay selected. Unsure leaves a photo to another
   * moderator.
   */
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
  const guard = createGuard(later);
  const { targets, ...hand } = createHand(guard);
  const { items, at, selected, current } = hand;
  const rule = createRule(eyes);
  const times = signal<readonly number[]>([]);

  const change = (ids: readonly string[], how: (item: Item) => Item): void => {
    items.value = changed(items.peek(), new Set(ids), how);
  };

  function decide(verdict: Decision["verdict"], human: boolean | null): void {
    leftOut.value = "";
    const may = rule.decidable(targets());
    const asked =
      verdict === "unsure" ? rule.passable(may) : may.filter((item) => !says(item, verdict, human));
    const chosen = verdict === "shown" ? rule.showable(asked) : asked;
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
      chosen.map(({ photo, category }) => [
        photo.id,
        decisionOf(photo, { verdict, category: verdict === "unsure" ? null : category, human }),
      ]),
    );
    batch(() => {
      change([...decisions.keys()], (item) => ({
        ...item,
        decision: decisions.get(item.photo.id),
        answer: undefined,
      }));
      if (verdict !== "unsure") times.value = [...times.peek(), ...chosen.map(() => Date.now())];
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
        pass: verdict === "unsure",
        before: photo,
      })),
    );
    outbox.add(...chosen.map(({ photo }) => decideAct(decisions.get(photo.id)!, photo.key)));
    const which = chosen.length > 1 ? count(chosen.length, "photo") : nameOf(chosen[0]!.photo);
    const rest = leftOut.peek() ? `. ${leftOut.peek()}` : "";
    announce(`${which} ${stateWords(verdict)}${rest}${slips ? `. ${LOOK}` : ""}`);
  }

  function undo(): void {
    leftOut.value = "";
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
      if (!last[0]!.pass) times.value = times.peek().slice(0, -last.length);
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
    ...hand,
    times,
    decide,
    undo,
    answered,
    setCategory(category) {
      const chosen = rule.decidable(targets());
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
      if (decision.verdict === "shown" && !rule.showsAnew(before, decision.asOf)) return false;
      change([decision.photo], (item) => ({ ...item, decision, answer: undefined }));
      const pass = decision.verdict === "unsure";
      done.push([{ id: decision.id, photo: decision.photo, key: act.key, pass, before }]);
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
