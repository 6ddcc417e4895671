import type { ComponentChildren } from "preact";
import { once } from "./once.ts";

interface KeyButtonProps {
  class?: string;
  "aria-pressed"?: boolean;
  /** Whether a press only says why it does nothing just now. */
  "aria-disabled"?: boolean | undefined;
  /** As aria-keyshortcuts writes it. */
  keys: string;
  /** As people read it; else as it is written. */
  shown?: string;
  onClick(): void;
  children: ComponentChildren;
}

/** A button that a key presses too, which it shows; the second click of a double click counts for nothing. */
export function KeyButton({ keys, shown = keys, onClick, children, ...rest }: KeyButtonProps) {
  return (
    <button type="button" aria-keyshortcuts={keys} onClick={once(onClick)} {...rest}>
      {children}{" "}
      <span class="key" aria-hidden="true">
        {shown}
      </span>
    </button>
  );
}
