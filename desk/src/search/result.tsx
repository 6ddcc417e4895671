import { get } from "../api.ts";
import { person } from "../session.ts";
import type { Photo } from "../types.ts";
import { Picture } from "../ui/picture.tsx";
import { Human } from "../ui/scores.tsx";
import { nameOf, STATE_WORDS, sureOf, unsureOf } from "../words.ts";

interface ResultProps {
  photo: Photo;
  /** With the photo as it is now, and links that are good. */
  onFresh(photo: Photo): void;
}

export function Result({ photo, onFresh }: ResultProps) {
  const unsure = unsureOf(photo, person.value?.name);
  return (
    <li class="cell">
      <article class="card">
        <Picture
          photo={photo}
          size="small"
          onStale={() => get<Photo>(`photos/${photo.id}`).then(onFresh, () => {})}
        />
        {unsure && <span class="kind">{unsure}</span>}
        <State photo={photo} />
        <div class="card-words">
          <p class="card-line number">
            <span class="card-category">{photo.category ?? "none"}</span>
            <span class="card-sure">{sureOf(photo)}</span>
            <Human score={photo.human} />
          </p>
          <p class="result-name small">
            <a href={`/desk/photos/${photo.id}`} title={photo.key}>
              {nameOf(photo)}
            </a>
          </p>
        </div>
      </article>
    </li>
  );
}

/** What was decided of an object that is not there any more is not what it is now. */
function State({ photo: { current, state } }: { photo: Photo }) {
  if (!current) return <span class="card-state verdict">withdrawn</span>;
  return <span class={`card-state verdict ${state}`}>{STATE_WORDS[state]}</span>;
}
