import type { Photo, WholePhoto } from "../types.ts";
import { reasonOf, STATE_WORDS, score, when, who } from "../words.ts";

/** Verdicts and appeals in the order they came, the last first. */
export function History({ photo }: { photo: WholePhoto }) {
  const verdicts = photo.history.map((each) => ({
    at: each.at,
    row: <Verdict key={each.at} verdict={each} />,
  }));
  const appeals = photo.appeals.map((each) => ({
    at: each.at,
    row: <Appeal key={`appeal ${each.at}`} appeal={each} />,
  }));
  const registered = { at: photo.registeredAt, row: <Registered key="registered" photo={photo} /> };
  const rows = [registered, ...verdicts, ...appeals].sort((a, b) => Date.parse(b.at) - Date.parse(a.at));
  return (
    <section aria-labelledby="history">
      <h2 id="history">History</h2>
      <ol class="history">{rows.map(({ row }) => row)}</ol>
    </section>
  );
}

function Verdict({ verdict: past }: { verdict: WholePhoto["history"][number] }) {
  // it is given anew in the name of whoever gave it before
  const undone = past.rule === "undo" ? /^taken back by (.+?): (.*)$/s.exec(past.reason) : null;
  const { said, more } = undone
    ? { said: "As it was before", more: undone[2] }
    : reasonOf({ ...past, saw: past.saw?.human ?? null });
  // who decided is said above
  const words = [past.rule === "moderator" ? "" : said, more].filter(Boolean).join(". ");
  const scores = Object.entries(past.scores ?? {}).sort(([, a], [, b]) => b - a);
  return (
    <li>
      <time class="soft small" dateTime={past.at}>
        {when(past.at)}
      </time>
      <div>
        <p>
          <span class={`verdict ${past.verdict}`}>{STATE_WORDS[past.verdict as Photo["state"]]}</span>{" "}
          {past.category} {undone ? "again: taken back by" : "by"} <b>{undone ? undone[1] : who(past.by)}</b>
          {past.saw?.audit && <span class="soft"> (audit)</span>}
        </p>
        {words && <p class="small soft">{words}</p>}
        {scores.length > 0 && (
          <p class="small soft number">
            human {score(past.human)}, {scores.map(([name, value]) => `${name} ${score(value)}`).join(", ")}
            {past.policy && `; policy ${past.policy}`}
          </p>
        )}
      </div>
    </li>
  );
}

function Appeal({ appeal }: { appeal: WholePhoto["appeals"][number] }) {
  return (
    <li>
      <time class="soft small" dateTime={appeal.at}>
        {when(appeal.at)}
      </time>
      <div>
        <p>
          <span class="verdict review">appeal</span> by <b>{who(appeal.by)}</b>
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
