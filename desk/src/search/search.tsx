import { useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { get, wordsOf } from "../api.ts";
import type { Found, Photo } from "../types.ts";
import { announce } from "../ui/announce.tsx";
import { Grid } from "../ui/grid.tsx";
import { Icon } from "../ui/icon.tsx";
import { useTitle } from "../ui/title.ts";
import type { CellRules } from "../ui/window.ts";
import { count } from "../words.ts";
import { FilterForm } from "./filter-form.tsx";
import { asked, filtersOf, unknownOf } from "./query.ts";
import { Result } from "./result.tsx";

/** Photos by what is known of them. The address says everything, so that it can be sent to somebody. */
export default function SearchPage() {
  const { query, url } = useLocation();
  const { photos, next, capped, state, problem, more, replace } = useFound(url, query);
  const filtered = Object.keys(filtersOf(query)).length > 0;
  useTitle("Search");
  return (
    <div class="search-page">
      <FilterForm filters={filtersOf(query)} unknown={unknownOf(query)} />
      <div class="search-results">
        {state === "failed" && photos.length === 0 && (
          <div class="blank" role="alert">
            <Icon name="warn" />
            <h2>The search failed</h2>
            <p class="soft">{problem}</p>
            <button type="button" class="primary" onClick={more}>
              Try again
            </button>
          </div>
        )}
        {state === "paused" && photos.length === 0 && (
          <div class="blank">
            <Icon name="bell" />
            <h2>None of the newest photos is like that</h2>
            <p class="soft">Older ones may be. A listing, a key or a day narrows where to look.</p>
            <button type="button" class="primary" onClick={more}>
              Look further back
            </button>
          </div>
        )}
        {state === "ready" && photos.length === 0 && (
          <div class="blank">
            <Icon name="bell" />
            <h2>{filtered ? "No photo is like that" : "No photo is there now"}</h2>
            <p class="soft">
              {capped
                ? CAPPED
                : filtered
                  ? "Take a filter away. A key is searched by how it begins. Withdrawn photos are found under Object."
                  : "Photos are found here once their uploads were told of. Withdrawn photos are found under Object."}
            </p>
          </div>
        )}
        {photos.length > 0 && (
          <Grid
            label="Photos found"
            count={photos.length}
            rules={RULES}
            onEnd={() => next && state !== "paused" && more()}
            cell={(index) => <Result key={photos[index]!.id} photo={photos[index]!} onFresh={replace} />}
          >
            <p class="all-done soft small" role="status">
              {state === "failed" ? `${problem}. ` : ""}
              {state === "failed" ? (
                <button type="button" onClick={more}>
                  Try again
                </button>
              ) : state === "paused" ? (
                <button type="button" onClick={more}>
                  Look further back
                </button>
              ) : next ? (
                "More are being fetched…"
              ) : capped ? (
                `${count(photos.length, "photo")}. ${CAPPED}`
              ) : (
                `That is all: ${count(photos.length, "photo")}.`
              )}
            </p>
          </Grid>
        )}
        {state === "loading" && photos.length === 0 && <p class="blank soft">Searching…</p>}
      </div>
    </div>
  );
}

/** Page after page of what was found, as far as it was scrolled to. */
function useFound(url: string, query: Readonly<Record<string, string>>) {
  const [photos, setPhotos] = useState<readonly Photo[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [capped, setCapped] = useState(false);
  const [state, setState] = useState<"loading" | "ready" | "paused" | "failed">("loading");
  const [problem, setProblem] = useState("");
  const busy = useRef<AbortController>(undefined);

  async function fetchPage(after: string | null): Promise<void> {
    busy.current?.abort();
    const mine = new AbortController();
    busy.current = mine;
    setState("loading");
    try {
      let [from, many, looks] = [after, 0, 0];
      do {
        // the server looks at so many photos at a time, and may find few of them, or none
        const found = await get<Found>("photos", asked(filtersOf(query), from ?? undefined), mine.signal);
        setPhotos((before) => [...before, ...found.photos]);
        setNext(found.next);
        setCapped(found.capped);
        from = found.next;
        many += found.photos.length;
        looks += 1;
      } while (from && many < ENOUGH && looks < LOOKS);
      setState(from && many < ENOUGH ? "paused" : "ready");
      if (!after) announce(`${count(many, "photo")}${from ? " and more" : ""} found`);
    } catch (thrown) {
      if (mine.signal.aborted) return;
      setProblem(wordsOf(thrown));
      setState("failed");
    }
    if (busy.current === mine) busy.current = undefined;
  }

  useEffect(() => {
    setPhotos([]);
    setNext(null);
    void fetchPage(null);
    return () => busy.current?.abort();
  }, [url]);
  return {
    photos,
    next,
    capped,
    state,
    problem,
    more: () => {
      if (!busy.current) void fetchPage(next);
    },
    replace: (fresh: Photo) => setPhotos((all) => all.map((each) => (each.id === fresh.id ? fresh : each))),
  };
}

const CAPPED = "Of a bucket only the first 5,000 keys that begin so were looked at: lengthen the key.";
/** Photos, as many as fill a screen. */
const ENOUGH = 40;
/** Pages of the server's without enough to show, of some tens of milliseconds each: then somebody must want more. */
const LOOKS = 100;
const RULES: CellRules = { minWidth: 168, gap: 12, textHeight: 58 };
