import { problem } from "../session.ts";
import { Icon } from "../ui/icon.tsx";
import { leftOut } from "../ui/left-out.ts";
import { once } from "../ui/once.ts";
import { count, nameOf, stateWords } from "../words.ts";
import { useWork } from "../work.ts";
import { Insist, isMine, wordsOf } from "./conflict.tsx";
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
            <b>{count(waiting, "decision")} on the way.</b>{" "}
            {waiting === 1 ? "It is kept in this browser, and is" : "They are kept in this browser, and are"}{" "}
            sent once the server answers: {outbox.trouble.value}.
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
          <header>
            <h2>
              <Icon name="warn" /> {/* in its place, so that no button moves away under whoever clicks */}
              {leftOut.value || `${count(failed.length, "decision")} did not count`}
            </h2>
            {failed.length > 1 && (
              <button
                type="button"
                class="quiet"
                onClick={() => {
                  for (const { act } of failed) outbox.dismiss(act.id);
                }}
              >
                All understood
              </button>
            )}
          </header>
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
  const { outbox } = useWork();
  const photo = act.does === "decide" ? act.decision.photo : act.photo;
  const mayInsist = act.does === "decide" && answer.outcome === "changed";
  return (
    <li>
      <span>
        <a href={`/desk/photos/${photo}`}>{nameOf(act)}</a>:{" "}
        {act.does === "decide"
          ? `you ${act.decision.verdict === "unsure" ? "were" : "decided"} ${stateWords(act.decision.verdict)}, but `
          : "it cannot be taken back, because "}
        {wordsOf({ act, answer })}.
      </span>
      <span class="conflict-do">
        {mayInsist && <Insist failed={{ act, answer }} />}
        <button type="button" class="quiet" onClick={once(() => outbox.dismiss(act.id))}>
          {!mayInsist ? "Understood" : isMine(answer) ? "Leave it" : "Leave theirs"}
        </button>
      </span>
    </li>
  );
}
