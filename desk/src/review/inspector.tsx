import { useEffect } from "preact/hooks";
import { person } from "../session.ts";
import { Facts } from "../ui/facts.tsx";
import { Icon } from "../ui/icon.tsx";
import { KeyButton } from "../ui/key-button.tsx";
import { leftOut } from "../ui/once.ts";
import { heat, Picture } from "../ui/picture.tsx";
import { Scores } from "../ui/scores.tsx";
import { count, KIND_WORDS, nameOf, reasonOf, when } from "../words.ts";
import { useWork } from "../work.ts";
import { Insist, wordsOf as whyNot } from "./conflict.tsx";
import { asDecided, type Item, isOverruled, nextOpen } from "./list.ts";
import { counts, decideAct, type Failed } from "./outbox.ts";

/** The photo in hand at a size to judge by, and everything that may be done with it, or with those selected. */
export function Inspector() {
  const { store } = useWork();
  const item = store.current.value;
  const items = store.items.value;
  const ahead = items[nextOpen(items, store.at.value)]?.photo.links.medium;
  useEffect(() => {
    if (!ahead) return;
    // there by the time it is looked at, unless somebody just goes by
    const timer = setTimeout(() => {
      new Image().src = ahead;
    }, 200);
    return () => clearTimeout(timer);
  }, [ahead]);
  if (!item) return items.length > 0 ? <Empty /> : null;
  const { photo } = item;
  const many = store.selected.value.size;
  const { said, more } = reasonOf({ ...photo, saw: photo.sawHuman });
  return (
    <aside class="inspector" aria-label={many > 0 ? `${count(many, "photo")} selected` : "The photo in hand"}>
      <div class="inspector-look">
        <Picture
          photo={asDecided(item)}
          size="medium"
          withHeat={heat.value}
          blurred={person.value!.settings.blur}
          onStale={() => store.refresh(photo.id)}
        />
        <h2 class="inspector-name">
          <a href={`/desk/photos/${photo.id}`} title={photo.key}>
            {nameOf(photo)}
          </a>
        </h2>
        <p class="small">
          <b>{said}.</b> <span class="soft">{more}</span>
        </p>
        {photo.appeal && (
          <p class="appeal small">
            <b>Appeal of {photo.appeal.by}:</b> {photo.appeal.reason}
          </p>
        )}
        <Scores human={photo.human} scores={photo.scores} />
        <ItemFacts item={item} />
      </div>
      <Actions item={item} many={many} />
    </aside>
  );
}

/** Everything is decided: what was decided last can still be taken back. */
function Empty() {
  return (
    <aside class="inspector" aria-label="No photo is in hand">
      <p class="inspector-empty soft small">Nothing is left to decide. Select a photo to look at it again.</p>
      <div class="actions">
        <div class="actions-of small">
          <p>{leftOut}</p>
          <Undo />
        </div>
      </div>
    </aside>
  );
}

function Undo() {
  const { store } = useWork();
  return (
    <KeyButton class="quiet small" keys="u" onClick={() => store.undo()}>
      <Icon name="undo" /> Undo
    </KeyButton>
  );
}

function ItemFacts({ item: { photo } }: { item: Item }) {
  const facts: [string, string | null][] = [
    ["asked", photo.kind && photo.kind !== "audit" ? KIND_WORDS[photo.kind] : null],
    ["listing", photo.listing],
    ["uploader", photo.uploader && `${photo.uploader}${photo.claimed ? `, says ${photo.claimed}` : ""}`],
    ["known since", when(photo.registeredAt)],
  ];
  return <Facts facts={facts} />;
}

function Actions({ item, many }: { item: Item; many: number }) {
  const { store } = useWork();
  return (
    <div class="actions">
      <div class="actions-of small">
        <p class="soft">
          {store.slipped.value ? (
            <b>Just came into hand: look first</b>
          ) : leftOut.value ? (
            <b>{leftOut}</b>
          ) : many > 0 ? (
            <b>{count(many, "photo")} selected</b>
          ) : (
            <a href={`/desk/photos/${item.photo.id}`}>{wordsOf(item)}</a>
          )}
        </p>
        {many > 0 && (
          <button
            type="button"
            class="quiet small"
            aria-keyshortcuts="Escape"
            onClick={() => store.select([])}
          >
            Clear
          </button>
        )}
        <Undo />
      </div>
      {many === 0 && isOverruled(item) ? <Overruled item={item} /> : <Decide chosen={item.category} />}
    </div>
  );
}

/** @param chosen the category that the next decision gives. */
function Decide({ chosen }: { chosen: string | null }) {
  const { store } = useWork();
  const { categories } = person.value!.settings;
  return (
    <>
      <fieldset class="categories" aria-label="Category">
        {categories.slice(0, 4).map((name, index) => (
          <KeyButton
            key={name}
            keys={String(index + 1)}
            aria-pressed={chosen === name}
            onClick={() => store.setCategory(name)}
          >
            {name}
          </KeyButton>
        ))}
      </fieldset>
      <div class="decide">
        <KeyButton class="decide-show" keys="s" onClick={() => store.decide("shown", false)}>
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
        You decided {decision!.verdict}, but <b>{whyNot(failed)}</b>.
      </p>
      {answer!.outcome === "changed" && <Insist failed={failed} />}
    </div>
  );
}

function wordsOf({ photo, decision, answer }: Item): string {
  if (!decision) return nameOf(photo);
  const verdict = decision.verdict === "shown" ? "Shown" : "Hidden";
  if (answer && !counts(answer)) return `${verdict} by you, which did not count`;
  return answer ? `${verdict} by you` : `${verdict} by you, on its way`;
}
