import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { stored } from "../stored.ts";

/** What a key does, by the `key` of its event; letters are lower case, and with shift held "shift+x". */
export type KeyMap = Readonly<Record<string, () => void>>;

const kept = stored("maitred.keys");

/** Whether single keys act. People who speak to their computer may turn them off. */
export const keysOn = signal(kept.read() !== "off");

export function setKeys(on: boolean): void {
  keysOn.value = on;
  kept.write(on ? "on" : "off");
}

/** Listens while the component is there, except where someone types, and under an open dialog or menu. */
export function useKeys(map: KeyMap): void {
  const latest = useRef(map);
  latest.current = map;
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !keysOn.peek()) return;
      if (types(event.target) || document.querySelector("dialog[open], [popover]:popover-open")) return;
      const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const act = latest.current[event.shiftKey && letter !== "?" ? `shift+${letter}` : letter];
      if (!act) return;
      event.preventDefault();
      // nothing had the focus yet, or what had it was scrolled out of the page
      if (document.activeElement === document.body) {
        document.querySelector<HTMLElement>("main [tabindex='0'], main")?.focus({ preventScroll: true });
      }
      act();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

function types(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest("input:not([type=checkbox]), select, textarea") !== null
  );
}
