import { useEffect, useState } from "preact/hooks";
import { post, wordsOf } from "../api.ts";
import { may, person } from "../session.ts";
import type { Decision, WholePhoto } from "../types.ts";
import { Dialog } from "../ui/dialog.tsx";
import { Icon } from "../ui/icon.tsx";
import { leaveOut, leftOut } from "../ui/left-out.ts";
import { once } from "../ui/once.ts";
import { uuid } from "../uuid.ts";
import { nameOf } from "../words.ts";
import { useWork } from "../work.ts";

interface PhotoActionsProps {
  photo: WholePhoto;
  /** Something was done, in words: the photo is to be asked for again. */
  onDone(words: string): void;
  onForgotten(): void;
}

/** What this person may do with one photo: decide it anew, have it judged again, or have it erased. */
export function PhotoActions({ photo, onDone, onForgotten }: PhotoActionsProps) {
  const [asking, setAsking] = useState(false);
  const [problem, setProblem] = useState("");

  async function act(path: string, then: () => void): Promise<void> {
    setAsking(false);
    try {
      await post(`photos/${photo.id}/${path}`, {});
      setProblem("");
      then();
    } catch (thrown) {
      setProblem(wordsOf(thrown));
    }
  }

  return (
    <div class="photo-actions">
      {!photo.current && (
        <p class="small soft">
          Its object was replaced or removed since: there is nothing to decide any more.
        </p>
      )}
      {photo.current && may("moderator") && <Override photo={photo} onDone={onDone} />}
      {may("operator") && (
        <div class="decide">
          {photo.current && (
            <button type="button" onClick={() => void act("rerun", () => onDone("It was queued again."))}>
              Judge again
            </button>
          )}
          <button type="button" class="decide-hide" onClick={() => setAsking(true)}>
            Forget…
          </button>
        </div>
      )}
      {problem && (
        <p class="problem small" role="alert">
          {problem}
        </p>
      )}
      {asking && (
        <Dialog title={`Forget ${nameOf(photo)}?`} onClose={() => setAsking(false)}>
          <p>
            Everything that is kept of this object is erased: scores, verdicts, reviews and deliveries, of all
            its versions. The object itself stays in its store. This cannot be undone.
          </p>
          <div class="dialog-do">
            <button type="button" onClick={() => setAsking(false)}>
              Keep it
            </button>
            <button type="button" class="decide-hide" onClick={() => void act("forget", onForgotten)}>
              Forget it
            </button>
          </div>
        </Dialog>
      )}
    </div>
  );
}

function Override({ photo, onDone }: Pick<PhotoActionsProps, "photo" | "onDone">) {
  const { eyes, outbox } = useWork();
  const [category, setCategory] = useState("");
  const [sent, setSent] = useState<Decision>();
  const waits = outbox.waiting.value.some(({ id }) => id === sent?.id);
  useEffect(() => {
    if (!sent || waits) return;
    const failed = outbox.failed.peek().some(({ act }) => act.id === sent.id);
    // why is said above the page
    onDone(failed ? "Your decision did not count." : `The server has your decision: ${sent.verdict}.`);
  }, [sent, waits]);

  function decide(verdict: Decision["verdict"], human: boolean | null): void {
    const why = verdict === "shown" ? eyes.refuses(photo) : "";
    leftOut.value = "";
    if (why) {
      leaveOut(why);
      return;
    }
    const id = uuid();
    const appeal = photo.appeals.find(({ answeredAt }) => answeredAt === null)?.at ?? null;
    const said = { verdict, category: category || null, human, note: null, asOf: photo.asOf, appeal };
    const decision = { id, photo: photo.id, ...said };
    outbox.add({ does: "decide", id, decision, key: photo.key });
    setSent(decision);
  }
  return (
    <fieldset class="override">
      <legend class="small soft">Decide it yourself</legend>
      <label class="small">
        Category{" "}
        <select value={category} onChange={(event) => setCategory(event.currentTarget.value)}>
          <option value="">as it is</option>
          {person.value!.settings.categories.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <div class={photo.state === "failed" ? "decide unsure" : "decide"}>
        <button
          type="button"
          class="decide-show"
          aria-disabled={eyes.unseen(photo, "large") === "not seen" || undefined}
          onClick={once(() => decide("shown", false))}
        >
          <Icon name="check" /> Show
        </button>
        <button type="button" class="decide-hide" onClick={once(() => decide("hidden", true))}>
          <Icon name="hide" /> Hide: human
        </button>
        <button type="button" class="decide-other" onClick={once(() => decide("hidden", null))}>
          Hide: other
        </button>
      </div>
      {leftOut.value && <p class="small">{leftOut}</p>}
    </fieldset>
  );
}
