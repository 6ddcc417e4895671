import { Icon } from "./icon.tsx";

interface ProblemProps {
  /** Why a picture, or what is laid over it, is not there. */
  children: string;
  /** Whether the button is reached by Tab. */
  reachable: boolean;
  onAgain(): void;
}

export function Problem({ children, reachable, onAgain }: ProblemProps) {
  return (
    <div class="picture-problem small">
      <Icon name="warn" />
      <p title={children}>{children}</p>
      <button type="button" tabIndex={reachable ? 0 : -1} onClick={onAgain}>
        Try again
      </button>
    </div>
  );
}
