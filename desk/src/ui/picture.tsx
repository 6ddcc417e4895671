import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Photo } from "../types.ts";
import { nameOf } from "../words.ts";
import { useWork } from "../work.ts";
import { Heat } from "./heat.tsx";
import { Icon } from "./icon.tsx";
import { onceInView } from "./in-view.ts";
import { Problem } from "./problem.tsx";
import { type Refusal, useLink } from "./use-link.ts";

/** Whether the photo in hand is shown with where the model sees a human. */
export const heat = signal(false);

interface PictureProps {
  photo: Photo;
  size: "small" | "medium" | "large";
  /** With the heat map laid over it. */
  withHeat?: boolean;
  /** Whether its buttons are reached by Tab. */
  reachable?: boolean;
  /** Asks for fresh links, which are good for minutes, and has them once it is done; or not, where there are none. */
  onStale(): Promise<void> | void;
}

/** A photo by its signed link, blurred and without a map where it is hidden for a human; what cannot be shown says why. */
export function Picture({ photo, size, withHeat, reachable = true, onStale }: PictureProps) {
  const { eyes } = useWork();
  const figure = useRef<HTMLElement>(null);
  const src = photo.links[size];
  const shown = useLink<number>(photo.id, src, onStale);
  const veiled = eyes.veils(photo);
  const { came: ratio, failed, problem } = shown;
  const open = ratio !== undefined && !veiled;
  useEffect(() => {
    if (!open) return;
    return onceInView(figure.current!, () => eyes.see(photo, size === "small" ? "card" : "large"));
  }, [open, src]);
  return (
    <figure ref={figure} class={`picture${veiled ? " veiled" : ""}`}>
      {problem ? (
        <Problem reachable={reachable} onAgain={shown.again}>
          {problem}
        </Problem>
      ) : failed ? null : (
        <img
          key={photo.id}
          src={src}
          alt={nameOf(photo)}
          decoding="async"
          draggable={false}
          onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) =>
            shown.onCome(naturalWidth / naturalHeight)
          }
          // the browser's own sign of a broken image says nothing
          onError={() => void shown.onFail(refusalOf(src))}
        />
      )}
      {!ratio && !problem && <div class="picture-wait" aria-hidden="true" />}
      {withHeat && open && <Heat photo={photo} ratio={ratio} reachable={reachable} onStale={onStale} />}
      {veiled && !problem && (
        <button
          type="button"
          class="veil"
          tabIndex={reachable ? 0 : -1}
          onClick={() => eyes.reveal(photo.id)}
          aria-label={`Show ${nameOf(photo)}, which is hidden for a human`}
        >
          <span>
            <Icon name="eye" /> Hidden for a human
          </span>
        </button>
      )}
    </figure>
  );
}

/** Why a link leads to no picture, in the server's words. */
async function refusalOf(src: string): Promise<Refusal> {
  try {
    const answer = await fetch(src);
    if (answer.ok) return { status: answer.status, problem: "the photo did not load" };
    const { detail } = (await answer.json()) as { detail?: string };
    return { status: answer.status, problem: detail ?? "the photo cannot be shown" };
  } catch {
    return { status: 0, problem: "the server cannot be reached" };
  }
}
