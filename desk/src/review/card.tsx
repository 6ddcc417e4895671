import { useLayoutEffect, useRef } from "preact/hooks";
import { person } from "../session.ts";
import { narrow } from "../ui/narrow.ts";
import { heat, Picture } from "../ui/picture.tsx";
import { Human } from "../ui/scores.tsx";
import { KIND_WORDS, nameOf, reasonOf, STATE_WORDS, score, stateWords, sureOf, unsureOf } from "../words.ts";
import { useWork } from "../work.ts";
import { asDecided, type Item, isOverruled, stateOf } from "./list.ts";
import { counts } from "./outbox.ts";

interface CardProps {
  item: Item;
  index: number;
  of: number;
  current: boolean;
  selected: boolean;
  /** Has the photo in hand seen in the full window. */
  onFull(): void;
}

/** One photo of the grid. The one in hand has the focus, so that a screen reader says what the keys act on. */
export function Card({ item, index, of, current, selected, onFull }: CardProps) {
  const { store } = useWork();
  const card = useRef<HTMLElement>(null);
  const { photo, decision, answer } = item;
  // at once: an Enter that comes before the next frame would be for the card that had it
  useLayoutEffect(() => {
    const focused = document.activeElement;
    // the focus stays on what someone pressed elsewhere; the body has it where the card that had it is gone
    if (current && (focused === document.body || focused?.id === "main" || focused?.closest(".card"))) {
      card.current?.focus({ preventScroll: true });
    }
  }, [current]);
  const name = nameOf(photo);
  const state = stateOf(item);
  const category = item.category ?? photo.category;
  // whoever knew of an audit would look closer than at others
  const asked = photo.kind && photo.kind !== "audit" ? KIND_WORDS[photo.kind] : undefined;
  const unsure = unsureOf(photo, person.value?.name);
  const { said, more } = reasonOf({ ...photo, saw: photo.sawHuman });
  return (
    <li class="cell" aria-setsize={of} aria-posinset={index + 1}>
      <article
        ref={card}
        class={`card${decision ? " decided" : ""}${answer && !counts(answer) ? " failed" : ""}`}
        tabIndex={current ? 0 : -1}
        aria-label={`${name}, ${category ?? "no category"}, human ${score(photo.human)}, ${asked ? `${asked}, ` : ""}${unsure ? `${unsure}, ` : ""}${state}${selected ? ", selected" : ""}`}
        aria-current={current ? "true" : undefined}
        onClick={(event) => {
          if (event.shiftKey) return store.toggle(index, true);
          // beside the grid there is a larger one to click on
          const onPicture = narrow.value && (event.target as Element).closest("img");
          if (current && onPicture) return onFull();
          store.go(index);
        }}
        onKeyDown={({ key, repeat, target }) => {
          if (key === "Enter" && !repeat && current && target === card.current) onFull();
        }}
      >
        <Picture
          photo={asDecided(item)}
          size={narrow.value ? "medium" : "small"}
          withHeat={current && heat.value}
          reachable={current}
          onStale={() => store.refresh(photo.id)}
        />
        <label class="pick" title="Select (x)">
          <input
            type="checkbox"
            checked={selected}
            tabIndex={current ? 0 : -1}
            aria-label={`Select ${name}`}
            onClick={(event) => {
              event.stopPropagation();
              store.toggle(index, event.shiftKey);
              // as it is, where nothing may be selected just now
              event.currentTarget.checked = store.selected.peek().has(photo.id);
            }}
          />
        </label>
        {(asked || unsure) && (
          <span class="kind">
            {asked}
            {asked && unsure && <br />}
            {unsure}
          </span>
        )}
        {state !== STATE_WORDS.review && (
          <span class={`card-state verdict ${decision?.verdict === "unsure" ? "review" : state}`}>
            {decision && !isOverruled(item) ? decidedWords(item) : state}
          </span>
        )}
        <div class="card-words">
          <p class="card-line number">
            <span class={item.category ? "card-category chosen" : "card-category"}>{category ?? "none"}</span>
            {!item.category && <span class="card-sure">{sureOf(photo)}</span>}
            <Human score={photo.human} />
          </p>
          <p class="card-reason soft">
            {photo.appeal && narrow.value
              ? `Appeal of ${photo.appeal.by}: ${photo.appeal.reason}`
              : more
                ? `${said}. ${more}`
                : `${said}.`}
          </p>
        </div>
      </article>
    </li>
  );
}

function decidedWords({ decision, answer }: Item): string {
  if (answer && !counts(answer)) return "did not count";
  return `${answer ? "✓" : "…"} ${stateWords(decision!.verdict)}`;
}
