import { useState } from "preact/hooks";
import { post } from "../api.ts";
import { may } from "../session.ts";
import type { Backfill, Operating } from "../types.ts";
import { count, number, when, who } from "../words.ts";
import { type Act, useAct } from "./act.ts";
import { ActButton } from "./act-button.tsx";
import { duration, perSecond } from "./figures.ts";
import { Said } from "./said.tsx";
import { Why } from "./why.tsx";
import "../style/runs.css";

/** What is judged again beside uploads: how far it is, and what to do with it. */
export function Backfills({ now }: { now: Operating }) {
  const act = useAct();
  return (
    <section class="panel">
      <h2>Backfills</h2>
      {now.backfills.length === 0 && (
        <p class="soft small">
          None has been started: <code>maitred backfill start</code> does.
        </p>
      )}
      <ul class="runs">
        {now.backfills.map((run) => (
          <Run key={run.id} run={run} act={act} />
        ))}
      </ul>
      <Said act={act} />
    </section>
  );
}

function Run({ run, act }: { run: Backfill; act: Act }) {
  const { id, state, what, model, judged, waiting, skipped, unreadable, readAll, part, photosPerS } = run;
  const failed = run.failures.reduce((sum, { photos }) => sum + photos, 0);
  const known = judged + waiting;
  const over = state === "done" || state === "cancelled";
  const final = readAll || over;
  const share = part === null ? undefined : known > 0 ? (part * judged) / known : part;
  return (
    <li class="run">
      <div class="run-head">
        <h3 title={what}>
          <span class="soft">{id}</span> {what}
        </h3>
        <span class={`verdict ${run.held ? "" : STATE_CLASS[state]}`}>
          {run.held ? "waits" : (run.outcome ?? state)}
        </span>
      </div>
      {state !== "cancelled" && (
        <progress
          // one that has shown a share does not forget it
          key={String(share === undefined)}
          aria-label={`Judged of backfill ${id}`}
          {...(share !== undefined && { value: share })}
        />
      )}
      <p class="small number">
        {number(judged - failed)} of {final ? "" : "at least "}
        {count(known, "photo")} judged
        {failed > 0 && <b class="bad">, {number(failed)} failed</b>}
        {skipped > 0 && `, ${number(skipped)} skipped`}
        {unreadable > 0 && `, ${count(unreadable, "line")} unreadable`}
        {`, ${count(run.changed, "other verdict")}`}
        {run.propose && (run.outcome === null || run.outcome === "discarded") && " proposed"}
      </p>
      {!over && (
        <p class="small number">
          {part !== null && !readAll && `${Math.floor(part * 100)} % read, `}
          {perSecond(photosPerS)}
          {run.leftS !== null && `, ${duration(run.leftS)} left`}
          {run.held && `, ${run.held}`}
        </p>
      )}
      <p class="small soft">
        {model && `${who(model)} · `}started {when(run.startedAt)} by {run.startedBy}
        {run.propose && ", as proposals"}
        {run.maxRate !== null && `, at most ${perSecond(run.maxRate)}`}
        {run.hours && `, from ${run.hours.replace("-", " to ")} h`}
        {run.why && run.state !== "done" && ` · ${run.changedBy}: ${run.why}`}
      </p>
      {may("operator") && <Controls run={run} failed={failed} act={act} />}
    </li>
  );
}

function Controls({ run: { id, state }, failed, act }: { run: Backfill; failed: number; act: Act }) {
  const [asking, setAsking] = useState<"paused" | "cancelled">();
  const change = (to: string, why?: string): void =>
    void act.run(async () => {
      await post(`operate/backfills/${id}/state`, { state: to, ...(why && { why }) });
      return `Backfill ${id} is ${to}.`;
    });
  const retry = (): void =>
    void act.run(async () => {
      const { photos } = await post<{ photos: number }>(`operate/backfills/${id}/retry`, {});
      return `${count(photos, "photo")} of backfill ${id} ${photos === 1 ? "is" : "are"} judged again.`;
    });
  const over = state === "done" || state === "cancelled";
  if (over && (failed === 0 || state === "cancelled")) return null;
  return (
    <div class="acts">
      {state === "running" && (
        <ActButton act={act} of={`backfill ${id}`} onClick={() => setAsking("paused")}>
          Pause…
        </ActButton>
      )}
      {state === "paused" && (
        <ActButton act={act} of={`backfill ${id}`} onClick={() => change("running")}>
          Resume
        </ActButton>
      )}
      {failed > 0 && (
        <ActButton act={act} of={`of backfill ${id}`} onClick={retry}>
          Retry failed
        </ActButton>
      )}
      {!over && (
        <ActButton act={act} of={`backfill ${id}`} danger onClick={() => setAsking("cancelled")}>
          Cancel…
        </ActButton>
      )}
      {asking && (
        <Why
          title={asking === "paused" ? `Pause backfill ${id}` : `Cancel backfill ${id}`}
          words={
            asking === "paused"
              ? "What waits in the queue is judged still; nothing more is put there until it is resumed."
              : "What was judged stays as it is. It cannot be resumed, only started anew."
          }
          act={asking === "paused" ? "Pause" : "Cancel it"}
          onClose={() => setAsking(undefined)}
          onSaid={(why) => {
            setAsking(undefined);
            change(asking, why);
          }}
        />
      )}
    </div>
  );
}

const STATE_CLASS: Record<Backfill["state"], string> = {
  running: "shown",
  paused: "review",
  cancelled: "",
  done: "",
};
