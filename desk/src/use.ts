/** What somebody does who uses the page. */
export const USES = ["keydown", "pointerdown", "pointermove", "wheel"] as const;

let usedAt = Date.now();

/** Notices use until the returned function is called. */
export function watchUse(): () => void {
  const onUse = (): void => {
    usedAt = Date.now();
  };
  for (const use of USES) addEventListener(use, onUse, { passive: true });
  return () => {
    for (const use of USES) removeEventListener(use, onUse);
  };
}

/** Milliseconds since somebody used the page. */
export function unusedMs(): number {
  return Date.now() - usedAt;
}
