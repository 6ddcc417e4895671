import type { WholePhoto } from "../types.ts";
import { Table } from "../ui/table.tsx";
import { score, when, who } from "../words.ts";

export function Tags({ tags }: Pick<WholePhoto, "tags">) {
  if (tags.length === 0) return null;
  return (
    <section class="small" aria-labelledby="tags">
      <h2 id="tags">Tags</h2>
      <ul class="number">
        {tags.map(({ category, score: value, threshold, by }) => (
          <li key={category}>
            <b>{category}</b>
            {by.startsWith("moderator:") ? (
              <span class="soft">, by {who(by)}</span>
            ) : (
              <>
                {" "}
                {score(value)}
                <span class="soft">
                  , of {score(threshold)} or more, by {who(by)}
                </span>
              </>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

export function Deliveries({ deliveries }: Pick<WholePhoto, "deliveries">) {
  if (deliveries.length === 0) return null;
  return (
    <section aria-labelledby="deliveries">
      <h2 id="deliveries">Told to others</h2>
      <Table label="Table of deliveries" head={["destination", "what", "state", "#tries", "when"]} stacked>
        {deliveries.map(({ destination, to, kind, state, attempts, error, at, deliveredAt }) => (
          <tr key={`${destination} ${kind} ${at}`}>
            <td>
              {to} <span class="mono soft">{destination}</span>
            </td>
            <td>{kind}</td>
            <td>
              {state}
              {error && <span class="soft"> {error}</span>}
            </td>
            <td class="figure" data-name="tries">
              {attempts}
            </td>
            <td>{when(deliveredAt ?? at)}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
