import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { stored } from "../stored.ts";

/** What a key does, by its name: as the `key` of its event, in lower case, with shift held "shift+x"; digits are digits. */
type KeyMap = Readonly<Record<string, () => void>>;

const kept = stored("maitred.keys");

/** Whether single keys act. People who speak to their computer may turn them off. */
export const keysOn = signal(kept.read() !== "off");

export function setKeys(on: boolean): void {
  keysOn.value = on;
  kept.write(on ? "on" : "off");
}

/**
 * Listens while the component is there, except where someone types, and under an open dialog or menu; in the full window
 * its page's keys act. A key that is held does once what it does, unless it moves: photos are not decided by a hand that
 * rests.
 */
export function useKeys(map: KeyMap): void {
  const latest = useRef(map);
  latest.current = map;
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !keysOn.peek()) return;
      if (types(event.target) || document.querySelector("dialog[open]:not(.full), [popover]:popover-open"))
        return;
      const act = latest.current[nameOf(event)];
      if (!act) return;
      event.preventDefault();
      if (event.repeat && !MOVES.test(nameOf(event))) return;
      // nothing had the focus yet, or what had it was scrolled out of the page
      if (document.activeElement === document.body) {
        const inHand = document.querySelector<HTMLElement>("main [tabindex='0']");
        (inHand ?? document.querySelector("main"))?.focus({ preventScroll: true });
      }
      act();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/**
 * Until the returned function is called, a button on which Enter is held is pressed once. A browser presses it again and again, and
 * what it does then may be of another photo each time. Space presses a button when it is let go.
 */
export function pressOnce(): () => void {
  const onKey = (event: KeyboardEvent): void => {
    const { key, repeat, target } = event;
    if (repeat && key === "Enter" && target instanceof Element && target.closest("button"))
      event.preventDefault();
  };
  addEventListener("keydown", onKey);
  return () => removeEventListener("keydown", onKey);
}

/** What a key is called, wherever the keyboard has it. */
function nameOf({ key, code, shiftKey }: KeyboardEvent): string {
  // some have digits behind shift, and some no Latin letters: what stands there on others is meant
  const [, digit] = /^Digit(\d)$/.exec(code) ?? [];
  if (/^\d$/.test(key)) return key;
  if (digit && !shiftKey) return digit;
  const [, place] = /^Key(\w)$/.exec(code) ?? [];
  const written = key.length === 1 && key > "\u007f" && place ? place : key;
  const letter = written.length === 1 ? written.toLowerCase() : written;
  return shiftKey && letter !== "?" ? `shift+${letter}` : letter;
}

function types(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest("input:not([type=checkbox]), select, textarea") !== null
  );
}

const MOVES = /^(shift\+)?([jk]|Arrow\w+)$/;
