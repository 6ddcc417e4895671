import { useState } from "preact/hooks";
import { useLocation, useRoute } from "preact-iso";
import type { WholePhoto } from "../types.ts";
import { Facts } from "../ui/facts.tsx";
import { Icon } from "../ui/icon.tsx";
import { heat, Picture } from "../ui/picture.tsx";
import { Scores } from "../ui/scores.tsx";
import { useTitle } from "../ui/title.ts";
import { useAsked } from "../ui/use-asked.ts";
import { nameOf, reasonOf, STATE_WORDS, when, who } from "../words.ts";
import { History } from "./history.tsx";
import { PhotoActions } from "./photo-actions.tsx";
import { Deliveries, Tags } from "./tables.tsx";

/** One photo: what it looks like, what is known of it, and everything that ever became of it. */
export default function PhotoPage() {
  const { params } = useRoute();
  // nothing of one photo, such as a category that was chosen for it, is there for the next
  return <OnePhoto key={params["id"]} id={params["id"]!} />;
}

function OnePhoto({ id }: { id: string }) {
  const back = useBack();
  const { answer: photo, problem, again } = useAsked<WholePhoto>(`photos/${id}`);
  const [done, setDone] = useState("");
  const [forgotten, setForgotten] = useState(false);
  useTitle(photo ? nameOf(photo) : "Photo");
  if (forgotten) {
    return (
      <div class="blank" role="status">
        <h1>It was forgotten</h1>
        <p class="soft">Nothing is kept of this object any more. The object itself is still in its store.</p>
        <a class="button" href="/desk/search">
          To Search
        </a>
      </div>
    );
  }
  if (!photo) {
    return (
      <div class="blank" role={problem ? "alert" : "status"}>
        <h1>{problem ? "This photo cannot be shown" : "One moment…"}</h1>
        <p class="soft">{problem}</p>
        {problem && (
          <button type="button" onClick={again}>
            Try again
          </button>
        )}
      </div>
    );
  }
  const { said, more } = reasonOf({ ...photo, saw: photo.sawHuman });
  return (
    <div class="photo-page">
      <header class="photo-head">
        <button type="button" class="quiet" onClick={back}>
          ← Back
        </button>
        <h1>{nameOf(photo)}</h1>
        {photo.current ? (
          <span class={`verdict ${photo.state}`}>{STATE_WORDS[photo.state]}</span>
        ) : (
          <span class="verdict">withdrawn, was {STATE_WORDS[photo.state]}</span>
        )}
      </header>
      <div class="photo-look">
        <Picture photo={photo} size="large" withHeat={heat.value} onStale={again} />
        <button
          type="button"
          aria-pressed={heat.value}
          onClick={() => {
            heat.value = !heat.peek();
          }}
        >
          <Icon name="heat" /> Heat map
        </button>
      </div>
      <div class="photo-facts">
        <p>
          <b>{said}.</b> <span class="soft">{photo.failure ? `${photo.failure}: ${more}` : more}</span>
        </p>
        <Scores human={photo.human} scores={photo.scores} />
        <PhotoFacts photo={photo} />
        <PhotoActions
          photo={photo}
          onDone={(words) => {
            setDone(words);
            again();
          }}
          onForgotten={() => setForgotten(true)}
        />
        <p class="small" role="status">
          {problem || done}
        </p>
        <Tags tags={photo.tags} />
      </div>
      <div class="photo-past">
        <History photo={photo} />
        <Deliveries deliveries={photo.deliveries} />
      </div>
    </div>
  );
}

/** To the page before; to Search where none of the desk was before, as in a tab of its own. */
function useBack(): () => void {
  const { back, route } = useLocation();
  // not every browser has `navigation`, which knows of pages of the desk alone
  return () => ((window.navigation?.canGoBack ?? history.length > 1) ? back() : route("/desk/search"));
}

function PhotoFacts({ photo }: { photo: WholePhoto }) {
  // before a model had judged
  const failed = photo.state === "failed";
  const facts: [string, string | null][] = [
    ["key", photo.key],
    ["bucket", `${photo.bucket} (${photo.store})`],
    ["version", photo.version || null],
    ["listing", photo.listing],
    ["uploader", photo.uploader && `${photo.uploader}${photo.claimed ? `, says ${photo.claimed}` : ""}`],
    ["decided by", photo.rule === "moderator" || failed || photo.by === null ? null : who(photo.by)],
    [failed ? "given up" : "decided", when(photo.decidedAt)],
    ["known since", when(photo.registeredAt)],
    ["model", photo.model],
    ["policy", photo.policy],
    ["object", photo.current ? null : "was replaced or removed since"],
  ];
  return <Facts facts={facts} />;
}
