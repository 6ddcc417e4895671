import { computed, type ReadonlySignal, signal } from "@preact/signals";
import { stored } from "./stored.ts";
import type { Photo } from "./types.ts";
import { hiddenForHuman } from "./words.ts";

/**
 * What one person has had before their eyes since the page was loaded. A photo can be shown to everybody only by someone who has
 * had its picture before their eyes, of these bytes, in view and not blurred: whatever decides asks here.
 */
export interface Eyes {
  /** Whether photos hidden for a human are blurred. */
  blurs: ReadonlySignal<boolean>;
  /** Those that were asked for are blurred again too. */
  setBlur(on: boolean): void;
  /** Whether this one is blurred. */
  veils(photo: Photo): boolean;
  /** Blurs it no more, or again. */
  reveal(id: string): void;
  /** Its picture was in view, and not blurred; of the size of a card, or larger. */
  see(photo: Photo, size: "card" | "large"): void;
  /**
   * Why this person may not show it to everybody; undefined where they may.
   *
   * @param size where it is judged alone, a card's picture is not enough; nor with others, where people may be in it.
   */
  unseen(photo: Photo, size: "card" | "large"): "blurred" | "not seen" | "only seen small" | undefined;
  /** Why a photo that is judged alone is not shown, in words; "" where it may be. One that is blurred is so no more by this. */
  refuses(photo: Photo): string;
}

/** @param byDefault whether photos are blurred until this browser says otherwise. */
export function createEyes(byDefault: boolean): Eyes {
  const kept = stored("maitred.blur");
  const chosen = signal(kept.read());
  const blurs = computed(() => (chosen.value === null ? byDefault : chosen.value === "on"));
  const revealed = signal<ReadonlySet<string>>(new Set());
  const seen = signal<readonly string[]>([]);

  const veils = (photo: Photo): boolean =>
    blurs.value && hiddenForHuman(photo) && !revealed.value.has(photo.id);
  function reveal(id: string): void {
    const next = new Set(revealed.peek());
    if (!next.delete(id)) next.add(id);
    revealed.value = next;
  }
  const unseen: Eyes["unseen"] = (photo, size) => {
    if (veils(photo)) return "blurred";
    const had = (at: "card" | "large"): boolean => seen.value.includes(keyOf(photo, at));
    if (had("large")) return undefined;
    if (size === "large" || !had("card")) return "not seen";
    // on a card of 190 pixels nobody sees a small person
    return mayHavePeople(photo) ? "only seen small" : undefined;
  };
  return {
    blurs,
    veils,
    reveal,
    unseen,
    setBlur(on) {
      chosen.value = on ? "on" : "off";
      revealed.value = new Set();
      kept.write(chosen.peek()!);
    },
    see(photo, size) {
      const key = keyOf(photo, size);
      if (!seen.peek().includes(key)) seen.value = [...seen.peek(), key].slice(-MOST);
    },
    refuses(photo) {
      const why = unseen(photo, "large");
      if (why === "blurred") reveal(photo.id);
      return why === "blurred" ? BLURRED : why ? UNSEEN : "";
    },
  };
}

/** With another verdict it may be of other bytes. */
function keyOf({ id, asOf }: Photo, size: "card" | "large"): string {
  return `${size} ${id} ${asOf}`;
}

/** Why a person is asked is whether there are people in it, or may be that. */
function mayHavePeople(photo: Photo): boolean {
  return (
    hiddenForHuman(photo) ||
    // whose policy asks nobody about people
    photo.rule === "hidden-category" ||
    ["appeal", "hidden-copy", "human", "scores"].includes(photo.kind ?? "")
  );
}

const BLURRED = "It was blurred: look at it, then show it";
const UNSEEN = "You have not seen its picture yet";

/** More than a list has; what is forgotten has only to be looked at again. */
const MOST = 5_000;
