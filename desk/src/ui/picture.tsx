import { signal } from "@preact/signals";
import { stored } from "../stored.ts";
import type { Photo } from "../types.ts";
import { hiddenForHuman, nameOf } from "../words.ts";
import { Heat } from "./heat.tsx";
import { Icon } from "./icon.tsx";
import { Problem } from "./problem.tsx";
import { type Refusal, useLink } from "./use-link.ts";

const kept = stored("maitred.blur");
/** Whether photos hidden for a human are blurred; undefined: as the server says. */
export const blur = signal<boolean | undefined>(kept.read() === null ? undefined : kept.read() === "on");
/** Those that were asked for, until the page is left. */
const revealed = signal<ReadonlySet<string>>(new Set());
/** Whether the photo in hand is shown with where the model sees a human. */
export const heat = signal(false);

export function setBlur(on: boolean): void {
  blur.value = on;
  revealed.value = new Set();
  kept.write(on ? "on" : "off");
}

export function reveal(id: string): void {
  const next = new Set(revealed.peek());
  if (!next.delete(id)) next.add(id);
  revealed.value = next;
}

interface PictureProps {
  photo: Photo;
  size: "small" | "medium" | "large";
  /** With the heat map laid over it. */
  withHeat?: boolean;
  /** Whether the server blurs unless this person said otherwise. */
  blurred: boolean;
  /** Whether its buttons are reached by Tab. */
  reachable?: boolean;
  /** Asks for fresh links, which are good for minutes, and has them once it is done; or not, where there are none. */
  onStale(): Promise<void> | void;
}

/** A photo by its signed link, under a veil where it is hidden for a human; what cannot be shown says why. */
export function Picture({ photo, size, withHeat, blurred, reachable = true, onStale }: PictureProps) {
  const src = photo.links[size];
  const shown = useLink<number>(photo.id, src, onStale);
  const veiled = (blur.value ?? blurred) && hiddenForHuman(photo) && !revealed.value.has(photo.id);
  const { came: ratio, failed, problem } = shown;
  return (
    <figure class={`picture${veiled ? " veiled" : ""}`}>
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
      {withHeat && ratio && <Heat photo={photo} ratio={ratio} reachable={reachable} onStale={onStale} />}
      {veiled && !problem && (
        <button
          type="button"
          class="veil"
          tabIndex={reachable ? 0 : -1}
          onClick={() => reveal(photo.id)}
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
