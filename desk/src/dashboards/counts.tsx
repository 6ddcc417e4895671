import { person } from "../session.ts";
import type { Counts } from "../types.ts";
import { Table } from "../ui/table.tsx";
import { number, STATE_WORDS, who } from "../words.ts";
import { Chart } from "./chart.tsx";
import { type Days, timesOf } from "./range.ts";
import { byModel, countsBy, hideRate, inOrder } from "./series.ts";

/** How many photos got which verdict, by time, category and who decided. */
export function CountCharts({ range, answer }: { range: Days; answer: Counts }) {
  const { step, counts } = answer;
  const times = timesOf(range, step);
  const nameOf = (time: number): string =>
    new Date(time)
      .toISOString()
      .slice(0, step === "hour" ? 16 : 10)
      .replace("T", " ");
  const common = { x: times, nameOf, of: `${step}, UTC` };
  const words: Record<string, string> = STATE_WORDS;
  return (
    <>
      <Chart
        {...common}
        title="Verdicts"
        about={`Current photos by the ${step} of their verdict.`}
        series={inOrder(
          countsBy(counts, times, ({ verdict }) => words[verdict] ?? verdict),
          VERDICTS.map((verdict) => words[verdict]!),
        )}
      />
      <Chart
        {...common}
        title="Categories"
        about="The same photos by their most probable category."
        series={inOrder(
          countsBy(counts, times, ({ category }) => category),
          person.value!.settings.categories,
        )}
      />
      <Chart
        {...common}
        title="Hidden for a human"
        about="Of the photos that were judged, the share that the model hid because a human is visible."
        series={[hideRate(counts, times)]}
        as="share"
      />
    </>
  );
}

export function Models({ answer }: { answer: Counts }) {
  const rows = byModel(answer.models);
  if (rows.length === 0) return null;
  return (
    <section class="panel">
      <h2>Who decided</h2>
      <Table
        label="Who decided"
        head={["model or moderator", ...VERDICTS.map((each) => `#${each}`), "#all"]}
        stacked
      >
        {rows.map(({ model, photos }) => (
          <tr key={model}>
            <th scope="row">{model ? who(model) : "nobody"}</th>
            {VERDICTS.map((verdict) => (
              <td key={verdict} class="figure" data-name={verdict}>
                {number(photos[verdict] ?? 0)}
              </td>
            ))}
            <td class="figure" data-name="all">
              {number(Object.values(photos).reduce((sum, each) => sum + each, 0))}
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

/** As columns. */
export const VERDICTS = ["shown", "hidden", "review", "failed"];
