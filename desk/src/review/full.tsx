import { useLayoutEffect, useRef } from "preact/hooks";
import { person } from "../session.ts";
import { Announcer } from "../ui/announce.tsx";
import { heat, Picture } from "../ui/picture.tsx";
import { nameOf, reasonOf, unsureOf } from "../words.ts";
import { useWork } from "../work.ts";
import { Actions } from "./actions.tsx";
import { asDecided, type Item } from "./list.ts";

/** The photo in hand as large as the window, until it is closed; the keys of the page act here too. */
export function Full({ item, onClose }: { item: Item; onClose(): void }) {
  const { store } = useWork();
  const dialog = useRef<HTMLDialogElement>(null);
  const name = useRef<HTMLHeadingElement>(null);
  const { photo } = item;
  const { said, more } = reasonOf({ ...photo, saw: photo.sawHuman });
  const unsure = unsureOf(photo, person.value?.name);
  useLayoutEffect(() => {
    dialog.current!.showModal();
    name.current!.focus();
    return () => dialog.current?.close();
  }, []);
  useLayoutEffect(() => {
    const focused = document.activeElement;
    // as in the grid, a screen reader says what the keys act on, and the focus stays on a button that someone pressed
    if (focused === document.body || focused === dialog.current) name.current!.focus();
  }, [photo.id]);
  return (
    <dialog
      ref={dialog}
      class="full"
      aria-label="The photo in hand, in the full window"
      // its end is told late: another may be open by then
      onClose={() => dialog.current && onClose()}
    >
      {/* biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/noStaticElementInteractions: z and Escape do the same */}
      <div
        class="full-picture"
        onClick={({ target, detail }) => {
          // the second click of two was for what opened this
          if (detail < 2 && !(target as Element).closest("button")) onClose();
        }}
      >
        <Picture
          photo={asDecided(item)}
          size="large"
          withHeat={heat.value}
          onStale={() => store.refresh(photo.id)}
        />
      </div>
      <div class="full-words small">
        <h2 key={photo.id} ref={name} tabIndex={-1}>
          {nameOf(photo)}
        </h2>
        <p>
          <b>{said}.</b> <span class="soft">{more}</span>
          {unsure && ` ${unsure}.`}
          {photo.appeal && ` Appeal of ${photo.appeal.by}: ${photo.appeal.reason}`}
        </p>
      </div>
      <Actions item={item} full onFull={onClose} />
      {/* what is under a dialog is not heard */}
      <Announcer />
    </dialog>
  );
}
