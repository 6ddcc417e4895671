import { useLocation } from "preact-iso";
import type { Listings } from "../types.ts";
import { useFields } from "../ui/fields.ts";
import { Table } from "../ui/table.tsx";
import { useAsked } from "../ui/use-asked.ts";
import { number } from "../words.ts";
import { VERDICTS } from "./counts.tsx";
import { addressOf } from "./range.ts";

/** Photos of some listings, of all time: there are too many listings to show all of them. */
export function ListingCounts() {
  const { query, route } = useLocation();
  const asked = query["listing"] ?? "";
  const form = useFields({ listing: asked });
  return (
    <section class="panel">
      <h2>Listings</h2>
      <form
        ref={form}
        class="listing-form"
        onSubmit={(event) => {
          event.preventDefault();
          route(
            addressOf(query, { listing: String(new FormData(event.currentTarget).get("listing")).trim() }),
          );
        }}
      >
        <label class="small">
          Up to twenty, with commas between
          <input name="listing" maxLength={2_000} autoComplete="off" />
        </label>
        <button type="submit">Count</button>
      </form>
      {asked && <Counted listing={asked} />}
    </section>
  );
}

function Counted({ listing }: { listing: string }) {
  const { answer, problem } = useAsked<Listings>("dashboards/listings", { listing });
  if (problem) {
    return (
      <p class="problem small" role="alert">
        {problem}
      </p>
    );
  }
  if (!answer) return <p class="soft small">One moment…</p>;
  if (answer.listings.length === 0) return <p class="soft small">No photo of these listings was judged.</p>;
  return (
    <Table
      label="Photos of listings"
      head={["listing", "category", ...VERDICTS.map((each) => `#${each}`)]}
      stacked
    >
      {byCategory(answer.listings).map(({ listing, category, photos }) => (
        <tr key={`${listing} ${category}`}>
          <th scope="row">
            <a href={`/desk/search?listing=${encodeURIComponent(listing)}`}>{listing}</a>
          </th>
          <td>{category ?? "none"}</td>
          {VERDICTS.map((verdict) => (
            <td key={verdict} class="figure" data-name={verdict}>
              {number(photos[verdict] ?? 0)}
            </td>
          ))}
        </tr>
      ))}
    </Table>
  );
}

interface CategoryOfListing {
  listing: string;
  category: string | null;
  photos: Record<string, number>;
}

/** In the order that they come in. */
function byCategory(rows: Listings["listings"]): CategoryOfListing[] {
  const found = new Map<string, CategoryOfListing>();
  for (const { listing, category, verdict, photos } of rows) {
    const key = JSON.stringify([listing, category]);
    const before = found.get(key) ?? { listing, category, photos: {} };
    found.set(key, { ...before, photos: { ...before.photos, [verdict]: photos } });
  }
  return [...found.values()];
}
