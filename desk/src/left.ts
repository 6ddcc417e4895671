/**
 * Keeps what a page leaves to the next one of its person in this tab, as after a reload, until the returned function is called:
 * then it is left too. While the page is seen nothing is left, so that a tab that was made from this one begins anew.
 */
export function leaveToNext(owner: string, what: () => unknown): () => void {
  const leave = (): void => inTab((tab) => tab.setItem(nameOf(owner), JSON.stringify(what())));
  const onSeen = (): void => (document.visibilityState === "visible" ? forget(owner) : leave());
  document.addEventListener("visibilitychange", onSeen);
  addEventListener("pagehide", leave);
  return () => {
    document.removeEventListener("visibilitychange", onSeen);
    removeEventListener("pagehide", leave);
    leave();
  };
}

/** What the page before this one left, which no other gets. */
export function takeLeft<T>(owner: string): T | undefined {
  let left: T | undefined;
  inTab((tab) => {
    left = (JSON.parse(tab.getItem(nameOf(owner)) ?? "null") as T | null) ?? undefined;
  });
  forget(owner);
  return left;
}

function forget(owner: string): void {
  inTab((tab) => tab.removeItem(nameOf(owner)));
}

/** Where storage is forbidden or full, nothing is left. */
function inTab(act: (tab: Storage) => void): void {
  try {
    act(sessionStorage);
  } catch {
    // as if the tab were new
  }
}

function nameOf(owner: string): string {
  return `maitred.left.${encodeURIComponent(owner)}`;
}
