import { randomUUID } from "node:crypto";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { migrateAll } from "../src/cli/migrate.ts";
import type { Config } from "../src/config.ts";
import { createToken } from "../src/http/tokens.ts";
import { Scope } from "../src/lifecycle.ts";
import { createLog } from "../src/log.ts";
import { addToken } from "../src/store/tokens.ts";
import { startApi } from "../workers/api.ts";
import { type Times, timed, timesOf } from "./times.ts";

/** Over HTTP on the same machine, of a hundred requests one after the other. */
interface Answers extends Times {
  what: string;
}

interface DeskMeasures {
  photos: number;
  waiting: number;
  answers: Answers[];
}

/**
 * How long the desk's answers take where so many photos are known, of which a fifth wait for a moderator: as the page asks,
 * with sixteen others who hold photos.
 *
 * @param files photos of MAITRED_FOLDERS, in one folder, whose pictures are asked for.
 */
export async function measureDesk(
  config: Config,
  photos: number,
  files: readonly string[],
  say: (line: string) => void,
): Promise<DeskMeasures> {
  await migrateAll(config);
  const db = new pg.Pool({ connectionString: config.databaseUrl, max: 4 });
  db.on("error", () => {});
  const scope = new Scope();
  scope.onClose("Postgres", () => db.end());
  try {
    say(`making ${photos} photos`);
    await fill(db, photos);
    const { rows: pictured } = await db.query<{ id: string }>(
      `insert into photos (store, bucket, key, state, rule, category, decided_at)
        select 'folder', $1, key, 'hidden', 'human', 'other', now() from unnest($2::text[]) key returning id`,
      [dirname(files[0]!), files.map((file) => basename(file))],
    );
    const api = await startApi({ ...config, apiPort: 0 }, createLog("silent"), scope);
    const people = [];
    for (let n = 0; n <= 16; n++) people.push(await signIn(db, api.url, `moderator-${n}`));
    for (const other of people.slice(1)) await other.ask("POST", "/desk/api/review/claims", { limit: 50 });
    const ids = pictured.map(({ id }) => id);
    const answers = await measure(people[0]!, photos, ids, say);
    const { rows } = await db.query<{ waiting: number }>(
      "select count(*)::int as waiting from photos where state = 'review'",
    );
    return { photos, waiting: rows[0]!.waiting, answers };
  } finally {
    await scope.close();
  }
}

type Ask = (method: "GET" | "POST", path: string, body?: unknown) => Promise<Record<string, unknown>>;
interface Person {
  ask: Ask;
}

async function signIn(db: pg.Pool, url: string, name: string): Promise<Person> {
  const { id, token, hash } = createToken();
  await addToken(db, { id, name, hash, scopes: ["read", "review", "operate"] });
  let cookie = "";
  const ask: Ask = async (method, path, body) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        cookie,
        "x-maitred-desk": "1",
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    cookie ||= response.headers.getSetCookie()[0]?.split(";")[0] ?? "";
    const bytes = Buffer.from(await response.arrayBuffer());
    const isJson = response.headers.get("content-type")?.includes("json");
    return isJson ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : {};
  };
  await ask("POST", "/desk/api/session", { token });
  return { ask };
}

async function measure(
  { ask }: Person,
  photos: number,
  pictured: readonly string[],
  say: (line: string) => void,
): Promise<Answers[]> {
  const all: Answers[] = [];
  async function time<T>(
    what: string,
    work: (n: number) => Promise<T>,
    then?: (answer: T) => Promise<unknown>,
  ): Promise<void> {
    const times = timesOf(await timed(REQUESTS, work, then));
    all.push({ what, ...times });
    say(`${what}: p50 ${times.p50Ms.toFixed(1)} ms, p95 ${times.p95Ms.toFixed(1)} ms`);
  }
  const claim = async (body: object): Promise<string[]> => {
    const answer = (await ask("POST", "/desk/api/review/claims", body)) as { photos: { id: string }[] };
    return answer.photos.map(({ id }) => id);
  };
  const give = async (ids: string[]): Promise<void> => {
    if (ids.length === 0) throw new Error("expected more photos that wait: measure with 100,000 or more");
    await ask("POST", "/desk/api/review/claims/release", { photos: ids });
  };
  const decide = (ids: string[]) =>
    ask("POST", "/desk/api/review/decisions", {
      decisions: ids.map((photo) => ({
        id: randomUUID(),
        photo,
        verdict: "shown",
        category: "food",
        human: false,
      })),
    });

  await time("claim 50 photos", () => claim({ limit: 50 }), give);
  await time("claim 50 menus", () => claim({ limit: 50, kinds: ["verify"] }), give);
  let held = await claim({ limit: 200 });
  await time("decide one photo", () => decide([held.pop()!]));
  await time(
    "claim one more, 49 held",
    async () => (held = await claim({ limit: 50 })),
    ([first]) => decide([first!]),
  );
  await time("renew 50 claims", () => ask("POST", "/desk/api/review/claims/renew", { photos: held }));
  await time(
    // as many as the desk sends together
    "decide 25 photos at once",
    () => decide(held.splice(0, 25)),
    async () => (held = await claim({ limit: 50 })),
  );
  // beyond the second for which they are kept
  await time(
    "the queue's counts",
    () => ask("GET", "/desk/api/review/queue"),
    () => sleep(1_050),
  );
  await time("throughput", () => ask("GET", "/desk/api/review/throughput"));
  await time("a photo's page", (n) => ask("GET", `/desk/api/photos/${1 + ((n * 7_919) % photos)}`));
  const search = (what: string, asked: (n: number) => string): Promise<void> =>
    time(`search: ${what}`, (n) => ask("GET", `/desk/api/photos?${asked(n)}`));
  await search("the newest", () => "");
  await search("a listing", (n) => `listing=${(n * 31) % 5_000}`);
  await search("hidden menus", () => "category=menu&state=hidden");
  await search("what hardly any photo is", () => "humanFrom=0.99999&state=shown");
  await search("a category that no model is sure of", () => "scoreFrom=0.99999");
  await search("a key", (n) => `bucket=photos&key=uploads/${n * 97}-dinner.jpg`);
  await search("a day half a year ago", () => "from=2026-05-01T00:00:00Z&to=2026-05-02T00:00:00Z");
  await time(
    "operate",
    () => ask("GET", "/desk/api/operate"),
    () => sleep(1_050),
  );
  const dashboard = (what: string, asked: string): Promise<void> =>
    time(`dashboards: ${what}`, () => ask("GET", `/desk/api/dashboards/${asked}`));
  await dashboard("a day by hour", "counts?from=2026-11-20&to=2026-11-20");
  await dashboard("thirty days", "counts?from=2026-10-28&to=2026-11-26");
  await dashboard("a year", "counts?from=2025-11-27&to=2026-11-26");
  await dashboard("agreement", "agreement?from=2026-10-28&to=2026-11-26");
  // the scores are of the day on which the photos were made
  const today = new Date().toISOString().slice(0, 10);
  await dashboard("drift", `drift?from=${today}&to=${today}`);
  await dashboard("two listings", "listings?listing=42,4711");
  const links: Record<string, string>[] = [];
  for (const id of pictured) {
    const photo = await ask("GET", `/desk/api/photos/${id}`);
    links.push(photo["links"] as Record<string, string>);
  }
  const picture = (what: string, size: string): Promise<void> =>
    time(what, (n) => ask("GET", links[n % links.length]![size]!));
  await picture("a picture of 320 pixels", "small");
  await picture("a picture of 1,600 pixels", "large");
  // the longest is the first, for which the model is opened
  await picture("where the model sees a human", "heat");
  return all;
}

/** Four fifths shown or hidden, a fifth waiting: the newest are the largest ids, as they come. */
async function fill(db: pg.Pool, photos: number): Promise<void> {
  const step = 100_000;
  for (let from = 1; from <= photos; from += step) {
    await db.query(
      `with made as (
        insert into photos (store, bucket, key, version, listing, state, category, human, rule, reason, decided_by, policy,
          decided_at, registered_at)
        select 's3', 'photos', 'uploads/' || n || '-dinner.jpg', 'v' || n, n % 5000, state,
          (array['food', 'ambience', 'menu', 'other'])[1 + n % 4], (n * 7 % 1000) / 1000.0,
          case state when 'shown' then 'clear' when 'hidden' then 'human'
            else (array['human-uncertain', 'verify', 'category-uncertain'])[1 + n / 5 % 3] end,
          'human 0.12 is between 0.05 and 0.50', 'model:restaurant-6', 'p1', t.at, t.at
        from generate_series($1::bigint, $2) n
        cross join lateral (select case n % 5 when 0 then 'review' when 1 then 'hidden' else 'shown' end as state,
          timestamptz '2026-11-26' - make_interval(secs => ($3 - n) * 31536000.0 / $3) as at) t
        returning *
      ), given as (
        insert into verdicts (photo_id, verdict, rule, reason, category, human, scores, decided_by, policy)
        select id, state, rule, reason, category, human, '{"food": 0.5, "menu": 0.3, "other": 0.1, "ambience": 0.1}',
          decided_by, policy from made
      )
      insert into tags (photo_id, category, score, threshold, model) select id, category, 0.5, 0.4, decided_by from made`,
      [from, Math.min(photos, from + step - 1), photos],
    );
  }
  await db.query("vacuum analyze");
}

const REQUESTS = 100;
