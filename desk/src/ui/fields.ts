import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

/**
 * Fills the fields of a form, by their names, whenever what they should say changes, as by going back. Whoever is in one of them
 * stays there.
 */
export function useFields(values: Readonly<Record<string, string>>): RefObject<HTMLFormElement | null> {
  const form = useRef<HTMLFormElement>(null);
  useLayoutEffect(() => {
    for (const [name, value] of Object.entries(values)) {
      (form.current!.elements.namedItem(name) as HTMLInputElement | HTMLSelectElement).value = value;
    }
  }, [JSON.stringify(values)]);
  return form;
}
