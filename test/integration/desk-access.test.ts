import { expect, vi } from "vitest";
import { deskRoutes } from "../../src/http/desk/desk.ts";
import { createToken } from "../../src/http/tokens.ts";
import { addToken, revokeToken } from "../../src/store/tokens.ts";
import { askerOf, test } from "../desk.ts";
import { ended } from "../maitred.ts";

test("a token signs somebody in by its scopes, with a cookie that no script reads, until they sign out", async ({
  openDesk,
}) => {
  const desk = await openDesk();
  expect((await desk.ask("GET", "/desk/api/session")).body).toEqual({ signedIn: false, oidc: false });
  const ann = await desk.signIn("ann", "review", "read");

  const { body } = await ann.ask("GET", "/desk/api/session");
  expect(body).toMatchObject({ signedIn: true, name: "ann", idleS: 7_200 });
  expect(body.roles.toSorted()).toEqual(["moderator", "viewer"]);
  expect(body.settings).toEqual({
    blur: true,
    leaseS: 120,
    categories: ["food", "ambience", "menu", "other"],
  });

  const out = await ann.ask("DELETE", "/desk/api/session");
  expect(out.status).toBe(204);
  expect(out.headers.getSetCookie()[0]).toMatch(/^maitred-\d+=;/);
  expect((await ann.ask("GET", "/desk/api/session")).body.signedIn).toBe(false);
  expect((await ann.ask("GET", "/desk/api/review/queue")).status).toBe(401);
});

test("the cookie is the host's own, and of https alone, where browsers come over https", async ({
  openDesk,
  db,
}) => {
  const token = createToken();
  await addToken(db.pool, { ...token, name: "ann", scopes: ["review"] });
  const near = await openDesk();
  const [plain] = (
    await near.ask("POST", "/desk/api/session", { token: token.token })
  ).headers.getSetCookie();
  expect(plain).toMatch(/^maitred-\d+=[\w-]+; Max-Age=43200; Path=\/desk; HttpOnly; SameSite=Strict$/);
  const far = await openDesk({ MAITRED_DESK_URL: "https://photos.example.com" });
  const [secure] = (
    await far.ask("POST", "/desk/api/session", { token: token.token })
  ).headers.getSetCookie();
  expect(secure).toMatch(
    /^__Host-maitred=[\w-]+; Max-Age=43200; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
  );
});

test("no route is for those who are not signed in, and each is for its role alone", async ({ openDesk }) => {
  const desk = await openDesk();
  const people = {
    viewer: await desk.signIn("vic", "read"),
    moderator: await desk.signIn("ann", "review"),
    operator: await desk.signIn("oda", "operate"),
  };
  for (const { method, url, role } of deskRoutes) {
    const path = url.replace(":id", "999");
    const body = method === "POST" ? {} : undefined;
    expect((await desk.ask(method, path, body)).status, `${method} ${url}`).toBe(401);
    for (const [name, person] of Object.entries(people)) {
      const { status } = await person.ask(method, path, body);
      const refused = role !== "any" && role !== name;
      expect(status === 403, `${method} ${url} as ${name}: ${status}`).toBe(refused);
    }
  }
});

test("what another site makes a browser send is refused", async ({ openDesk }) => {
  const desk = await openDesk();
  const ann = await desk.signIn("ann", "review");
  const { origin } = new URL(desk.url);
  const send = (headers: object) => ann.ask("POST", "/desk/api/review/claims", {}, headers);
  expect((await send({ origin, "sec-fetch-site": "same-origin" })).status).toBe(200);
  for (const forged of [
    { "x-maitred-desk": "" },
    { origin: "https://evil.example" },
    { origin: "null" },
    { "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
  ]) {
    expect((await send(forged)).status, JSON.stringify(forged)).toBe(403);
    expect((await ann.ask("DELETE", "/desk/api/session", undefined, forged)).status).toBe(403);
  }
  const far = await openDesk({ MAITRED_DESK_URL: "https://photos.example.com" });
  const headers = { origin: "https://photos.example.com" };
  expect((await far.ask("POST", "/desk/api/session", { token: "x" }, headers)).status).toBe(401);
  expect((await far.ask("POST", "/desk/api/session", { token: "x" }, { origin })).status).toBe(403);
});

test("a session ends with its token, revoked or gone, by an operator, when it is idle and when its time is over", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const oda = await desk.signIn("oda", "operate");
  const [ann, bob, cat, dan, eve] = [
    await desk.signIn("ann", "review"),
    await desk.signIn("bob", "review"),
    await desk.signIn("cat", "review"),
    await desk.signIn("dan", "review"),
    await desk.signIn("eve", "review"),
  ];
  const holds = async (person: typeof ann) =>
    (await person.ask("GET", "/desk/api/review/queue")).status === 200;

  const { sessions } = (await oda.ask("GET", "/desk/api/sessions")).body;
  expect(sessions.map(({ name }: { name: string }) => name).sort()).toEqual([
    "ann",
    "bob",
    "cat",
    "dan",
    "eve",
    "oda",
  ]);
  await revokeToken(db.pool, ann.tokenId);
  const bobs = sessions.find(({ name }: { name: string }) => name === "bob");
  expect((await oda.ask("DELETE", `/desk/api/sessions/${bobs.id}`)).status).toBe(204);
  expect((await oda.ask("DELETE", `/desk/api/sessions/${bobs.id}`)).status).toBe(404);
  await db.pool.query(
    "update desk_sessions set seen_at = now() - interval '2 hours 1 minute' where name = 'cat'",
  );
  await db.pool.query("update desk_sessions set ends_at = now() where name = 'dan'");
  await db.pool.query("delete from tokens where id = $1", [eve.tokenId]);

  for (const person of [ann, bob, cat, dan, eve]) expect(await holds(person)).toBe(false);
  expect(await holds(oda)).toBe(true);
  const left = (await oda.ask("GET", "/desk/api/sessions")).body.sessions;
  expect(left).toMatchObject([{ name: "oda", own: true, by: `token:${oda.tokenId}` }]);
});

test("a session that a person uses does not become idle; one whose page asks by itself does", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const ann = await desk.signIn("ann", "review");
  await db.pool.query("update desk_sessions set seen_at = now() - interval '90 minutes'");
  const seen = async () =>
    (await db.pool.query("select seen_at > now() - interval '1 minute' as seen from desk_sessions")).rows[0]
      .seen;
  const ask = async (headers: object) =>
    expect((await ann.ask("POST", "/desk/api/review/claims/renew", { photos: ["1"] }, headers)).status).toBe(
      200,
    );
  await ask({ "x-maitred-desk": "idle" });
  expect(await seen()).toBe(false);
  // nor may whoever knows its id, which is no secret
  const stranger = askerOf(desk.url, ann.cookie.replace(/_.*/, `_${"A".repeat(43)}`));
  const heard = await stranger("GET", "/desk/api/review/queue", undefined, { "x-maitred-desk": "1" });
  expect(heard.status).toBe(401);
  expect(await seen()).toBe(false);
  // what a browser keeps open, or fetches as a picture, has no header
  const leave = new AbortController();
  const live = await fetch(`${desk.url}/desk/api/live`, {
    headers: { cookie: ann.cookie },
    signal: leave.signal,
  });
  const reader = live.body!.pipeThrough(new TextDecoderStream()).getReader();
  // the process looks who is signed in, and finds her
  for (let heard = ""; !heard.includes("event: beat"); heard += (await reader.read()).value);
  expect(await seen()).toBe(false);
  leave.abort();
  await ask({ "x-maitred-desk": "1" });
  expect(await seen()).toBe(true);
});

test("the database has nothing that signs in, and another secret does not", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const ann = await desk.signIn("ann", "review");
  const [, cookie, id, secret] = /^(.+)=([0-9a-f]{12})_(.+)$/.exec(ann.cookie)!;
  const { rows } = await db.pool.query("select desk_sessions::text as row from desk_sessions");
  expect(rows[0].row).not.toContain(secret);
  expect(rows[0].row).not.toContain(Buffer.from(secret!, "base64url").toString("hex"));
  const forged = (value: string) => askerOf(desk.url, `${cookie}=${id}_${value}`);
  expect((await forged(secret!)("GET", "/desk/api/review/queue")).status).toBe(200);
  expect((await forged("A".repeat(43))("GET", "/desk/api/review/queue")).status).toBe(401);
});

test("wrong tokens are refused and after some not looked at, and a good one of an uploader opens no desk", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk({ MAITRED_AUTH_LIMIT: "3" });
  const upload = createToken();
  await addToken(db.pool, { ...upload, name: "uploads", scopes: ["ingest"] });
  const sign = (token: string) => desk.ask("POST", "/desk/api/session", { token });
  expect((await sign(upload.token)).status).toBe(403);
  const ann = createToken();
  await addToken(db.pool, { ...ann, name: "ann", scopes: ["review"] });
  // its id is no secret
  const guessed = createToken().token.replace(/(?<=^mtd_)[^_]+/, ann.id);
  for (const wrong of ["", "mtd_x", guessed]) expect((await sign(wrong)).status).toBe(401);
  const refused = await sign(createToken().token);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
});

test("cookies of no session are after some not looked up, and keep out nobody who has one or a token", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk({ MAITRED_AUTH_LIMIT: "3" });
  const ann = await desk.signIn("ann", "review");
  const stranger = (n: number) =>
    askerOf(desk.url, ann.cookie.replace(/=.*/, `=${String(n).padStart(12, "0")}_${"A".repeat(43)}`));
  for (const n of [1, 2, 3])
    expect((await stranger(n)("GET", "/desk/api/session")).body.signedIn).toBe(false);
  await db.pool.query("alter table desk_sessions rename to gone");
  // it would be 500 if Postgres were asked
  expect((await stranger(4)("GET", "/desk/api/review/queue")).status).toBe(429);
  // nor is it of one that was of no session before
  expect((await stranger(1)("GET", "/desk/api/review/queue")).status).toBe(401);
  await db.pool.query("alter table gone rename to desk_sessions");
  expect((await ann.ask("GET", "/desk/api/review/queue")).status).toBe(200);
  const bob = createToken();
  await addToken(db.pool, { ...bob, name: "bob", scopes: ["review"] });
  const { status, headers } = await stranger(5)("POST", "/desk/api/session", { token: bob.token });
  expect(status).toBe(200);
  const cookie = headers.getSetCookie()[0]!.split(";")[0]!;
  expect((await askerOf(desk.url, cookie)("GET", "/desk/api/review/queue")).status).toBe(200);
});

test("a one-time link signs in once", async ({ openDesk }) => {
  const desk = await openDesk();
  const link = desk.signInLink({ subject: "link:local", name: "local", roles: ["moderator", "operator"] });
  const [address, code] = link.split("#link=");
  expect(address).toBe(`${desk.url}/desk/`);
  // no proxy is trusted, so that nobody says for others where they are
  const elsewhere = { "x-forwarded-for": "203.0.113.9" };
  const first = await desk.ask("POST", "/desk/api/session", { link: code }, elsewhere);
  expect(first.body).toMatchObject({ signedIn: true, name: "local", roles: ["moderator", "operator"] });
  const again = await desk.ask("POST", "/desk/api/session", { link: code });
  expect(again.status).toBe(401);
  for (const scope of ["review", "operate", "read"]) expect(again.body.detail).toContain(scope);
});

test("a one-time link signs in on this machine alone and for an hour, and is not guessed", async ({
  openDesk,
}) => {
  const desk = await openDesk({ MAITRED_AUTH_LIMIT: "3", MAITRED_TRUSTED_PROXIES: "127.0.0.1" });
  const create = () =>
    desk.signInLink({ subject: "link:local", name: "local", roles: ["moderator"] }).split("#link=")[1];
  const [link, old] = [create(), create()];
  const sign = async (code?: string, headers = {}) =>
    (await desk.ask("POST", "/desk/api/session", { link: code }, headers)).status;
  expect(await sign(link, { "x-forwarded-for": "203.0.113.9" })).toBe(401);
  expect(await sign(link)).toBe(200);
  vi.useFakeTimers({ toFake: ["Date"] });
  try {
    vi.setSystemTime(Date.now() + 61 * 60_000);
    expect(await sign(old)).toBe(401);
    for (const wrong of ["x", "y"]) expect(await sign(wrong)).toBe(401);
    expect(await sign("z")).toBe(429);
  } finally {
    vi.useRealTimers();
  }
});

test("whoever signs in where somebody is signed in ends that session", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const ann = await desk.signIn("ann", "review");
  const bob = createToken();
  await addToken(db.pool, { ...bob, name: "bob", scopes: ["review"] });
  expect((await ann.ask("POST", "/desk/api/session", { token: bob.token })).body.name).toBe("bob");
  expect((await ann.ask("GET", "/desk/api/review/queue")).status).toBe(401);
  const { rows } = await db.pool.query("select who, did from audit_log order by id");
  expect(rows.map(({ who, did }) => `${who} ${did}`)).toEqual([
    "ann signed-in",
    "ann signed-out",
    "bob signed-in",
  ]);
  // a wrong token ends nothing
  const cat = await desk.signIn("cat", "review");
  expect((await cat.ask("POST", "/desk/api/session", { token: "wrong" })).status).toBe(401);
  expect((await cat.ask("GET", "/desk/api/review/queue")).status).toBe(200);
});

test("what the page of one person asks for is not done as another who signed in since", async ({
  openDesk,
}) => {
  const desk = await openDesk();
  const bob = await desk.signIn("bob / ünal", "review");
  const claims = (as: string) =>
    bob.ask("POST", "/desk/api/review/claims", {}, { "x-maitred-as": encodeURIComponent(as) });
  expect((await claims("bob / ünal")).status).toBe(200);
  const refused = await claims("ann");
  expect(refused.status).toBe(401);
  expect(refused.body.detail).toBe("bob / ünal signed in since in this browser");
});

test("two desks on one host do not take each other's cookies", async ({ openDesk }) => {
  const names = [];
  for (const desk of [await openDesk(), await openDesk()]) {
    const { cookie } = await desk.signIn(`of ${desk.url}`, "review");
    expect(cookie).toContain(`maitred-${new URL(desk.url).port}=`);
    names.push(cookie.split("=")[0]);
  }
  expect(new Set(names).size).toBe(2);
});

test("a name is one person's: another who is called so gets a number, and a person keeps their name", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const viaLink = async (subject: string, name: string) => {
    const [, link] = desk.signInLink({ subject, name, roles: ["moderator"] }).split("#link=");
    return (await desk.ask("POST", "/desk/api/session", { link })).body.name;
  };
  expect(await viaLink("oidc:77", "kim@example.com")).toBe("kim@example.com");
  expect(await viaLink("oidc:78", "kim@example.com")).toBe("kim@example.com (2)");
  expect(await viaLink("oidc:79", "kim@example.com")).toBe("kim@example.com (3)");
  // whatever the provider calls them now
  expect(await viaLink("oidc:78", "kim.lee@example.com")).toBe("kim@example.com (2)");
  // the name of a token is not to be had, also before anybody signed in with it
  const first = createToken();
  expect(await addToken(db.pool, { ...first, name: "ann", scopes: ["review"] })).toBe(true);
  expect(await viaLink("oidc:80", "ann")).toBe("ann (2)");
  expect((await desk.ask("POST", "/desk/api/session", { token: first.token })).body.name).toBe("ann");
  // nor is it by another token, until that one is revoked; then it is the same person's
  const second = createToken();
  expect(await addToken(db.pool, { ...second, name: "ann", scopes: ["review"] })).toBe(false);
  await revokeToken(db.pool, first.id);
  expect(await addToken(db.pool, { ...second, name: "ann", scopes: ["review"] })).toBe(true);
  expect((await desk.ask("POST", "/desk/api/session", { token: second.token })).body.name).toBe("ann");
  expect(await viaLink("oidc:81", "ann")).toBe("ann (3)");
  // and whoever names a token like somebody of the provider does not make it theirs
  const like = createToken();
  await addToken(db.pool, { ...like, name: "kim@example.com", scopes: ["review"] });
  const { name } = (await desk.ask("POST", "/desk/api/session", { token: like.token })).body;
  expect(name).toBe("kim@example.com (4)");
});

test("maitred token create refuses a name that is in use, and says what to do", async ({ db }) => {
  const env = { DATABASE_URL: db.url };
  const create = () => ended(["token", "create", "--scopes", "review", "--json", "ann"], env);
  const first = await create();
  expect(first.code).toBe(0);
  const { id } = JSON.parse(first.out);
  const second = await create();
  expect([second.code, second.out]).toEqual([1, ""]);
  expect(second.err).toContain(`maitred token revoke ${id}`);
});

test("who signed in, out, and ended whose session is in the audit log, which nobody changes", async ({
  openDesk,
  db,
}) => {
  const desk = await openDesk();
  const oda = await desk.signIn("oda", "operate");
  const ann = await desk.signIn("ann", "review");
  await ann.ask("DELETE", "/desk/api/session");
  const page = (await oda.ask("GET", "/desk/api/audit?limit=2")).body;
  expect(page.entries.map(({ who, did }: { who: string; did: string }) => [who, did])).toEqual([
    ["ann", "signed-out"],
    ["ann", "signed-in"],
  ]);
  const rest = (await oda.ask("GET", `/desk/api/audit?limit=2&before=${page.next}`)).body;
  expect(rest).toMatchObject({ entries: [{ who: "oda", did: "signed-in", photo: null }], next: null });
  // a token is known by its name
  await db.pool.query("insert into audit_log (who, did, about) values ('token:' || $1, 'appealed', '{}')", [
    oda.tokenId,
  ]);
  const [told] = (await oda.ask("GET", "/desk/api/audit?limit=1")).body.entries;
  expect(told).toMatchObject({ who: `token:${oda.tokenId}`, token: "oda", did: "appealed" });
  expect(rest.entries[0].token).toBeNull();
  for (const change of ["update audit_log set who = 'x'", "delete from audit_log"]) {
    await expect(db.pool.query(change)).rejects.toMatchObject({ code: "MD409" });
  }
});

test("maitred session lists who is signed in, and revokes", async ({ openDesk, db }) => {
  const desk = await openDesk();
  const ann = await desk.signIn("ann", "review");
  const env = { DATABASE_URL: db.url };
  const list = await ended(["session", "list", "--json"], env);
  expect(list.code).toBe(0);
  const [session] = JSON.parse(list.out);
  expect(session).toMatchObject({ name: "ann", roles: ["moderator"], subject: `token:${ann.tokenId}` });
  expect(list.out).not.toContain("hash");
  const revoke = await ended(["session", "revoke", "--by", "oda", session.id], env);
  expect(revoke.code).toBe(0);
  expect((await ann.ask("GET", "/desk/api/review/queue")).status).toBe(401);
  expect((await ended(["session", "revoke", session.id], env)).code).toBe(1);
  const { rows } = await db.pool.query("select who, did from audit_log order by id desc limit 1");
  expect(rows).toEqual([{ who: "oda", did: "revoked" }]);
});
