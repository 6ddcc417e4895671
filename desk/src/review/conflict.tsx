import { person } from "../session.ts";
import { once } from "../ui/once.ts";
import { stateWords, who } from "../words.ts";
import { useWork } from "../work.ts";
import type { Failed } from "./outbox.ts";

/** Decides what was decided meanwhile once more, as one wanted it: nothing else does. */
export function Insist({ failed: { act, answer } }: { failed: Failed }) {
  const { outbox, store } = useWork();
  return (
    <button
      type="button"
      onClick={once(() => {
        if (store.insist(act, answer)) outbox.dismiss(act.id);
      })}
    >
      {isPass(act) ? "I am still not sure" : isMine(answer) ? "Decide it again" : "Decide it my way"}
    </button>
  );
}

function isPass(act: Failed["act"]): boolean {
  return act.does === "decide" && act.decision.verdict === "unsure";
}

/** Whether nobody else was in the way: this person did something else in another tab, or on another machine. */
export function isMine({ by }: Failed["answer"]): boolean {
  return who(by) === person.value?.name;
}

/** Why it does not count. */
export function wordsOf({ act, answer }: Failed): string {
  const other = who(answer.by);
  switch (answer.outcome) {
    case "taken":
      return `${other} holds it`;
    case "changed": {
      // what another decides waits for nobody
      if (answer.state === "review" && !isMine(answer))
        return `${other} hid the same bytes meanwhile, as another photo`;
      const now = `it is ${answer.state ? stateWords(answer.state) : "decided"}`;
      if (!isMine(answer)) return `${other} decided it meanwhile: ${now}`;
      return act.does === "decide"
        ? `you took that back meanwhile: ${now}`
        : `you decided it again meanwhile: ${now}`;
    }
    case "withdrawn":
      return "its object was replaced or removed meanwhile, so there is nothing to decide any more";
    case "gone":
      return "it is not there any more";
    case "clash":
      return "its id was used before, which is a bug";
    default:
      return answer.words ?? "the server refused it";
  }
}
