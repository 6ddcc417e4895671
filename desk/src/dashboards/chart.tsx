import { useEffect, useRef, useState } from "preact/hooks";
import { theme } from "../theme.ts";
import { Table } from "../ui/table.tsx";
import { type PlotOptions, plot, written } from "./plot.ts";

interface ChartProps extends PlotOptions {
  title: string;
  /** What is counted, and of what. */
  about: string;
  /** x as the table writes it. */
  nameOf(x: number): string;
  /** What x is, as the table's first column. */
  of: string;
}

/** A chart for those who see it, and the same numbers as a table for everybody. */
export function Chart({ title, about, nameOf, of, ...options }: ChartProps) {
  const element = useRef<HTMLDivElement>(null);
  const dark = useDark();
  const [open, setOpen] = useState(false);
  const { x, series, as = "count", steps = false } = options;
  // the last step ends where the last x is, and no other begins there
  const rows = steps ? x.slice(0, -1) : x;
  const empty = series.every(({ values }) => values.every((value) => value === null || value === 0));
  useEffect(() => {
    if (!element.current || empty) return;
    return plot(element.current, options);
  }, [JSON.stringify(options), dark, empty]);
  return (
    <figure class="chart panel">
      <figcaption>
        <h2>{title}</h2>
        <p class="small soft">{about}</p>
      </figcaption>
      {empty ? (
        <p class="chart-empty soft">Nothing in these days.</p>
      ) : (
        <div ref={element} aria-hidden="true" />
      )}
      {!empty && (
        <details class="more" onToggle={(event) => setOpen(event.currentTarget.open)}>
          <summary>
            As a table <span class="unseen">: {title}</span>
          </summary>
          {open && (
            <Table label={title} head={[of, ...series.map(({ name }) => `#${name}`)]}>
              {rows.map((each, index) =>
                series.every(({ values }) => values[index] === null || values[index] === undefined) ? null : (
                  <tr key={each}>
                    <th scope="row">{nameOf(each)}</th>
                    {series.map(({ name, values }) => (
                      <td key={name} class="figure">
                        {typeof values[index] === "number" ? written(values[index], as) : "–"}
                      </td>
                    ))}
                  </tr>
                ),
              )}
            </Table>
          )}
        </details>
      )}
    </figure>
  );
}

/** Whether the page is dark now: what is drawn has to be drawn anew when that changes. */
function useDark(): boolean {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const [dark, setDark] = useState(system.matches);
  useEffect(() => {
    const changed = (): void => setDark(system.matches);
    system.addEventListener("change", changed);
    return () => system.removeEventListener("change", changed);
  }, []);
  return theme.value === "system" ? dark : theme.value === "dark";
}
