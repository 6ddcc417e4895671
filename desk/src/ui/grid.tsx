import type { ComponentChildren } from "preact";
import { useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type CellRules, cellsInView, isInView, layCells, scrollToCell } from "./window.ts";

/** Brings a cell into view, and says whether it was there. */
export type Sight = (() => boolean) | null;

interface GridProps {
  /** What the list is of. */
  label: string;
  count: number;
  rules: CellRules;
  /** Renders one cell as an `<li>` with a key. */
  cell(index: number): ComponentChildren;
  /** The cell that is kept in view, and has the focus where the grid has it. */
  at?: number;
  /** Is given the sight of that cell while the grid is there. */
  sight?: { current: Sight } | null;
  /** How many columns there are now. */
  onColumns?(columns: number): void;
  /** The last cells came into view. */
  onEnd?(): void;
  /** Below the cells. */
  children?: ComponentChildren;
}

/** A list of equal cells in its own scroller, of which those in view are in the page. */
export function Grid({ label, count, rules, cell, at, sight = null, onColumns, onEnd, children }: GridProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  /** Top of the uppermost row that is in view: where it stays the same, nothing is rendered anew. */
  const [top, setTop] = useState(0);
  const cells = useMemo(() => layCells(size.width, count, rules), [size.width, count, rules]);
  const { first, end } = size.width
    ? cellsInView(cells, count, { top, height: size.height + cells.rowHeight })
    : { first: 0, end: 0 };

  function onScroll(): void {
    const { scrollTop } = scroller.current!;
    setTop(scrollTop - (scrollTop % cells.rowHeight));
  }

  function show(): boolean {
    const element = scroller.current!;
    if (at === undefined || !size.width || at >= count) return true;
    const view = { top: element.scrollTop, height: element.clientHeight };
    element.scrollTop = scrollToCell(cells, at, view, rules.gap);
    onScroll();
    return isInView(cells, at, view);
  }

  useLayoutEffect(() => {
    const element = scroller.current!;
    const list = element.firstElementChild as HTMLElement;
    const observer = new ResizeObserver(() =>
      setSize({ width: list.clientWidth, height: element.clientHeight }),
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => onColumns?.(cells.columns), [cells.columns]);
  useEffect(() => {
    if (end >= count && size.width) onEnd?.();
  }, [end, count, size.width]);
  useLayoutEffect(() => void show(), [at, cells]);
  useImperativeHandle(sight, () => show);

  return (
    <div class="scroller" ref={scroller} onScroll={onScroll}>
      <ul
        class="cells"
        aria-label={label}
        style={{
          height: `${cells.height}px`,
          paddingTop: `${(first / cells.columns) * cells.rowHeight}px`,
          gridTemplateColumns: `repeat(${cells.columns}, minmax(0, 1fr))`,
          gridAutoRows: `${cells.rowHeight - rules.gap}px`,
          gap: `${rules.gap}px`,
        }}
      >
        {Array.from({ length: end - first }, (_, index) => cell(first + index))}
      </ul>
      {children}
    </div>
  );
}
