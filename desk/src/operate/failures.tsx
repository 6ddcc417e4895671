import { post } from "../api.ts";
import { addressOf } from "../search/query.ts";
import { may } from "../session.ts";
import type { FailuresReplayed, Operating } from "../types.ts";
import { Table } from "../ui/table.tsx";
import { count, number } from "../words.ts";
import { useAct } from "./act.ts";
import { ActButton } from "./act-button.tsx";
import { Said } from "./said.tsx";

/** Photos that could not be judged, by why. */
export function Failures({ now }: { now: Operating }) {
  const act = useAct();

  async function replay(code: string): Promise<string> {
    let queued = 0;
    for (let after: string | null = null; ; ) {
      const done: FailuresReplayed = await post<FailuresReplayed>("operate/failures/replay", {
        code,
        ...(after && { after }),
      });
      queued += done.queued;
      after = done.after;
      if (after === null)
        return `${count(queued, "photo")} that failed with ${code} ${queued === 1 ? "waits" : "wait"} to be judged again.`;
    }
  }
  return (
    <section class="panel">
      <h2>Failures</h2>
      {now.failures.length === 0 ? (
        <p class="soft small">No photo has failed.</p>
      ) : (
        <Table label="Failures" head={["code", "#photos", ...(may("operator") ? [""] : [])]}>
          {now.failures.map(({ code, photos }) => (
            <tr key={code}>
              <td class="mono">
                <a href={addressOf({ rule: code })}>{code}</a>
              </td>
              <td class="figure">{number(photos)}</td>
              {may("operator") && (
                <td class="figure">
                  <ActButton
                    act={act}
                    of={`what failed with ${code}`}
                    onClick={() => void act.run(() => replay(code))}
                  >
                    Judge again
                  </ActButton>
                </td>
              )}
            </tr>
          ))}
        </Table>
      )}
      <Said act={act} />
    </section>
  );
}
