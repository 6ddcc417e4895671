import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { connected } from "../live.ts";
import { stored } from "../stored.ts";
import type { Photo } from "../types.ts";
import { hiddenForHuman, nameOf } from "../words.ts";
import { Icon } from "./icon.tsx";

const kept = stored("maitred.blur");
/** Whether photos hidden for a human are blurred; undefined: as the server says. */
export const blur = signal<boolean | undefined>(kept.read() === null ? undefined : kept.read() === "on");
/** Those that were asked for, until the page is left. */
export const revealed = signal<ReadonlySet<string>>(new Set());
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

interface Loading {
  src: string;
  loaded?: boolean;
  broken?: boolean;
  /** Why it is broken, in words. */
  problem?: string;
  /** The server was not there, or not well. */
  away?: boolean;
}

interface PictureProps {
  photo: Photo;
  size: "small" | "medium" | "large";
  /** Instead of the photo alone, with the heat map over it. */
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
  const src = withHeat ? photo.links.heat : photo.links[size];
  const [state, setState] = useState<Loading>({ src });
  const [asked, setAsked] = useState(false);
  useEffect(() => setAsked(false), [photo.id, withHeat]);
  const veiled = (blur.value ?? blurred) && hiddenForHuman(photo) && !revealed.value.has(photo.id);
  const now = state.src === src ? state : { src };

  useEffect(() => {
    // the server is back: nobody has to ask for each picture that did not come meanwhile
    if (connected.value && now.away) setState({ src });
  }, [connected.value]);

  async function onError(): Promise<void> {
    // the browser's own sign of a broken image says nothing
    setState({ src, broken: true });
    const { status, problem } = await refusalOf(src);
    if (status !== STALE || asked) return setState({ src, problem, away: status === 0 || status >= 500 });
    setAsked(true);
    await onStale();
    // where fresh links came, this one is forgotten already
    setState((now) => (now.src === src && now.broken ? { src, problem } : now));
  }

  return (
    <figure class={`picture${veiled ? " veiled" : ""}`}>
      {now.problem ? (
        <div class="picture-problem small">
          <Icon name="warn" />
          <p title={now.problem}>{now.problem}</p>
          <button
            type="button"
            tabIndex={reachable ? 0 : -1}
            onClick={() => {
              setAsked(false);
              setState({ src });
            }}
          >
            Try again
          </button>
        </div>
      ) : now.broken ? null : (
        <img
          key={photo.id}
          src={src}
          alt={`${nameOf(photo)}${withHeat ? ", with the heat map of where a human is seen" : ""}`}
          decoding="async"
          draggable={false}
          onLoad={() => setState({ src, loaded: true })}
          onError={() => void onError()}
        />
      )}
      {!now.loaded && !now.problem && <div class="picture-wait" aria-hidden="true" />}
      {veiled && !now.problem && (
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
async function refusalOf(src: string): Promise<{ status: number; problem: string }> {
  try {
    const answer = await fetch(src);
    if (answer.ok) return { status: answer.status, problem: "the photo did not load" };
    const { detail } = (await answer.json()) as { detail?: string };
    return { status: answer.status, problem: detail ?? "the photo cannot be shown" };
  } catch {
    return { status: 0, problem: "the server cannot be reached" };
  }
}

/** Of links that are too old. */
const STALE = 403;
