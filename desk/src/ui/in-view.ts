/**
 * Acts once, as soon as so much of the element is painted in view that somebody sees it: half of it, or as much as fills a third of
 * the window. Never in a tab that nobody sees.
 *
 * @returns gives up waiting.
 */
export function onceInView(element: Element, act: () => void): () => void {
  const observer = new IntersectionObserver(
    (entries) => {
      const { intersectionRatio, intersectionRect } = entries.at(-1)!;
      if (intersectionRect.height < LEAST_PX) return;
      if (intersectionRatio < 0.5 && intersectionRect.height < innerHeight / 3) return;
      observer.disconnect();
      act();
    },
    // as large as the whole of it may be, a step is a small part of the window
    { threshold: Array.from({ length: 21 }, (_, step) => step / 20) },
  );
  observer.observe(element);
  return () => observer.disconnect();
}

/** A strip of less shows nothing, though it is all that there is room for. */
const LEAST_PX = 48;
