import { Dialog } from "../ui/dialog.tsx";

interface WhyProps {
  title: string;
  /** What it comes to. */
  words: string;
  /** What the button that does it is called. */
  act: string;
  onClose(): void;
  onSaid(why: string): void;
}

/** Asks why, which is written down. */
export function Why({ title, words, act, onClose, onSaid }: WhyProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        class="why"
        onSubmit={(event) => {
          event.preventDefault();
          onSaid(String(new FormData(event.currentTarget).get("why")).trim());
        }}
      >
        <p>{words}</p>
        <label>
          Why
          <input name="why" required maxLength={500} autoComplete="off" autofocus pattern=".*\S.*" />
        </label>
        <div class="dialog-do">
          <button type="button" onClick={onClose}>
            Leave it
          </button>
          <button type="submit" class="primary">
            {act}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
