import type { Photo, WholePhoto } from "../types.ts";
import { count, number, reasonOf, STATE_WORDS, score, when, who } from "../words.ts";

/** Verdicts and appeals in the order they came, the last first. */
export function History({ photo }: { photo: WholePhoto }) {
  const verdicts = photo.history.map((each, index) => ({
    at: each.at,
    row: <Verdict key={`verdict ${index}`} verdict={each} />,
  }));
  const appeals = photo.appeals.map((each, index) => ({
    at: each.at,
    row: <Appeal key={`appeal ${index}`} appeal={each} />,
  }));
  const shadows = photo.shadows.map((each) => ({
    at: each.at,
    row: <Shadow key={`shadow ${each.model}`} shadow={each} />,
  }));
  const reruns = photo.reruns.map((each, index) => ({
    at: each.at,
    row: <Rerun key={`rerun ${index}`} rerun={each} />,
  }));
  const passes = photo.passes.map((each, index) => ({
    at: each.at,
    row: <Pass key={`pass ${index}`} pass={each} />,
  }));
  const withdrawn = photo.withdrawnAt
    ? [{ at: photo.withdrawnAt, row: <Withdrawn key="withdrawn" at={photo.withdrawnAt} /> }]
    : [];
  const registered = { at: photo.registeredAt, row: <Registered key="registered" photo={photo} /> };
  const rows = [registered, ...verdicts, ...reruns, ...passes, ...shadows, ...appeals, ...withdrawn]
    // of those of one moment the later one is above too
    .reverse()
    .sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  return (
    <section aria-labelledby="history">
      <h2 id="history">History</h2>
      <ol class="history">{rows.map(({ row }) => row)}</ol>
      {photo.verdicts > photo.history.length && (
        <p class="small soft">
          Of {count(photo.verdicts, "verdict")} these are the newest {number(photo.history.length)}.
        </p>
      )}
    </section>
  );
}

function Verdict({ verdict: past }: { verdict: WholePhoto["history"][number] }) {
  // it is given anew in the name of whoever gave it before
  const undone = past.rule === "undo" ? /^taken back by (.+?): (.*)$/s.exec(past.reason) : null;
  const { said, more } = undone
    ? { said: "As it was before", more: undone[2] }
    : reasonOf({ ...past, saw: past.saw?.human ?? null });
  // whatever failed did so before a model had judged
  const judged = undone || past.verdict !== "failed";
  // who decided is said above
  const words = [past.rule === "moderator" ? "" : (past.failure ?? said), more].filter(Boolean).join(". ");
  return (
    <li>
      <time class="soft small" dateTime={past.at}>
        {when(past.at)}
      </time>
      <div>
        <p>
          <span class={`verdict ${past.verdict}`}>{STATE_WORDS[past.verdict as Photo["state"]]}</span>{" "}
          {past.category} {undone ? "again: taken back by " : judged && "by "}
          {judged && <b>{undone ? undone[1] : who(past.by)}</b>}
          {past.tries !== null && ` after ${count(past.tries, "try", "tries")}`}
          {past.saw?.audit && <span class="soft"> (audit)</span>}
        </p>
        {words && <p class="small soft">{words}</p>}
        {past.scores && (
          <p class="small soft number">
            {scoresOf(past)}
            {past.policy && `; policy ${past.policy}`}
          </p>
        )}
      </div>
    </li>
  );
}

function Rerun({ rerun }: { rerun: WholePhoto["reruns"][number] }) {
  return (
    <li>
      <time class="soft small" dateTime={rerun.at}>
        {when(rerun.at)}
      </time>
      <div>
        <p>
          <span class="verdict">again</span> <b>{rerun.by}</b> had it judged again
        </p>
        <p class="small soft">A verdict that stays the same is not written down anew.</p>
      </div>
    </li>
  );
}

function Pass({ pass }: { pass: WholePhoto["passes"][number] }) {
  return (
    <li>
      <time class="soft small" dateTime={pass.at}>
        {when(pass.at)}
      </time>
      <div>
        <p>
          <span class="verdict review">not sure</span> <b>{pass.by}</b> left it to another moderator
        </p>
      </div>
    </li>
  );
}

function Shadow({ shadow }: { shadow: WholePhoto["shadows"][number] }) {
  return (
    <li>
      <time class="soft small" dateTime={shadow.at}>
        {when(shadow.at)}
      </time>
      <div>
        <p>
          <span class="verdict">shadow</span> <b>{shadow.model}</b> would have said {shadow.verdict}
        </p>
        <p class="small soft number">{scoresOf(shadow)}</p>
      </div>
    </li>
  );
}

function Withdrawn({ at }: { at: string }) {
  return (
    <li>
      <time class="soft small" dateTime={at}>
        {when(at)}
      </time>
      <div>
        <p>
          <span class="verdict">withdrawn</span> its object was replaced or removed
        </p>
      </div>
    </li>
  );
}

/** As the model gave them, the likeliest category first. */
function scoresOf({
  human,
  scores,
}: {
  human: number | null;
  scores: Record<string, number> | null;
}): string {
  const categories = Object.entries(scores ?? {}).sort(([, a], [, b]) => b - a);
  return [["human", human] as const, ...categories]
    .map(([name, value]) => `${name} ${score(value)}`)
    .join(", ");
}

function Appeal({ appeal }: { appeal: WholePhoto["appeals"][number] }) {
  return (
    <li>
      <time class="soft small" dateTime={appeal.at}>
        {when(appeal.at)}
      </time>
      <div>
        <p>
          <span class="verdict review">appeal</span> by <b>{appeal.by}</b>
          {appeal.answeredAt ? `, answered ${when(appeal.answeredAt)}` : ", open"}
        </p>
        <p class="small soft">{appeal.reason}</p>
      </div>
    </li>
  );
}

function Registered({ photo }: { photo: WholePhoto }) {
  return (
    <li>
      <time class="soft small" dateTime={photo.registeredAt}>
        {when(photo.registeredAt)}
      </time>
      <div>
        <p>
          <span class="verdict">known</span> first heard of
        </p>
      </div>
    </li>
  );
}
