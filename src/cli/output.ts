import { columnsOf, pad } from "./columns.ts";
import { printable, type Terminal } from "./terminal.ts";

/** Prints what came of a command: with --json the result in one line, else what a person reads, a line or several. */
export function printResult(
  { print }: Terminal,
  json: boolean,
  result: unknown,
  lines: string | readonly string[],
): void {
  for (const line of json ? [JSON.stringify(result)] : [lines].flat()) print(line);
}

/** Lines of columns, each as wide as its widest cell as it is printed; the last is not padded. */
export function table(cells: readonly (readonly string[])[]): string[] {
  const rows = cells.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of rows)
    for (const [column, cell] of row.entries())
      widths[column] = Math.max(widths[column] ?? 0, columnsOf(cell));
  return rows.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}
