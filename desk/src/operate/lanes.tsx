import { useRef, useState } from "preact/hooks";
import { post } from "../api.ts";
import { may } from "../session.ts";
import type { Lane, Operating } from "../types.ts";
import { Entry } from "../ui/facts.tsx";
import { Icon } from "../ui/icon.tsx";
import { number, when } from "../words.ts";
import { useAct } from "./act.ts";
import { ActButton } from "./act-button.tsx";
import { duration, failedOf, throughput } from "./figures.ts";
import { Said } from "./said.tsx";
import { Why } from "./why.tsx";

/** Both lanes: what waits, for how long, and how fast it goes away. */
export function Lanes({ now }: { now: Operating }) {
  const rates = throughput(now.workers);
  const past = usePast(now);
  if (!now.lanes) {
    return (
      <p class="callout warn" role="alert">
        <Icon name="warn" /> The queue's server does not answer. Workers wait for it; what is uploaded
        meanwhile is kept in Postgres.
      </p>
    );
  }
  return (
    <div class="lanes">
      {now.lanes.map(({ lane, waiting, oldestS, active, delayed, paused, pausedBy }) => (
        <section class="tile" key={lane}>
          <header>
            <h2>{LANE_WORDS[lane]}</h2>
            {paused && <span class="verdict review">paused</span>}
          </header>
          <p class="large number">
            {number(waiting)} <span class="soft small">waiting</span>
          </p>
          <Sparkline values={past[lane]} />
          <dl class="pairs small number">
            <Entry name="oldest" value={waiting > 0 ? duration(oldestS) : "–"} />
            <Entry name="judged" value={`${rates[lane].toFixed(1)}/s`} />
            <Entry name="in hand" value={number(active)} />
            <Entry name="tried again later" value={number(delayed)} />
          </dl>
          {pausedBy && (
            <p class="small soft">
              {pausedBy.who}, {when(pausedBy.at)}: {pausedBy.why}
            </p>
          )}
          {may("operator") && <Controls lane={lane} paused={paused} />}
        </section>
      ))}
      <section class="tile">
        <header>
          <h2>All workers</h2>
        </header>
        <p class="large number">
          {(rates.live + rates.backfill).toFixed(1)} <span class="soft small">photos/s</span>
        </p>
        <Sparkline values={past.rate} />
        <dl class="pairs small number">
          <Entry name="failed" value={failedOf(rates)} />
          <Entry name="tries again" value={number(rates.retried)} />
          <Entry name="in no queue" value={number(now.unqueued.photos)} />
          <Entry
            name="oldest of these"
            value={now.unqueued.photos > 0 ? duration(now.unqueued.oldestS) : "–"}
          />
        </dl>
      </section>
    </div>
  );
}

function Controls({ lane, paused }: Pick<Lane, "lane" | "paused">) {
  const act = useAct();
  const [asking, setAsking] = useState(false);
  const change = (state: "running" | "paused", why?: string): void =>
    void act.run(async () => {
      await post(`operate/lanes/${lane}/state`, { state, ...(why && { why }) });
      return `The lane ${lane} is ${state}.`;
    });
  return (
    <div class="acts">
      {paused ? (
        <ActButton act={act} of={`the lane ${lane}`} onClick={() => change("running")}>
          Resume
        </ActButton>
      ) : (
        <ActButton act={act} of={`the lane ${lane}`} onClick={() => setAsking(true)}>
          Pause…
        </ActButton>
      )}
      <Said act={act} />
      {asking && (
        <Why
          title={`Pause the lane ${lane}`}
          words="What workers have in hand is judged still. What waits, and what comes, waits until it is resumed; the other lane goes on."
          act="Pause"
          onClose={() => setAsking(false)}
          onSaid={(why) => {
            setAsking(false);
            change("paused", why);
          }}
        />
      )}
    </div>
  );
}

/** What was seen since the page was opened, at most five minutes of it. */
function usePast({ at, lanes, workers }: Operating) {
  const past = useRef({ at: "", live: [] as number[], backfill: [] as number[], rate: [] as number[] });
  if (past.current.at !== at) {
    const { live, backfill, rate } = past.current;
    const waiting = (name: string): number => lanes?.find(({ lane }) => lane === name)?.waiting ?? 0;
    const now = throughput(workers);
    past.current = {
      at,
      live: [...live, waiting("live")].slice(-SEEN),
      backfill: [...backfill, waiting("backfill")].slice(-SEEN),
      rate: [...rate, now.live + now.backfill].slice(-SEEN),
    };
  }
  return past.current;
}

/** How a number went of late; the number itself stands beside it. */
function Sparkline({ values }: { values: readonly number[] }) {
  const most = Math.max(1, ...values);
  const points = values.map((value, index) => {
    const x = values.length > 1 ? (index / (values.length - 1)) * 200 : 200;
    return `${x.toFixed(1)},${(35 - (value / most) * 32).toFixed(1)}`;
  });
  return (
    <svg class="sparkline" viewBox="0 0 200 36" preserveAspectRatio="none" aria-hidden="true">
      <path d="M0 35.5H200" />
      {/* a single value is a dot */}
      <polyline points={(points.length > 1 ? points : [...points, ...points]).join(" ")} />
    </svg>
  );
}

const LANE_WORDS = { live: "Uploads", backfill: "Backfill" };
const SEEN = 150;
