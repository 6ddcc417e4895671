import type { Act } from "./act.ts";

interface ActButtonProps {
  /** It waits while something of this is on its way. */
  act: Act;
  /** What it is done to, for whoever does not see beside what it stands. */
  of: string;
  danger?: boolean;
  onClick(): void;
  children: string;
}

/** A small button of a row. */
export function ActButton({ act, of, danger = false, onClick, children }: ActButtonProps) {
  return (
    <button type="button" class={danger ? "small danger" : "small"} disabled={act.busy} onClick={onClick}>
      {children} <span class="unseen">{of}</span>
    </button>
  );
}
