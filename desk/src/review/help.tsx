import { person } from "../session.ts";
import { Dialog } from "../ui/dialog.tsx";
import { keysOn, setKeys } from "../ui/keys.ts";

export function Help({ onClose }: { onClose(): void }) {
  const categories = person.value!.settings.categories.slice(0, 4).join(", ");
  const keys: [string[], string][] = [
    [["j", "k"], "next photo, photo before"],
    [["←", "→", "↑", "↓"], "move in the grid"],
    [["s"], "show: no human is visible; a blurred photo is unblurred first"],
    [["h"], "hide: a human is visible"],
    [["⇧h"], "hide for another reason"],
    [["n"], "not sure: another moderator gets it; it stays as it is"],
    [["1", "–", "4"], `set the category (${categories}); it goes with the next s or h`],
    [["u"], "take back what was decided last"],
    [["x"], "select; then s, h, n and 1–4 act on all that are selected"],
    [["⇧j", "⇧k"], "select while moving"],
    [["a"], "select all that are undecided"],
    [["Esc"], "leave the full window; select none"],
    [["z"], "the photo in the full window, and back; so do Enter and a click on it"],
    [["b"], "show a blurred photo, or blur it again"],
    [["m"], "heat map: where the model sees a human"],
    [["?"], "this help"],
  ];
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        {keys.map(([names, does]) => (
          <div key={does}>
            <dt>{names.map((name) => (name === "–" ? " – " : <kbd key={name}>{name}</kbd>))}</dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <label class="keys-switch">
        <input
          type="checkbox"
          checked={keysOn.value}
          onChange={(event) => setKeys(event.currentTarget.checked)}
        />
        Single keys act. Turn this off if you speak to your computer.
      </label>
      <p class="soft small">
        What you decide is kept in this browser until the server has it. Models do not overwrite it, it is
        logged under your name, and it becomes training data: hide with h only where a human is visible.
      </p>
    </Dialog>
  );
}
