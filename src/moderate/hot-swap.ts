import type { Closable } from "../lifecycle.ts";

/** The one that serves now, and those before it that still serve whom they began with. */
interface HotSwap<T> extends Closable {
  readonly current: T;
  /** Hands `work` the current one, which lives at least until `work` has ended, whoever follows meanwhile. */
  use<R>(work: (current: T) => Promise<R>): Promise<R>;
  /** `next` serves from now on. Answers once the one before has ended its last work and is closed. */
  replace(next: T): Promise<void>;
}

/** Replaces a thing that is in use: nobody is moved from one to the other halfway. */
export function createHotSwap<T extends Closable>(first: T): HotSwap<T> {
  interface Generation {
    value: T;
    users: number;
    /** Told when the last user has left. */
    idle?: () => void;
  }
  let current: Generation = { value: first, users: 0 };
  const ending = new Map<Generation, Promise<void>>();

  function end(old: Generation): Promise<void> {
    const known = ending.get(old);
    if (known) return known;
    const done = (async () => {
      if (old.users > 0) await new Promise<void>((resolve) => (old.idle = resolve));
      await old.value.close();
    })().finally(() => old !== current && ending.delete(old));
    ending.set(old, done);
    return done;
  }

  return {
    get current() {
      return current.value;
    },
    async use(work) {
      const mine = current;
      mine.users++;
      try {
        return await work(mine.value);
      } finally {
        mine.users--;
        if (mine.users === 0) mine.idle?.();
      }
    },
    replace(next) {
      const old = current;
      current = { value: next, users: 0 };
      return end(old);
    },
    async close() {
      await Promise.all([...ending.values(), end(current)]);
    },
  };
}
