import { post } from "../api.ts";
import { may } from "../session.ts";
import type { DeadDeliveries, Operating } from "../types.ts";
import { Table } from "../ui/table.tsx";
import { useAsked } from "../ui/use-asked.ts";
import { count, number, when } from "../words.ts";
import { useAct } from "./act.ts";
import { ActButton } from "./act-button.tsx";
import { duration } from "./figures.ts";
import { Said } from "./said.tsx";

/** Who is told what became of photos: how far behind, and what was given up. */
export function Deliveries({ now }: { now: Operating }) {
  const act = useAct();
  const dead = now.destinations.reduce((sum, each) => sum + each.dead, 0);
  // asked again whenever there are more or fewer
  const { answer, again } = useAsked<DeadDeliveries>("operate/deliveries", {}, dead);

  const replay = (destination: string, seq?: string): void =>
    void act.run(async () => {
      const which = { destination, ...(seq && { seq }) };
      const { replayed } = await post<{ replayed: number }>("operate/deliveries/replay", which);
      again();
      return `${count(replayed, "delivery", "deliveries")} to ${destination} ${replayed === 1 ? "is" : "are"} tried again.`;
    });
  return (
    <section class="panel">
      <h2>Deliveries</h2>
      {now.destinations.length === 0 ? (
        <p class="soft small">
          Nobody is told: <code>maitred destination add</code> names who is.
        </p>
      ) : (
        <Table
          label="Destinations"
          stacked
          head={[
            ...["destination", "kind", "#to tell", "#oldest", "last answer", "#dead"],
            ...(may("operator") ? [""] : []),
          ]}
        >
          {now.destinations.map(
            ({ destination, to, kind, enabled, pending, oldestS, lastError, dead: given }) => (
              <tr key={destination}>
                <td>
                  {to} <span class="mono soft">{destination}</span>{" "}
                  {!enabled && <span class="verdict review">off</span>}
                </td>
                <td>{kind}</td>
                <td class="figure" data-name="to tell">
                  {figure(pending)}
                </td>
                <td class="figure" data-name="oldest">
                  {pending > 0 ? duration(oldestS) : "–"}
                </td>
                <td class="wrapped" data-name="last answer">
                  {lastError ?? "–"}
                </td>
                <td class={given > 0 ? "figure bad" : "figure"} data-name="dead">
                  {figure(given)}
                </td>
                {may("operator") && (
                  <td class="figure">
                    {given > 0 && (
                      <ActButton act={act} of={`to ${destination}`} onClick={() => replay(destination)}>
                        Send all again
                      </ActButton>
                    )}
                  </td>
                )}
              </tr>
            ),
          )}
        </Table>
      )}
      <Said act={act} />
      {answer && answer.deliveries.length > 0 && (
        <details class="more">
          <summary>{count(answer.deliveries.length, "dead delivery", "dead deliveries")}</summary>
          <Table
            label="Dead deliveries"
            stacked
            head={["photo", "destination", "change", "#tries", "why", "of", ...(may("operator") ? [""] : [])]}
          >
            {answer.deliveries.map((each) => (
              <tr key={`${each.seq} ${each.destination}`}>
                <td>
                  <a href={`/desk/photos/${each.photoId}`}>{each.key}</a>
                </td>
                <td>
                  {now.destinations.find(({ destination }) => destination === each.destination)?.to}{" "}
                  <span class="mono soft">{each.destination}</span>
                </td>
                <td>{each.change}</td>
                <td class="figure" data-name="tries">
                  {each.attempts}
                </td>
                <td class="wrapped">{each.error}</td>
                <td>{when(each.at)}</td>
                {may("operator") && (
                  <td class="figure">
                    <ActButton
                      act={act}
                      of={`change ${each.seq}`}
                      onClick={() => replay(each.destination, each.seq)}
                    >
                      Send again
                    </ActButton>
                  </td>
                )}
              </tr>
            ))}
          </Table>
        </details>
      )}
    </section>
  );
}

/** No more than 10,000 are counted. */
function figure(counted: number): string {
  return counted >= 10_000 ? "10,000+" : number(counted);
}
