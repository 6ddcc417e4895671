import { useLocation } from "preact-iso";
import type { Drift } from "../types.ts";
import { Table } from "../ui/table.tsx";
import { number, who } from "../words.ts";
import { Chart } from "./chart.tsx";
import { addressOf, type Days, timesOf } from "./range.ts";

/** Whether the scores of uploads change: a model sees other photos than before, or sees them otherwise. */
export function DriftOf({ range, answer }: { range: Days; answer: Drift }) {
  const { query, route } = useLocation();
  const { model, models, before, scores } = answer;
  const shown = scores.find(({ score }) => score === query["score"]) ?? scores[0];
  if (model === null || !shown) {
    return (
      <section class="panel">
        <h2>Drift of scores</h2>
        <p class="chart-empty soft">No upload was scored in these days.</p>
      </section>
    );
  }
  const times = timesOf(range, "day");
  const share = (photos: readonly number[]): number[] => {
    const all = photos.reduce((sum, each) => sum + each, 0);
    const shares = photos.map((each) => (all > 0 ? each / all : 0));
    // the last step ends at 1
    return [...shares, shares.at(-1)!];
  };
  const pick = (change: Record<string, string>): void => route(addressOf(query, change));
  return (
    <>
      <section class="panel">
        <header class="panel-head">
          <h2>Drift of scores</h2>
          <label class="small">
            Model{" "}
            <select value={model} onChange={(event) => pick({ model: event.currentTarget.value })}>
              {[...new Set([model, ...models])].map((each) => (
                <option key={each} value={each}>
                  {who(each)}
                </option>
              ))}
            </select>
          </label>
          <label class="small">
            Score{" "}
            <select value={shown.score} onChange={(event) => pick({ score: event.currentTarget.value })}>
              {scores.map(({ score }) => (
                <option key={score} value={score}>
                  {score}
                </option>
              ))}
            </select>
          </label>
        </header>
        <p class="small soft">
          Scores of uploads, beside those of {before.from} to {before.to}. The stability index says how far
          the two are apart: by custom below 0.1 is no change, and above 0.25 somebody should look.
        </p>
        <Table
          label="Drift of scores"
          head={["score", "#stability index", "change", "#photos", "#photos before"]}
          stacked
        >
          {scores.map(({ score, psi, now, before: then }) => (
            <tr key={score}>
              <th scope="row">{score}</th>
              <td class="figure" data-name="stability index">
                {psi === null ? "–" : psi.toFixed(3)}
              </td>
              <td>
                <Verdict psi={psi} />
              </td>
              <td class="figure" data-name="photos">
                {number(sum(now))}
              </td>
              <td class="figure" data-name="photos before">
                {number(sum(then))}
              </td>
            </tr>
          ))}
        </Table>
      </section>
      <Chart
        title={`Distribution: ${shown.score}`}
        about="The share of photos in each twentieth of the score, now and before."
        x={Array.from({ length: 21 }, (_, bucket) => bucket / 20)}
        series={[
          { name: "these days", values: share(shown.now) },
          { name: "before", values: share(shown.before) },
        ]}
        plain
        as="share"
        steps
        of="score from"
        nameOf={(from) => from.toFixed(2)}
      />
      <Chart
        title={`Mean by day: ${shown.score}`}
        about="To half a twentieth: what is counted is how many scores lie in each."
        x={times}
        series={[
          {
            name: shown.score,
            values: times.map((time) => shown.days.find(({ day }) => Date.parse(day) === time)?.mean ?? null),
          },
        ]}
        as="score"
        of="day, UTC"
        nameOf={(time) => new Date(time).toISOString().slice(0, 10)}
      />
    </>
  );
}

function Verdict({ psi }: { psi: number | null }) {
  if (psi === null) return <span class="soft">too few photos</span>;
  if (psi < 0.1) return <span class="verdict shown">steady</span>;
  if (psi <= 0.25) return <span class="verdict review">changes</span>;
  return <span class="verdict hidden">look into it</span>;
}

function sum(photos: readonly number[]): number {
  return photos.reduce((total, each) => total + each, 0);
}
