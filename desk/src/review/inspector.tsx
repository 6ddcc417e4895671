import { useEffect, useRef } from "preact/hooks";
import { person } from "../session.ts";
import { Facts } from "../ui/facts.tsx";
import { leftOut } from "../ui/left-out.ts";
import { roomy } from "../ui/narrow.ts";
import { heat, Picture } from "../ui/picture.tsx";
import { Scores } from "../ui/scores.tsx";
import { count, doubtersOf, KIND_WORDS, nameOf, reasonOf, when } from "../words.ts";
import { useWork } from "../work.ts";
import { Actions, Undo } from "./actions.tsx";
import { asDecided, type Item, nextOpen } from "./list.ts";

interface InspectorProps {
  /** Whether the photo in hand is seen in the full window instead. */
  full: boolean;
  onFull(): void;
}

/** The photo in hand at a size to judge by, and everything that may be done with it, or with those selected. */
export function Inspector({ full, onFull }: InspectorProps) {
  const { store } = useWork();
  const look = useRef<HTMLDivElement>(null);
  const item = store.current.value;
  const items = store.items.value;
  const size = roomy.value ? "large" : "medium";
  const ahead = items[nextOpen(items, store.at.value)]?.photo.links[full ? "large" : size];
  // a page need not ask again for what it holds
  const soon = useRef<HTMLImageElement>(null);
  useEffect(() => {
    if (!ahead) return;
    // there by the time it is looked at, unless somebody just goes by
    const timer = setTimeout(() => {
      soon.current = new Image();
      soon.current.src = ahead;
    }, 200);
    return () => clearTimeout(timer);
  }, [ahead]);
  // what was read of another photo leaves this one's picture in view
  useEffect(() => look.current?.scrollTo(0, 0), [item?.photo.id]);
  if (!item) return items.length > 0 ? <Empty /> : null;
  const { photo } = item;
  const many = store.selected.value.size;
  const { said, more } = reasonOf({ ...photo, saw: photo.sawHuman });
  return (
    <aside class="inspector" aria-label={many > 0 ? `${count(many, "photo")} selected` : "The photo in hand"}>
      <div class="inspector-look" ref={look}>
        {/* biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/noStaticElementInteractions: z does the same */}
        <div
          class="inspector-picture"
          onClick={({ target }) => !(target as Element).closest("button") && onFull()}
        >
          <Picture
            photo={asDecided(item)}
            size={size}
            withHeat={heat.value}
            onStale={() => store.refresh(photo.id)}
          />
        </div>
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
        <div class="inspector-facts">
          <Scores human={photo.human} scores={photo.scores} />
          <ItemFacts item={item} />
        </div>
      </div>
      <Actions item={item} full={false} onFull={onFull} />
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

function ItemFacts({ item: { photo } }: { item: Item }) {
  const facts: [string, string | null][] = [
    ["asked", photo.kind && photo.kind !== "audit" ? KIND_WORDS[photo.kind] : null],
    ["not sure", doubtersOf(photo, person.value?.name)],
    ["listing", photo.listing],
    ["uploader", photo.uploader && `${photo.uploader}${photo.claimed ? `, says ${photo.claimed}` : ""}`],
    ["known since", when(photo.registeredAt)],
  ];
  return <Facts facts={facts} />;
}
