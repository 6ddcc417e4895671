import type { Operating } from "../types.ts";
import { Table } from "../ui/table.tsx";
import { number, when } from "../words.ts";
import { duration } from "./figures.ts";

/** What events had missed, as sweeps of buckets found it. */
export function Sweeps({ now }: { now: Operating }) {
  return (
    <section class="panel">
      <h2>Sweeps</h2>
      {now.sweeps.length === 0 ? (
        <p class="soft small">
          No bucket was swept: <code>maitred sweep --every 6h BUCKET</code> finds what events had missed.
        </p>
      ) : (
        <Table
          label="Sweeps"
          head={["bucket", "last", "#listed", "#took", "#missed", "#missed ever", "#gone ever"]}
          stacked
        >
          {now.sweeps.map(({ bucket, missed, gone, last }) => (
            <tr key={bucket}>
              <td>
                {bucket}
                {last?.prefix && <span class="soft">/{last.prefix}</span>}
              </td>
              <td>{last ? when(last.finishedAt) : "not finished"}</td>
              <td class="figure" data-name="listed">
                {last ? number(last.listed) : "–"}
              </td>
              <td class="figure" data-name="took">
                {last ? duration(last.seconds) : "–"}
              </td>
              <td class={last?.missed ? "figure bad" : "figure"} data-name="missed">
                {last ? number(last.missed) : "–"}
              </td>
              <td class="figure" data-name="missed ever">
                {number(missed)}
              </td>
              <td class="figure" data-name="gone ever">
                {number(gone)}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}
