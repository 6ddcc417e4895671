import type { Agreement } from "../types.ts";
import { Table } from "../ui/table.tsx";
import { count, number, who } from "../words.ts";
import { written } from "./plot.ts";

type Model = Agreement["models"][number];
type Proportion = Model["kept"];

/** How often moderators agree with each model, as the audit sample says. */
export function AgreementOf({ answer }: { answer: Agreement }) {
  return (
    <section class="panel">
      <h2>Moderators and the model</h2>
      <p class="small soft">
        From photos that the model had shown or hidden and that were drawn at random for review. Each share
        stands with the interval that holds the true one in 95 of 100 such samples. A category that a
        moderator left as it was counts as right.
      </p>
      {answer.models.length === 0 && (
        <p class="chart-empty soft">
          No photo of the audit sample was reviewed in these days. Moderators get some of them with every
          claim.
        </p>
      )}
      {answer.models.map((model) => (
        <div key={model.model} class="agreement">
          <h3>
            {who(model.model)} <span class="soft small">{count(model.audited, "photo")} audited</span>
          </h3>
          <Table
            label={`Agreement with ${who(model.model)}`}
            head={["what", "#share", "95 %", "#photos"]}
            stacked
          >
            <Share name="verdict stayed as it was" of={model.kept} />
            <Share name="of what it hid, shows a human (precision)" of={model.human.precision} />
            <Share name="of humans, it hid (recall)" of={model.human.recall} />
            <Share name="of what it showed, shows a human" of={model.human.missed} />
            {model.categories.flatMap(({ category, precision, recall }) => [
              <Share key={`${category} p`} name={`${category}, precision`} of={precision} />,
              <Share key={`${category} r`} name={`${category}, recall`} of={recall} />,
            ])}
          </Table>
        </div>
      ))}
    </section>
  );
}

function Share({ name, of: { value, low, high, hits, of } }: { name: string; of: Proportion }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td class="figure">
        <b>{value === null ? "–" : written(value, "share")}</b>
      </td>
      <td>
        <span class="interval">
          <span class="interval-bar" aria-hidden="true">
            <i style={{ left: `${low * 100}%`, width: `${Math.max(0.5, (high - low) * 100)}%` }} />
            {value !== null && <b style={{ left: `${value * 100}%` }} />}
          </span>
          <span>
            {written(low, "share")} to {written(high, "share")}
          </span>
        </span>
      </td>
      <td class="figure">
        {number(hits)} of {number(of)}
      </td>
    </tr>
  );
}
