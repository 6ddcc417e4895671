import { get } from "../api.ts";
import { person } from "../session.ts";
import type { Photo } from "../types.ts";
import { Picture } from "../ui/picture.tsx";
import { Human } from "../ui/scores.tsx";
import { nameOf, STATE_WORDS, score } from "../words.ts";

interface ResultProps {
  photo: Photo;
  /** With the photo as it is now, and links that are good. */
  onFresh(photo: Photo): void;
}

export function Result({ photo, onFresh }: ResultProps) {
  const { category, scores } = photo;
  return (
    <li class="cell">
      <article class="card">
        <Picture
          photo={photo}
          size="small"
          blurred={person.value!.settings.blur}
          onStale={() => get<Photo>(`photos/${photo.id}`).then(onFresh, () => {})}
        />
        <span class={`card-state verdict ${photo.state}`}>{STATE_WORDS[photo.state]}</span>
        <div class="card-words">
          <p class="card-line number">
            <span class="card-category">{category ?? "none"}</span>
            <span>{category && score(scores?.[category])}</span>
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
