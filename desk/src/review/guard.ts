import { type Signal, signal } from "@preact/signals";
import { announce } from "../ui/announce.tsx";

/** Holds back what was meant for another photo than the one that is in hand now, or for none. */
export interface Guard {
  /** Whether a photo just came into hand though nobody moved. */
  slipped: Signal<boolean>;
  /** Whoever calls it says so, with what else there is to say: of what is said at once only the last is heard. */
  slip(): void;
  /** The hand is on a photo that its person knows. */
  steady(): void;
  /** Whether nothing may be decided or selected just now, which is said. */
  refuses(): boolean;
}

/**
 * Only a second lifts it, and no other key: "j s" may have been begun before, and would then decide the photo after the one
 * that was meant. Moving goes on, since that changes nothing.
 *
 * @param later calls back after `ms`, unless what it returns is called before.
 */
export function createGuard(later: (ms: number, wake: () => void) => () => void): Guard {
  const slipped = signal(false);
  let cancel = (): void => {};
  function steady(): void {
    cancel();
    slipped.value = false;
  }
  return {
    slipped,
    steady,
    slip() {
      cancel();
      slipped.value = true;
      cancel = later(LOOK_MS, steady);
    },
    refuses() {
      if (slipped.peek()) announce(LOOK);
      return slipped.peek();
    },
  };
}

export const LOOK = "A photo just came into hand: look at it first";

/** As long as a hand may take to stop what it had begun. */
const LOOK_MS = 1_000;
