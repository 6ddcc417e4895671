import { expect } from "vitest";
import { createToken } from "../../src/http/tokens.ts";
import type { PhotoEvent } from "../../src/intake/event.ts";
import { type EventDeps, ingestTogether } from "../../src/intake/ingest-events.ts";
import { createLog } from "../../src/log.ts";
import { addToken, revokeToken } from "../../src/store/tokens.ts";
import { openEventIntake } from "../../src/wiring/intake.ts";
import { startApi } from "../../workers/api.ts";
import { BACKENDS, type Backend, test as base, transaction } from "../fixtures.ts";

interface Opened {
  events: EventDeps;
  waiting(): Promise<number>;
  post(key: string): Promise<Response>;
  tokenId: string;
}

const test = base.extend<{ open(backend: Backend): Promise<Opened> }>({
  open: async ({ configFor, db, scope }, use) => {
    await use(async (backend) => {
      const config = configFor(backend, { MAITRED_API_PORT: "0" });
      const log = createLog("silent");
      const { events, waiting } = await openEventIntake(config, log, scope);
      const { url } = await startApi(config, log, scope);
      const { id, token, hash } = createToken();
      await addToken(db.pool, { id, name: "t", hash, scopes: ["ingest"] });
      const post = (key: string) =>
        fetch(`${url}/v1/photos`, {
          method: "POST",
          headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
          body: JSON.stringify({ bucket: "b", key }),
        });
      return { events, waiting, post, tokenId: id };
    });
  },
});

const created = (key: string): PhotoEvent => ({
  kind: "created",
  store: "s3",
  bucket: "b",
  key,
  version: "",
  order: null,
  receivedAt: new Date(),
  known: {},
});

/** Makes Postgres fail for one key, as it would for something that nobody thought of. */
const POISON = `create function refuse() returns trigger language plpgsql as
  $$ begin if new.key = 'poison' then raise exception 'no'; end if; return new; end $$;
  create trigger refuse before insert on photos for each row execute function refuse()`;

test.for(BACKENDS)(
  "with the queue on %s, of requests that are taken together a bad one fails alone",
  async (backend, { open, db }) => {
    const { events, waiting, post } = await open(backend);
    await db.pool.query(POISON);
    const [first, bad, both, none] = await ingestTogether(events, [
      [created("a")],
      [created("poison")],
      [created("b"), created("a")],
      [],
    ]);
    expect(first).toMatchObject([{ outcome: "accepted", queue: true }]);
    expect(bad).toMatchObject({ message: "no" });
    expect(both).toMatchObject([{ outcome: "accepted" }, { outcome: "known" }]);
    expect(none).toEqual([]);
    expect(await waiting()).toBe(2);

    const keys = Array.from({ length: 60 }, (_, n) => (n === 30 ? "poison" : `k${n}`));
    const answers = await Promise.all(keys.map(post));
    expect(answers.map(({ status }) => status)).toEqual(keys.map((key) => (key === "poison" ? 500 : 202)));
    const ids = await Promise.all(answers.map(async (each) => ((await each.json()) as { id?: string }).id));
    const { rows } = await db.pool.query("select id, key from photos where key like 'k%'");
    expect(rows).toHaveLength(59);
    // each was told of its own photo
    for (const { id, key } of rows) expect(ids[keys.indexOf(key)]).toBe(id);
    expect(await waiting()).toBe(61);
  },
);

test("a request that must wait for another's lock does not hold up those that come after it", async ({
  open,
  db,
}) => {
  const { post } = await open("postgres");
  expect((await post("contended")).status).toBe(202);
  const rival = await transaction(db);
  await rival.query("select from object_order where key = 'contended' for update");
  let answered = false;
  const waits = post("contended").finally(() => {
    answered = true;
  });
  const locked = async () =>
    (
      await db.pool.query(
        "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
      )
    ).rowCount;
  await expect.poll(locked).toBe(1);
  const others = await Promise.all(["x", "y", "z"].map(post));
  expect(others.map(({ status }) => status)).toEqual([202, 202, 202]);
  expect(answered).toBe(false);
  await rival.finish("commit");
  expect((await waits).status).toBe(200);
});

test("a token that is revoked while many use it is refused from then on", async ({ open, db }) => {
  const { post, tokenId } = await open("postgres");
  const many = (name: string) => Array.from({ length: 30 }, (_, n) => post(`${name}${n}`));
  const before = many("a");
  expect(await revokeToken(db.pool, tokenId)).toBe(true);
  const after = await Promise.all(many("b"));
  expect(new Set(after.map(({ status }) => status))).toEqual(new Set([401]));
  await Promise.all(before);
});
