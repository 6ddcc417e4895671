import { useEffect } from "preact/hooks";
import { operating, watchOperating } from "../live.ts";
import { may } from "../session.ts";
import { useTitle } from "../ui/title.ts";
import { secondOf } from "../words.ts";
import { Backfills } from "./backfills.tsx";
import { Deliveries } from "./deliveries.tsx";
import { Failures } from "./failures.tsx";
import { Lanes } from "./lanes.tsx";
import { Messages } from "./messages.tsx";
import { Sweeps } from "./sweeps.tsx";
import { Batches, Stages, Workers } from "./workers.tsx";
import "../style/watch.css";
import "../style/charts.css";

/** How everything runs, as it is now, and what is to be done where it does not. */
export default function OperatePage() {
  useEffect(watchOperating, []);
  useTitle("Operate");
  const now = operating.value;
  return (
    <div class="watch-page">
      <header class="watch-head">
        <h1>Operate</h1>
        <p class="small soft number">{now ? `as of ${secondOf(now.at)}` : "One moment…"}</p>
        {may("operator") && (
          <a class="button small" href="/desk/bull/" target="_blank" rel="noreferrer">
            The queue's own view
          </a>
        )}
      </header>
      {now && (
        <>
          <Lanes now={now} />
          <Workers now={now} />
          <div class="halves">
            <Stages now={now} />
            <Batches now={now} />
          </div>
          <Backfills now={now} />
          <div class="halves uneven">
            <Failures now={now} />
            <Sweeps now={now} />
          </div>
          <Deliveries now={now} />
          <Messages now={now} />
        </>
      )}
    </div>
  );
}
