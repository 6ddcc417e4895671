import { person } from "../session.ts";
import { Icon } from "../ui/icon.tsx";
import { KeyButton } from "../ui/key-button.tsx";
import { leftOut } from "../ui/left-out.ts";
import { count, nameOf, stateWords } from "../words.ts";
import { useWork } from "../work.ts";
import { Insist, wordsOf as whyNot } from "./conflict.tsx";
import { asDecided, type Item, isOverruled } from "./list.ts";
import { counts, decideAct, type Failed } from "./outbox.ts";

interface ActionsProps {
  item: Item;
  /** Whether the photo is seen in the full window. */
  full: boolean;
  /** Has it seen so, or beside the grid again. */
  onFull(): void;
}

/** What may be done with the photo in hand, or with those selected. */
export function Actions({ item, full, onFull }: ActionsProps) {
  const { store } = useWork();
  const many = store.selected.value.size;
  return (
    <div class="actions">
      <div class="actions-of small">
        <p class="soft">
          {leftOut.value ? (
            <b>{leftOut}</b>
          ) : store.slipped.value ? (
            <b>Just came into hand: look first</b>
          ) : many > 0 ? (
            <b>{count(many, "photo")} selected</b>
          ) : item.decision || !full ? (
            <a href={`/desk/photos/${item.photo.id}`}>{wordsOf(item)}</a>
          ) : null}
        </p>
        {many > 0 && (
          <button
            type="button"
            class="quiet small"
            aria-keyshortcuts={full ? undefined : "Escape"}
            onClick={() => store.select([])}
          >
            Clear
          </button>
        )}
        <KeyButton class="quiet small" keys="z" aria-pressed={full} onClick={onFull}>
          <Icon name="grow" /> Enlarge
        </KeyButton>
        <Undo />
      </div>
      {many === 0 && isOverruled(item) ? <Overruled item={item} /> : <Decide item={item} many={many} />}
    </div>
  );
}

function Decide({ item, many }: { item: Item; many: number }) {
  const { eyes, store } = useWork();
  const { categories } = person.value!.settings;
  const waits = many === 0 && eyes.unseen(asDecided(item), "large") === "not seen";
  return (
    <>
      <fieldset class="categories" aria-label="Category">
        {categories.slice(0, 4).map((name, index) => (
          <KeyButton
            key={name}
            keys={String(index + 1)}
            aria-pressed={item.category === name}
            onClick={() => store.setCategory(name)}
          >
            {name}
          </KeyButton>
        ))}
      </fieldset>
      <div class="decide">
        <KeyButton
          class="decide-show"
          keys="s"
          aria-disabled={waits || undefined}
          onClick={() => store.decide("shown", false)}
        >
          <Icon name="check" /> Show
        </KeyButton>
        <KeyButton class="decide-hide" keys="h" onClick={() => store.decide("hidden", true)}>
          <Icon name="hide" /> Hide: human
        </KeyButton>
        <KeyButton
          class="decide-other"
          keys="Shift+h"
          shown="⇧h"
          onClick={() => store.decide("hidden", null)}
        >
          Hide: other
        </KeyButton>
        <KeyButton keys="n" onClick={() => store.decide("unsure", null)}>
          Not sure
        </KeyButton>
      </div>
    </>
  );
}

/** In the place of what decides: another did meanwhile, or what was looked at is there no more. */
function Overruled({ item: { photo, decision, answer } }: { item: Item }) {
  const failed: Failed = { act: decideAct(decision!, photo.key), answer: answer! };
  return (
    <div class="overruled">
      <p class="small">
        {decision!.verdict === "unsure" ? "You were" : "You decided"} {stateWords(decision!.verdict)}, but{" "}
        <b>{whyNot(failed)}</b>.
      </p>
      {answer!.outcome === "changed" && <Insist failed={failed} />}
    </div>
  );
}

function wordsOf({ photo, decision, answer }: Item): string {
  if (!decision) return nameOf(photo);
  const verdict = { shown: "Shown", hidden: "Hidden", unsure: "Left to another" }[decision.verdict];
  if (answer && !counts(answer)) return `${verdict} by you, which did not count`;
  return answer ? `${verdict} by you` : `${verdict} by you, on its way`;
}

export function Undo() {
  const { store } = useWork();
  return (
    <KeyButton class="quiet small" keys="u" onClick={() => store.undo()}>
      <Icon name="undo" /> Undo
    </KeyButton>
  );
}
