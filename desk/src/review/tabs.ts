import { uuid } from "../uuid.ts";
import type { KeptStrings } from "./outbox.ts";

/** Where one person reviews in several tabs of a browser: they hold the same photos, since claims are a person's. */
export interface Tabs {
  /** This tab is at it, for `lastsMs` from now. */
  stay(): void;
  /** This tab is done. @returns whether another is at it, and wants to keep what is held. */
  leave(): boolean;
}

/** @param lastsMs after which a tab that says nothing is gone. */
export function createTabs(
  storage: KeptStrings,
  owner: string,
  lastsMs: number,
  now: () => number = Date.now,
): Tabs {
  const prefix = `maitred.tab.${encodeURIComponent(owner)}/`;
  const own = `${prefix}${uuid()}`;

  function others(): string[] {
    const names = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
    return names.filter((name) => name.startsWith(prefix) && name !== own);
  }
  function isThere(name: string): boolean {
    return Number(storage.getItem(name)) > now() - lastsMs;
  }

  return {
    stay() {
      for (const name of others()) if (!isThere(name)) storage.removeItem(name);
      try {
        storage.setItem(own, String(now()));
      } catch {
        // no room: another tab then gives back what this one holds, and claims go on
      }
    },
    leave() {
      storage.removeItem(own);
      return others().some(isThere);
    },
  };
}
