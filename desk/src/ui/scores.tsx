import type { Photo } from "../types.ts";
import { score as written } from "../words.ts";
import { Icon } from "./icon.tsx";

/** The probability of a human, then of each category, the likeliest first. */
export function Scores({ human, scores }: Pick<Photo, "human" | "scores">) {
  const categories = Object.entries(scores ?? {}).sort(([, a], [, b]) => b - a);
  return (
    <ul class="scores small">
      <Score name="human" value={human} human />
      {categories.map(([name, value]) => (
        <Score key={name} name={name} value={value} />
      ))}
    </ul>
  );
}

/** The probability of a human, where there is no room for the word. */
export function Human({ score }: { score: number | null }) {
  return (
    <span class="card-human" title="Probability of a human">
      <Icon name="person" />
      <span class="unseen">human</span> {written(score)}
    </span>
  );
}

function Score({ name, value, human }: { name: string; value: number | null; human?: boolean }) {
  return (
    <li class={human ? "score-human" : ""}>
      <span>{name}</span>
      <span class="score-bar" aria-hidden="true">
        <i style={{ width: `${(value ?? 0) * 100}%` }} />
      </span>
      <span class="number">{written(value)}</span>
    </li>
  );
}
