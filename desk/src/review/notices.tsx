import { problem } from "../session.ts";
import { Icon } from "../ui/icon.tsx";
import { count, nameOf, who } from "../words.ts";
import { useWork } from "../work.ts";
import type { Failed } from "./outbox.ts";

/** What a moderator must know: decisions that do not count, and a browser or a server that does not do its part. */
export function Notices() {
  const { outbox, claims, store } = useWork();
  const failed = outbox.failed.value;
  const waiting = outbox.waiting.value.length;
  return (
    <div class="notices">
      {problem.value && (
        <p class="notice" role="alert">
          <Icon name="warn" /> <span>You stay signed in as before: {problem.value}.</span>
          <button
            type="button"
            class="quiet"
            onClick={() => {
              problem.value = "";
            }}
          >
            Understood
          </button>
        </p>
      )}
      {!outbox.durable.value && waiting > 0 && (
        <p class="notice" role="alert">
          <Icon name="warn" /> This browser keeps nothing: leave the page open until all is delivered.
        </p>
      )}
      {outbox.trouble.value && waiting > 0 && (
        <p class="notice" role="status">
          <Icon name="offline" />
          <span>
            <b>{count(waiting, "decision")} on the way.</b> They are kept in this browser, and are sent once
            the server answers: {outbox.trouble.value}.
          </span>
        </p>
      )}
      {claims.problem.value && store.items.value.length > 0 && !outbox.trouble.value && (
        <p class="notice" role="status">
          <Icon name="warn" /> No more photos can be had for now: {claims.problem.value}.
        </p>
      )}
      {failed.length > 0 && (
        <section class="notice conflicts" aria-label="Decisions that did not count">
          <h2>
            <Icon name="warn" /> {count(failed.length, "decision")} did not count
          </h2>
          <ul>
            {failed.map((each) => (
              <Conflict key={each.act.id} failed={each} />
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function Conflict({ failed: { act, answer } }: { failed: Failed }) {
  const { outbox, store } = useWork();
  const photo = act.does === "decide" ? act.decision.photo : act.photo;
  const mayInsist = act.does === "decide" && answer.outcome === "changed";
  return (
    <li>
      <span>
        <a href={`/desk/photos/${photo}`}>{nameOf(act)}</a>:{" "}
        {act.does === "decide"
          ? `you decided ${act.decision.verdict}, but `
          : "it cannot be taken back, because "}
        {wordsOf({ act, answer })}.
      </span>
      <span class="conflict-do">
        {mayInsist && (
          <button
            type="button"
            onClick={() => {
              store.insist(act, answer);
              outbox.dismiss(act.id);
            }}
          >
            Decide it my way
          </button>
        )}
        <button type="button" class="quiet" onClick={() => outbox.dismiss(act.id)}>
          {mayInsist ? "Leave theirs" : "Understood"}
        </button>
      </span>
    </li>
  );
}

function wordsOf({ answer }: Failed): string {
  switch (answer.outcome) {
    case "taken":
      return `${who(answer.by)} holds it`;
    case "changed":
      return `${who(answer.by)} decided it meanwhile: it is ${answer.state ?? "decided"}`;
    case "gone":
      return "it is not there any more";
    case "clash":
      return "its id was used before, which is a bug";
    default:
      return answer.words ?? "the server refused it";
  }
}
