/** A grid of equal cells, of which only those in view are drawn. All lengths are pixels. */
export interface CellRules {
  /** Least width of a cell; columns share what is left. */
  minWidth: number;
  gap: number;
  /** Height of a cell beyond its picture, which is 4:3 of its width. */
  textHeight: number;
}

interface Cells {
  columns: number;
  /** From the top of one row to the top of the next. */
  rowHeight: number;
  /** Of all rows together, without a gap below the last. */
  height: number;
}

/** How `count` cells lie in `width`; there is always one column, however narrow. */
export function layCells(width: number, count: number, { minWidth, gap, textHeight }: CellRules): Cells {
  const columns = Math.max(1, Math.floor((width + gap) / (minWidth + gap)));
  const cellWidth = (width - gap * (columns - 1)) / columns;
  const rowHeight = Math.round(cellWidth * 0.75) + textHeight + gap;
  const rows = Math.ceil(count / columns);
  return { columns, rowHeight, height: Math.max(0, rows * rowHeight - gap) };
}

/** The cells `first` to before `end` that are in view or less than two rows from it. */
export function cellsInView(
  { columns, rowHeight }: Cells,
  count: number,
  { top, height }: { top: number; height: number },
): { first: number; end: number } {
  const firstRow = Math.max(0, Math.floor(top / rowHeight) - 2);
  const endRow = Math.max(0, Math.ceil((top + height) / rowHeight)) + 2;
  return { first: Math.min(firstRow * columns, count), end: Math.min(endRow * columns, count) };
}

/** Whether cell `index` is so far in view, or fills it so far, that no other is meant by whoever looks. */
export function isInView(
  { columns, rowHeight }: Cells,
  index: number,
  { top, height }: { top: number; height: number },
): boolean {
  const start = Math.floor(index / columns) * rowHeight;
  const seen = Math.min(start + rowHeight, top + height) - Math.max(start, top);
  return seen >= 0.75 * Math.min(rowHeight, height);
}

/**
 * Where to scroll so that cell `index` is wholly in view, with a gap above, which is the padding of what scrolls, and one below,
 * or its upper part where there is no room for all of it; `top` where it is already.
 */
export function scrollToCell(
  { columns, rowHeight }: Cells,
  index: number,
  { top, height }: { top: number; height: number },
  gap: number,
): number {
  const start = Math.floor(index / columns) * rowHeight;
  const end = start + rowHeight + gap;
  if (start < top) return start;
  return end > top + height ? Math.min(start, end - height) : top;
}
