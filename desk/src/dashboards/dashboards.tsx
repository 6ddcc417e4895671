import type { ComponentChildren } from "preact";
import { useLocation } from "preact-iso";
import type { Agreement, Counts, Drift } from "../types.ts";
import { useFields } from "../ui/fields.ts";
import { useTitle } from "../ui/title.ts";
import { type Asked, useAsked } from "../ui/use-asked.ts";
import { AgreementOf } from "./agreement.tsx";
import { CountCharts, Models } from "./counts.tsx";
import { DriftOf } from "./drift.tsx";
import { ListingCounts } from "./listings.tsx";
import { addressOf, type Days, PRESETS, rangeOf } from "./range.ts";
import "../style/watch.css";
import "../style/charts.css";

/** What became of photos, and how good the model is at it. The address says which days, so that it can be sent to somebody. */
export default function DashboardsPage() {
  const { query } = useLocation();
  useTitle("Dashboards");
  const { from, to } = rangeOf(query, new Date().toISOString().slice(0, 10));
  const days = { from, to };
  const counts = useAsked<Counts>("dashboards/counts", days);
  const agreement = useAsked<Agreement>("dashboards/agreement", days);
  const drift = useAsked<Drift>("dashboards/drift", { ...days, model: query["model"] });
  return (
    <div class="watch-page">
      <header class="watch-head">
        <h1>Dashboards</h1>
        <RangeForm />
      </header>
      <div class="halves charts">
        <Answered title="Verdicts and categories" asked={counts}>
          {(answer, of) => (
            <>
              <CountCharts range={of} answer={answer} />
              <Models answer={answer} />
            </>
          )}
        </Answered>
      </div>
      <Answered title="Moderators and the model" asked={agreement}>
        {(answer) => <AgreementOf answer={answer} />}
      </Answered>
      <div class="halves charts">
        <Answered title="Drift of scores" asked={drift}>
          {(answer, of) => <DriftOf range={of} answer={answer} />}
        </Answered>
        <ListingCounts />
      </div>
    </div>
  );
}

/** What was answered, with the days that it is of: while others are asked for, they are not those of the address. */
function Answered<T>({
  title,
  asked: { answer, of, problem, again },
  children,
}: {
  title: string;
  asked: Asked<T>;
  children(answer: T, of: Days): ComponentChildren;
}) {
  if (answer && !problem) return <>{children(answer, { from: String(of["from"]), to: String(of["to"]) })}</>;
  return (
    <section class="panel">
      <h2>{title}</h2>
      {problem ? (
        <div class="acts" role="alert">
          <p class="problem">{problem}</p>
          <button type="button" onClick={again}>
            Try again
          </button>
        </div>
      ) : (
        <p class="soft">One moment…</p>
      )}
    </section>
  );
}

function RangeForm() {
  const { query, route } = useLocation();
  const { from, to, days } = rangeOf(query, new Date().toISOString().slice(0, 10));
  const form = useFields({ from, to });
  return (
    <form
      ref={form}
      class="range"
      onSubmit={(event) => {
        event.preventDefault();
        const said = new FormData(event.currentTarget);
        const [first, last] = [String(said.get("from")), String(said.get("to"))].sort();
        route(addressOf(query, { from: first!, to: last!, days: "" }));
      }}
    >
      <ul>
        {PRESETS.map((each) => (
          <li key={each}>
            <a
              class="button small"
              href={addressOf(query, { days: String(each), from: "", to: "" })}
              aria-current={days === each ? "true" : undefined}
            >
              {each === 1 ? "Today" : `${each} days`}
            </a>
          </li>
        ))}
      </ul>
      <div class="range-days">
        <input type="date" name="from" aria-label="First day, UTC" required />
        <span aria-hidden="true">–</span>
        <input type="date" name="to" aria-label="Last day, UTC" required />
        <span class="small soft" aria-hidden="true">
          UTC
        </span>
        <button type="submit" class="small">
          Show
        </button>
      </div>
    </form>
  );
}
