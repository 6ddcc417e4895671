import type { ComponentChildren } from "preact";

interface TableProps {
  label: string;
  /** Names of the columns; those that begin with # hold numbers, which stand at the right. */
  head: readonly string[];
  /** On a narrow screen each row becomes a card; cells then say what they are by `data-name`. */
  stacked?: boolean;
  children: ComponentChildren;
}

/** A table that scrolls sideways where there is no room. */
export function Table({ label, head, stacked = false, children }: TableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: without it the keyboard could not scroll it
    <section class="table-scroll" tabIndex={0} aria-label={label}>
      <table class={stacked ? "small number stacked" : "small number"}>
        <thead>
          <tr>
            {head.map((name) => (
              <th key={name} scope="col" class={name.startsWith("#") ? "figure" : ""}>
                {name.replace("#", "") || <span class="unseen">actions</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}
