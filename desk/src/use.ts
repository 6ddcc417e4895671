/** What somebody does who uses the page; a click and an input alone where they speak to it, or a screen reader presses. */
export const USES = ["keydown", "pointerdown", "pointermove", "wheel", "click", "input"] as const;

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
