import type { Operating } from "../types.ts";
import { Table } from "../ui/table.tsx";
import { number } from "../words.ts";
import { batchSizes, duration, meanBatch, meanRunMs, ms, rateOf, stageTimes } from "./figures.ts";

export function Workers({ now }: { now: Operating }) {
  return (
    <section class="panel">
      <h2>Workers</h2>
      {now.workers.length === 0 ? (
        <p class="callout warn">
          No worker has been heard from for two minutes: nothing is judged. Start one with{" "}
          <code>maitred worker</code>.
        </p>
      ) : (
        <Table
          label="Workers"
          head={["worker", "on", "model", "#photos/s", "#batch", "#model run", "#heard from"]}
          stacked
        >
          {now.workers.map((each) => (
            <tr key={each.worker}>
              <td>
                {each.worker}
                {each.problem && <p class="bad wrapped">{each.problem}</p>}
              </td>
              <td>
                <span class={`verdict ${each.provider === "cuda" ? "shown" : ""}`}>
                  {each.provider === "cuda" ? "GPU" : each.provider.toUpperCase()}
                </span>
              </td>
              <td>
                {each.model} <span class="soft">{each.variant}</span>
                {each.pinned && <span class="soft"> pinned</span>}
              </td>
              <td class="figure" data-name="photos/s">
                {each.figures ? rateOf(each.figures).toFixed(1) : "–"}
              </td>
              <td class="figure" data-name="batch">
                {each.figures ? (meanBatch(each.figures)?.toFixed(1) ?? "–") : "–"}
              </td>
              <td class="figure" data-name="model run">
                {ms(each.figures ? meanRunMs(each.figures) : undefined)}
              </td>
              <td class="figure" data-name="heard from">
                {duration(Math.max(0, (Date.parse(now.at) - Date.parse(each.seenAt)) / 1_000))} ago
              </td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

/** Where a photo spends its time, of all workers together within the last minute. */
export function Stages({ now }: { now: Operating }) {
  const stages = stageTimes(now.workers);
  const most = Math.max(1, ...stages.map((each) => each.ms));
  return (
    <section class="panel">
      <h2>Time of a photo</h2>
      {stages.length === 0 && <p class="soft small">No photo went through in the last minute.</p>}
      <ul class="bars small number">
        {stages.map((each) => (
          <li key={each.stage}>
            <span>{STAGE_WORDS[each.stage]}</span>
            <Bar share={each.ms / most} />
            <span>{ms(each.ms)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

export function Batches({ now }: { now: Operating }) {
  const sizes = batchSizes(now.workers);
  const most = Math.max(1, ...sizes.map(({ runs }) => runs));
  return (
    <section class="panel">
      <h2>Batches</h2>
      {sizes.length === 0 && <p class="soft small">The model did not run in the last minute.</p>}
      <ul class="bars small number">
        {sizes.map(({ size, runs }) => (
          <li key={size}>
            <span>
              {size} {size === 1 ? "photo" : "photos"}
            </span>
            <Bar share={runs / most} />
            <span>
              {number(runs)} {runs === 1 ? "run" : "runs"}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Bar({ share }: { share: number }) {
  return (
    <span class="bar" aria-hidden="true">
      <i style={{ width: `${share * 100}%` }} />
    </span>
  );
}

const STAGE_WORDS: Record<string, string> = {
  fetch: "fetch",
  decode: "decode",
  batch: "batch and model",
  record: "record",
  total: "all together",
};
