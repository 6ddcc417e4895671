import { expect } from "vitest";
import { createOidc, rolesOf } from "../../src/http/desk/oidc.ts";
import { askerOf, test as base, type Desk } from "../desk.ts";
import { freePort } from "../free-port.ts";
import { type Account, Browser, startProvider, type TestProvider } from "../oidc-provider.ts";

interface Both {
  desk: Desk;
  host: string;
  provider: TestProvider;
}

const test = base.extend<{ openBoth(account: Account, env?: Record<string, string>): Promise<Both> }>({
  openBoth: async ({ openDesk }, use) => {
    const open: TestProvider[] = [];
    await use(async (account, env = {}) => {
      const port = await freePort();
      const url = `http://127.0.0.1:${port}`;
      const client = { id: "desk", secret: "s".repeat(40), redirect: `${url}/desk/api/oidc/callback` };
      const provider = await startProvider(client, { id: "sub-77", ...account });
      open.push(provider);
      const desk = await openDesk({
        MAITRED_API_PORT: String(port),
        MAITRED_DESK_URL: url,
        MAITRED_OIDC_ISSUER: provider.issuer,
        MAITRED_OIDC_CLIENT_ID: client.id,
        MAITRED_OIDC_CLIENT_SECRET: client.secret,
        MAITRED_OIDC_SCOPES: "openid email groups",
        MAITRED_OIDC_ROLES: "groups=mods:moderator,groups=ops:operator",
        ...env,
      });
      return { desk, host: `127.0.0.1:${port}`, provider };
    });
    for (const provider of open) await provider.close();
  },
});

const cookieOf = (host: string): string => `maitred-${host.split(":")[1]}`;

test("who comes back from the provider has the roles of their groups, and the name of their claim", async ({
  openBoth,
}) => {
  const { desk, host } = await openBoth({ email: "ann@example.com", groups: ["all", "mods"] });
  expect((await desk.ask("GET", "/desk/api/session")).body).toEqual({ signedIn: false, oidc: true });
  const browser = new Browser();
  const end = await browser.follow(`${desk.url}/desk/api/oidc/start?to=/desk/review`, (url) =>
    url.pathname.startsWith("/desk/review"),
  );
  expect(end.href).toBe(`${desk.url}/desk/review`);
  const asked = new URL(browser.visited[1]!).searchParams;
  expect(Object.fromEntries(asked)).toMatchObject({
    response_type: "code",
    code_challenge_method: "S256",
    state: expect.stringMatching(/.{20}/),
    nonce: expect.stringMatching(/.{20}/),
  });
  const ask = askerOf(desk.url, browser.cookieOf(host, cookieOf(host)));
  const { body } = await ask("GET", "/desk/api/session");
  expect(body).toMatchObject({ signedIn: true, name: "ann@example.com", roles: ["moderator"] });
  expect((await ask("POST", "/desk/api/review/claims", {})).status).toBe(200);
});

test("who has no role here is not signed in", async ({ openBoth }) => {
  const { desk, host } = await openBoth({ email: "eve@example.com", groups: ["guests"] });
  const browser = new Browser();
  const end = await browser.follow(`${desk.url}/desk/api/oidc/start`, (url) =>
    url.searchParams.has("problem"),
  );
  expect(end.href).toBe(`${desk.url}/desk/?problem=oidc-no-role`);
  expect(browser.cookieOf(host, cookieOf(host))).toBe(`${cookieOf(host)}=`);
});

// as text is how Cognito says it
test.for([false, "false"])(
  "an address that the provider has not checked names nobody, and gives nobody a role (%j)",
  async (verified, { openBoth }) => {
    const account = { email: "ann@example.com", verified, groups: ["mods"] };
    const end = async (env: Record<string, string>) => {
      const { desk } = await openBoth(account, env);
      return new Browser().follow(`${desk.url}/desk/api/oidc/start`, (url) =>
        /^\/desk\/$/.test(url.pathname),
      );
    };
    expect((await end({})).search).toBe("?problem=oidc-unverified");
    const rule = { MAITRED_OIDC_NAME: "sub", MAITRED_OIDC_ROLES: "email=ann@example.com:operator,*:viewer" };
    expect((await end(rule)).search).toBe("?problem=oidc-unverified");
    // where nothing depends on the address, it does not matter
    expect((await end({ MAITRED_OIDC_NAME: "sub" })).search).toBe("");
  },
);

test("whoever signs in anew at the provider leaves the session that they had", async ({ openBoth, db }) => {
  const { desk } = await openBoth({ email: "ann@example.com", groups: ["mods"] });
  const browser = new Browser();
  const signIn = () =>
    browser.follow(`${desk.url}/desk/api/oidc/start`, (url) => url.href === `${desk.url}/desk/`);
  const held = async () =>
    (await db.pool.query("select ended_at is null as holds from desk_sessions order by started_at")).rows;
  await signIn();
  // a browser, unlike this one, does not send that session's cookie along when the provider sends it back
  await browser.follow(`${desk.url}/desk/api/oidc/start`, (url) => url.pathname.endsWith("/callback"));
  expect(await held()).toEqual([{ holds: false }]);
  await signIn();
  expect(await held()).toEqual([{ holds: false }, { holds: true }]);
});

test.for([
  "ann@example.com\u200b",
  "\u202eann@example.com",
  "ann@example.com ",
  "ann  lee",
  "rene\u0301",
  "a".repeat(201),
])(
  "who has a name that only looks like another's, or none that can be read, is called by their subject (%j)",
  async (email, { openBoth }) => {
    const { desk, host } = await openBoth({ email, groups: ["mods"] });
    const browser = new Browser();
    await browser.follow(`${desk.url}/desk/api/oidc/start`, (url) => url.pathname.endsWith("/desk/"));
    const ask = askerOf(desk.url, browser.cookieOf(host, cookieOf(host)));
    expect((await ask("GET", "/desk/api/session")).body).toMatchObject({ signedIn: true, name: "sub-77" });
  },
);

test("whoever has the same subject at another provider is somebody else", async ({ openBoth, db }) => {
  const account = { email: "ann@example.com", groups: ["mods"] };
  const names: string[] = [];
  for (const { desk, host } of [await openBoth(account), await openBoth(account)]) {
    const browser = new Browser();
    await browser.follow(`${desk.url}/desk/api/oidc/start`, (url) => url.href === `${desk.url}/desk/`);
    const ask = askerOf(desk.url, browser.cookieOf(host, cookieOf(host)));
    names.push((await ask("GET", "/desk/api/session")).body.name);
  }
  expect(names).toEqual(["ann@example.com", "ann@example.com (2)"]);
  const { rows } = await db.pool.query("select subject from desk_people order by name");
  expect(rows.map(({ subject }) => subject)).toEqual([
    expect.stringMatching(/^oidc:http:\/\/\S+#sub-77$/),
    expect.stringMatching(/^oidc:http:\/\/\S+#sub-77$/),
  ]);
});

test("an answer that is used again, forged, or of another sign-in signs nobody in", async ({ openBoth }) => {
  const { desk, host } = await openBoth({ email: "ann@example.com", groups: ["mods"] });
  const start = `${desk.url}/desk/api/oidc/start`;
  const isCallback = (url: URL): boolean => url.pathname.endsWith("/callback");
  const answerOf = async (browser: Browser) => browser.follow(start, isCallback);
  const outcome = async (browser: Browser, url: URL): Promise<string> => {
    const location = (await browser.get(url)).headers.get("location")!;
    return `${location} ${browser.cookies.get(host)?.has(cookieOf(host)) ? "in" : "out"}`;
  };

  const mine = new Browser();
  const answer = await answerOf(mine);
  // as somebody would have it who sends another person a link with an answer of their own
  const other = new Browser();
  await answerOf(other);
  expect(await outcome(other, answer)).toBe("/desk/?problem=oidc-failed out");
  expect(await outcome(new Browser(), answer)).toBe("/desk/?problem=oidc-expired out");

  const forged = new Browser();
  const changed = await answerOf(forged);
  changed.searchParams.set("state", "x".repeat(43));
  expect(await outcome(forged, changed)).toBe("/desk/?problem=oidc-failed out");

  expect(await outcome(mine, answer)).toBe("/desk/ in");
  const again = new Browser();
  const used = await answerOf(again);
  const pending = new Map(again.cookies.get(host));
  expect(await outcome(again, used)).toBe("/desk/ in");
  const replayed = new Browser();
  replayed.cookies.set(host, pending);
  expect(await outcome(replayed, used)).toBe("/desk/?problem=oidc-failed out");
});

test("whoever makes up answers has the provider asked only so often", async ({ openBoth }) => {
  const { desk, host } = await openBoth({}, { MAITRED_AUTH_LIMIT: "2" });
  const pending = Buffer.from(JSON.stringify({ state: "s", nonce: "n", verifier: "v" })).toString(
    "base64url",
  );
  const ask = askerOf(desk.url, `maitred-oidc-${host.split(":")[1]}=${pending}`);
  const ends: (string | null)[] = [];
  for (const code of ["a", "b", "c"]) {
    const { headers } = await ask("GET", `/desk/api/oidc/callback?state=s&code=${code}`);
    ends.push(headers.get("location"));
  }
  const failed = "/desk/?problem=oidc-failed";
  expect(ends).toEqual([failed, failed, "/desk/?problem=oidc-often"]);
});

test("nobody's link or cookie makes the desk send people elsewhere", async ({ openBoth }) => {
  const { desk, host } = await openBoth({ email: "ann@example.com", groups: ["mods"] });
  for (const to of [
    "https://evil.example/",
    "//evil.example/desk/",
    "/desk/\\evil.example",
    "/desk/../v1/photos\n",
  ]) {
    const end = await new Browser().follow(
      `${desk.url}/desk/api/oidc/start?to=${encodeURIComponent(to)}`,
      (url) => url.href.startsWith(desk.url) && !url.pathname.includes("oidc"),
    );
    expect(new URL(end).origin, to).toBe(desk.url);
  }
  const browser = new Browser();
  const callback = await browser.follow(`${desk.url}/desk/api/oidc/start`, (url) =>
    url.pathname.endsWith("/callback"),
  );
  const jar = browser.cookies.get(host)!;
  const name = `maitred-oidc-${host.split(":")[1]}`;
  const pending = JSON.parse(Buffer.from(jar.get(name)!, "base64url").toString());
  const elsewhere = JSON.stringify({ ...pending, to: "https://evil.example/" });
  jar.set(name, Buffer.from(elsewhere).toString("base64url"));
  expect((await browser.get(callback)).headers.get("location")).toBe("/desk/");
});

test("while the provider is away the API runs, and says so to who wants to sign in", async ({ openBoth }) => {
  const { desk, provider } = await openBoth({});
  await provider.close();
  const end = await new Browser().follow(`${desk.url}/desk/api/oidc/start`, (url) =>
    url.searchParams.has("problem"),
  );
  expect(end.href).toBe(`${desk.url}/desk/?problem=oidc-away`);
  // whoever has a session keeps it
  const vic = await desk.signIn("vic", "read");
  await vic.ask("GET", "/desk/api/oidc/start");
  expect((await vic.ask("GET", "/desk/api/session")).body).toMatchObject({ signedIn: true, name: "vic" });
});

const SETTINGS = {
  oidcIssuer: "https://id.example.com",
  oidcClientId: "desk",
  oidcClientSecret: "",
  oidcScopes: "openid",
  oidcName: "email",
  oidcRoles: ["*:viewer"],
  deskUrl: "https://photos.example.com",
};

base("settings that do not fit together are told all at once", () => {
  expect(createOidc({ ...SETTINGS, oidcIssuer: "" })).toBeUndefined();
  expect(createOidc(SETTINGS)).toBeDefined();
  const over = (oidcIssuer: string) => () => createOidc({ ...SETTINGS, oidcIssuer });
  for (const near of ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:8080"])
    expect(over(near)()).toBeDefined();
  for (const far of ["http://localhost.example.com", "http://127.0.0.1.example.com", "ftp://localhost"])
    expect(over(far)).toThrow("expected an https:// URL");
  const wrong = {
    ...SETTINGS,
    oidcIssuer: "http://id.example.com",
    oidcClientId: "",
    oidcRoles: [],
    deskUrl: "",
  };
  expect(() => createOidc(wrong)).toThrow(
    /MAITRED_OIDC_CLIENT_ID[\s\S]*MAITRED_DESK_URL[\s\S]*MAITRED_OIDC_ROLES[\s\S]*MAITRED_OIDC_ISSUER/,
  );
});

base("roles are given by what claims say, and nothing by what they do not", () => {
  const rules = ["groups=photo mods:moderator", "email=oda@x.org:operator", "*:viewer", "a=b=c:operator"];
  expect(rolesOf({}, rules)).toEqual(["viewer"]);
  expect(rolesOf({ groups: ["photo mods", 7] }, rules)).toEqual(["viewer", "moderator"]);
  expect(rolesOf({ groups: "photo mods", email: "oda@x.org" }, rules)).toEqual([
    "viewer",
    "moderator",
    "operator",
  ]);
  expect(
    rolesOf({ admin: true, level: [3] }, ["admin=true:operator", "level=3:viewer", "admin=1:moderator"]),
  ).toEqual(["viewer", "operator"]);
  expect(rolesOf({ a: "b=c" }, rules)).toEqual(["viewer", "operator"]);
  expect(rolesOf({ groups: { 0: "photo mods" }, email: null }, rules.slice(0, 2))).toEqual([]);
  expect(
    rolesOf({ groups: ["no photo mods", "photo"], email: "oda@x.org.example" }, rules.slice(0, 2)),
  ).toEqual([]);
});
