import { useLocation } from "preact-iso";
import { person } from "../session.ts";
import { useFields } from "../ui/fields.ts";
import { narrow } from "../ui/narrow.ts";
import { rule, STATE_WORDS } from "../words.ts";
import { addressOf, FILTERS, type Filter, type Filters } from "./query.ts";

interface FilterFormProps {
  filters: Filters;
  /** What the address asks for besides. */
  unknown: readonly string[];
}

/** Each filter as a field. What is chosen acts at once, what is typed with Enter. */
export function FilterForm({ filters, unknown }: FilterFormProps) {
  const { route } = useLocation();
  const form = useFields(Object.fromEntries(FILTERS.map((name) => [name, filters[name] ?? ""])));
  const { categories } = person.value!.settings;
  const used = Object.keys(filters).length;

  function onSubmit(event: SubmitEvent): void {
    event.preventDefault();
    const said = new FormData(form.current!);
    route(addressOf(Object.fromEntries(FILTERS.map((name) => [name, String(said.get(name) ?? "").trim()]))));
  }

  const text = (name: Filter, label: string, more: object = {}) => (
    <label>
      <span>{label}</span>
      <input name={name} spellcheck={false} autocomplete="off" {...more} />
    </label>
  );
  const choice = (
    name: Filter,
    label: string,
    options: readonly (readonly [string, string])[],
    unset = "any",
  ) => (
    <label>
      <span>{label}</span>
      <select name={name} onChange={() => form.current!.requestSubmit()}>
        <option value="">{unset}</option>
        {withOwn(options, filters[name]).map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
  const range = { type: "number", min: 0, max: 1, step: 0.01, inputMode: "decimal" } as const;
  return (
    <search class="filters" aria-label="Photos">
      <form ref={form} onSubmit={onSubmit}>
        {unknown.length > 0 && (
          <p class="problem small" role="alert">
            Not filtered by {unknown.join(", ")}: the address may have {FILTERS.join(", ")}.
          </p>
        )}
        <h1>Search</h1>
        {/* on a narrow screen the photos come first */}
        <details open={!narrow.peek()}>
          <summary>Filters {used > 0 && <span class="soft number">({used})</span>}</summary>
          <div class="filter-fields">
            {text("key", "Key begins with")}
            {text("listing", "Listing")}
            {choice("state", "Verdict", Object.entries(STATE_WORDS))}
            {choice(
              "current",
              "Object",
              [
                ["no", "withdrawn: replaced or removed"],
                ["any", "there now or withdrawn"],
              ],
              "there now",
            )}
            {choice(
              "category",
              "Category",
              categories.map((name) => [name, name] as const),
            )}
            {choice(
              "rule",
              "Reason",
              RULES.map((name) => [name, rule(name)] as const),
            )}
            {choice("unsure", "Not sure", [
              ["1", "one moderator or more"],
              ["2", "two or more"],
            ])}
            {text("by", "Model or moderator", { placeholder: "who decided" })}
            <fieldset>
              <legend>Human score, 0 to 1</legend>
              <input {...range} name="humanFrom" aria-label="Human score from" />
              <span aria-hidden="true">–</span>
              <input {...range} name="humanTo" aria-label="Human score to" />
            </fieldset>
            <fieldset>
              <legend>Category score, 0 to 1</legend>
              <input {...range} name="scoreFrom" aria-label="Category score from" />
              <span aria-hidden="true">–</span>
              <input {...range} name="scoreTo" aria-label="Category score to" />
            </fieldset>
            <fieldset class="dates">
              <legend>Registered, days of UTC</legend>
              <input type="date" name="from" aria-label="Registered from" />
              <span aria-hidden="true">–</span>
              <input type="date" name="to" aria-label="Registered until" />
            </fieldset>
            {text("bucket", "Bucket")}
          </div>
          <div class="filter-do">
            <button type="submit" class="primary">
              Search
            </button>
            <a class="button" href="/desk/search">
              Clear
            </a>
          </div>
        </details>
      </form>
    </search>
  );
}

/** An address may ask for what is no choice here: a category of another policy, a code that no photo failed with so far. */
function withOwn(
  options: readonly (readonly [string, string])[],
  own: string | undefined,
): readonly (readonly [string, string])[] {
  if (!own || options.some(([value]) => value === own)) return options;
  return [...options, [own, own]];
}

const RULES = [
  "hidden-copy",
  "human",
  "hidden-category",
  "human-uncertain",
  "verify",
  "category-uncertain",
  "scores-invalid",
  "clear",
  "moderator",
  "undo",
  "rollback",
  ...["EMPTY", "UNSUPPORTED_FORMAT", "CORRUPT", "TOO_LARGE", "TOO_MANY_PIXELS", "GONE", "ACCESS_DENIED"],
  ...["STORE_UNAVAILABLE", "WORKER_CRASHED"],
];
