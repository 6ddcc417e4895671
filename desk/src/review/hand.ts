import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { announce } from "../ui/announce.tsx";
import type { Sight } from "../ui/grid.tsx";
import { leftOut } from "../ui/left-out.ts";
import { count } from "../words.ts";
import { type Guard, LOOK } from "./guard.ts";
import { type Item, type Items, isOpen, nextOpen } from "./list.ts";

/** The list of one moderator: which photo of it is in hand, and which are selected. */
export interface Hand {
  items: Signal<Items>;
  /** Index of the item that the keys act on; behind the last where nothing is left to decide. */
  at: Signal<number>;
  current: ReadonlySignal<Item | undefined>;
  selected: Signal<ReadonlySet<string>>;
  /** Whether a photo just came into hand though nobody moved: for a second nothing is decided or selected. */
  slipped: ReadonlySignal<boolean>;
  /** Of whoever alone shows the photo in hand; null where it is seen anyway. */
  sight: { current: Sight };
  /** What the keys act on: all that are selected, else the photo in hand; none where nothing may be done with them just now. */
  targets(): Items;
  move(by: number, extend?: boolean): void;
  go(index: number): void;
  toggle(index: number, through?: boolean): void;
  select(ids: Iterable<string>): void;
  /**
   * Takes the list as it is now. The cursor stays on its photo, wherever that is; where that went, or all were decided, it goes
   * to what is open.
   */
  take(next: Items): void;
}

export function createHand(guard: Guard): Hand {
  const items = signal<Items>([]);
  const at = signal(0);
  const selected = signal<ReadonlySet<string>>(new Set());
  const current = computed(() => items.value[at.value]);
  const sight: Hand["sight"] = { current: null };

  const within = (index: number, last: number): number => Math.max(0, Math.min(index, last));
  const chosen = (): Items => {
    const many = items.peek().filter(({ photo }) => selected.peek().has(photo.id));
    const item = current.peek();
    return many.length > 0 ? many : item ? [item] : [];
  };
  /** Whether nothing may be done with the photo in hand just now; one that was scrolled out of view comes into hand anew. */
  const refuses = (): boolean => {
    if (sight.current?.() === false) guard.slip();
    return guard.refuses();
  };
  const idsOf = (from: number, to: number): string[] =>
    items
      .peek()
      .slice(Math.min(from, to), Math.max(from, to) + 1)
      .map(({ photo }) => photo.id);

  return {
    items,
    at,
    current,
    selected,
    slipped: guard.slipped,
    sight,
    targets: () => ((selected.peek().size > 0 ? guard.refuses() : refuses()) ? [] : chosen()),
    move(by, extend = false) {
      // a photo that nobody has looked at is not selected on the way
      if (extend && refuses()) return;
      leftOut.value = "";
      const [from, last] = [at.peek(), items.peek().length - 1];
      // from behind the last there is nothing but back
      if (by < 0 || from <= last) at.value = within(from + by, last);
      if (!extend) return;
      selected.value = new Set([...selected.peek(), ...idsOf(from, at.peek())]);
      saySelected(selected.peek().size);
    },
    go(index) {
      leftOut.value = "";
      at.value = within(index, items.peek().length);
    },
    toggle(index, through = false) {
      // what is selected is what the next key decides
      if (index === at.peek() ? refuses() : guard.refuses()) return;
      const id = items.peek()[index]?.photo.id;
      if (id === undefined) return;
      const next = new Set(selected.peek());
      if (through) for (const each of idsOf(at.peek(), index)) next.add(each);
      else if (!next.delete(id)) next.add(id);
      batch(() => {
        selected.value = next;
        at.value = index;
      });
      saySelected(next.size);
    },
    select(ids) {
      const next = new Set(ids);
      if (next.size > 0 && guard.refuses()) return;
      const had = selected.peek().size;
      selected.value = next;
      if (had + next.size > 0) saySelected(next.size);
    },
    take(next) {
      const [before, had] = [chosen(), items.peek()];
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
      const after = new Map(chosen().map((item) => [item.photo.id, item]));
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
  };
}

function saySelected(many: number): void {
  announce(many > 0 ? `${count(many, "photo")} selected` : "None selected");
}
