import { Webhook } from "standardwebhooks";
import { describe, expect, onTestFinished } from "vitest";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { deliveryFigures, purgeDeliveries } from "../../src/store/deliveries.ts";
import { enableDestination, listDestinations, readWebhook } from "../../src/store/destinations.ts";
import { recordWith } from "../../src/store/verdicts.ts";
import { startDeliver } from "../../workers/deliver.ts";
import { test as base, type Database, rows } from "../fixtures.ts";
import { ended, maitred, type Running } from "../maitred.ts";
import { type Receiver, startReceiver } from "../receiver.ts";
import { judge, judged, register } from "../verdicts.ts";
import { latch, until } from "../waits.ts";

interface Hook {
  id: string;
  secret: string;
}

const ALLOW = { MAITRED_WEBHOOK_ALLOW: "127.0.0.0/8,::1/128" };

const test = base.extend<{
  receiver: Receiver;
  /** Runs the real command to its end. */
  cli(
    args: string[],
    env?: Record<string, string>,
  ): Promise<{ code: number | string; stdout: string; stderr: string }>;
  hook(url: string): Promise<Hook>;
  /** Starts delivering in this process; failures are tried again after a tenth of a second. */
  start(env?: Record<string, string>): Promise<void>;
}>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  receiver: async ({}, use) => {
    const receiver = await startReceiver();
    await use(receiver);
    await receiver.close();
  },
  cli: async ({ db }, use) => {
    await use(async (args, env = {}) => {
      const { code, out, err } = await ended(args, { DATABASE_URL: db.url, ...ALLOW, ...env });
      return { code, stdout: out, stderr: err };
    });
  },
  hook: async ({ cli }, use) => {
    await use(async (url) => {
      const made = await cli(["destination", "add", "webhook", url, "--json"]);
      expect(made.stderr).toBe("");
      return JSON.parse(made.stdout);
    });
  },
  start: async ({ configFor }, use) => {
    const scopes: Scope[] = [];
    await use(async (env = {}) => {
      const scope = new Scope();
      scopes.push(scope);
      await startDeliver(
        configFor("postgres", { MAITRED_DELIVER_BACKOFF_MS: "100", ...ALLOW, ...env }),
        createLog("silent"),
        scope,
      );
    });
    await Promise.all(scopes.map((scope) => scope.close()));
  },
});

const states = (db: Database) =>
  rows(db, "select destination, state, attempts, last_error from deliveries order by seq, destination");
const allAre = (db: Database, state: string) => async (): Promise<boolean> =>
  (await rows(db, "select from deliveries where state <> $1", state)).length === 0;

describe("a webhook", () => {
  test("is one that the library of Standard Webhooks verifies, and says what became of the photo", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    const { id, secret } = await hook(receiver.url);
    await start();
    const photo = await register(db, "Zoë's café.jpg");
    await judge(db, photo, "shown");
    const [got] = await receiver.got(1);
    expect(new Webhook(secret).verify(got!.body, got!.headers)).toEqual(got!.message);
    expect(() => new Webhook(secret).verify(`${got!.body} `, got!.headers)).toThrow();
    expect(got!.message).toMatchObject({
      type: "photo.verdict",
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      data: { id: photo, key: "Zoë's café.jpg", state: "shown", public: true, sequence: expect.any(Number) },
    });
    expect(got!.headers).toMatchObject({
      "content-type": "application/json",
      "webhook-id": `msg_${id}_${got!.message.data.sequence}`,
    });
    await until(allAre(db, "delivered"));
  });

  test("has two signatures while a key is rotated, and one once that is finished", async ({
    db,
    receiver,
    hook,
    start,
    cli,
  }) => {
    const { id, secret: before } = await hook(receiver.url);
    const after = JSON.parse((await cli(["destination", "rotate", id, "--json"])).stdout).secret as string;
    expect(after).not.toBe(before);
    await start();
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    const [both] = await receiver.got(1);
    expect(both!.headers["webhook-signature"]).toMatch(/^v1,\S+ v1,\S+$/);
    for (const secret of [before, after]) new Webhook(secret).verify(both!.body, both!.headers);
    expect((await cli(["destination", "rotate", id, "--finish"])).code).toBe(0);
    await judge(db, photo, "hidden");
    const one = (await receiver.got(2))[1]!;
    new Webhook(after).verify(one.body, one.headers);
    expect(() => new Webhook(before).verify(one.body, one.headers)).toThrow();
  });

  test("is signed with the key that receivers have also after a new one was lost and rotated again", async ({
    db,
    hook,
    cli,
  }) => {
    const { id, secret } = await hook("http://127.0.0.1:9/");
    const rotate = async () => JSON.parse((await cli(["destination", "rotate", id, "--json"])).stdout);
    expect(await rotate()).toMatchObject({ replaced: false });
    const again = await rotate();
    expect(again).toMatchObject({ replaced: true });
    expect((await readWebhook(db.pool, id))!.secrets).toEqual([again.secret, secret]);
  });

  test("comes again under the same id until it is taken, and then no more", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    await hook(receiver.url);
    const answers = [500, 404, 302, 200];
    receiver.answer = (response) =>
      void response
        .writeHead(answers.shift() ?? 200, { location: receiver.url.replace("hook", "elsewhere") })
        .end();
    await start();
    await judge(db, await register(db, "a"), "shown");
    await until(allAre(db, "delivered"));
    expect(receiver.received.map(({ path }) => path)).toEqual(["/hook", "/hook", "/hook", "/hook"]);
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    expect(await rows(db, "select attempts from deliveries")).toEqual([{ attempts: 4 }]);
  });

  test("of a photo that is forgotten names it and says no more, and leaves nothing behind", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    await hook(receiver.url);
    await start();
    const id = await register(db, "a", "etag:secret");
    await judge(db, id, "shown");
    await until(allAre(db, "delivered"));
    await db.pool.query("delete from photos");
    const [, got] = await receiver.got(2);
    expect(got!.message).toEqual({
      type: "photo.forgotten",
      timestamp: expect.any(String),
      data: { id, sequence: expect.any(Number), bucket: "photos", key: "a" },
    });
    expect(got!.message.data.sequence).toBeGreaterThan(receiver.received[0]!.message.data.sequence);
    await until(async () => (await rows(db, "select from outbox")).length === 0);
  });
});

describe("a receiver", () => {
  /** One that never answers, and one that never ends its answer. */
  async function startSlow(): Promise<[Receiver, Receiver]> {
    const [silent, dripping] = await Promise.all([startReceiver(), startReceiver()]);
    silent.answer = () => {};
    dripping.answer = (response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write("."), 20);
      response.on("close", () => clearInterval(timer));
    };
    return [silent, dripping];
  }

  test("that is slow holds nobody else up", async ({ db, receiver, hook, start }) => {
    const slow = await startSlow();
    for (const { url } of slow) await hook(url);
    const { id } = await hook(receiver.url);
    for (const key of "abcdefghijkl") await judge(db, await register(db, key), "shown");
    await start({
      MAITRED_DELIVER_TIMEOUT_MS: "30000",
      MAITRED_DELIVER_BACKOFF_MS: "3600000",
      MAITRED_DELIVER_CONCURRENCY: "6",
    });
    const taken = "select from deliveries where destination = $1 and state = 'delivered'";
    await until(async () => (await rows(db, taken, id)).length === 12);
    await Promise.all(slow.map(({ got }) => got(2)));
    expect(slow.map(({ received }) => received.length)).toEqual([2, 2]);
    await Promise.all(slow.map((each) => each.close()));
  });

  test("that never answers, or never ends its answer, fails after the time it has", async ({
    db,
    hook,
    start,
  }) => {
    const slow = await startSlow();
    for (const { url } of slow) await hook(url);
    await judge(db, await register(db, "a"), "shown");
    await start({ MAITRED_DELIVER_TIMEOUT_MS: "400", MAITRED_DELIVER_BACKOFF_MS: "3600000" });
    const failed = "select last_error from deliveries where last_error is not null";
    await until(async () => (await rows(db, failed)).length === 2);
    expect(await rows(db, failed)).toEqual(
      slow.map(() => ({ last_error: "no complete answer within 400 ms" })),
    );
    await Promise.all(slow.map((each) => each.close()));
  });

  test("that says much has taken it all the same", async ({ db, receiver, hook, start }) => {
    await hook(receiver.url);
    let closed = (): void => {};
    const cut = new Promise<void>((resolve) => {
      closed = resolve;
    });
    receiver.answer = (response) => {
      response.on("close", closed);
      response.writeHead(200);
      const more = (): void => {
        while (!response.destroyed && response.write("x".repeat(65_536)));
        response.once("drain", more);
      };
      more();
    };
    await start({ MAITRED_DELIVER_TIMEOUT_MS: "30000" });
    await judge(db, await register(db, "a"), "shown");
    await cut;
    await until(allAre(db, "delivered"));
  });

  test("that is down is tried again, and gets everything once it is there, in order", async ({
    db,
    hook,
    start,
  }) => {
    const away = await startReceiver();
    const { port } = away;
    await hook(away.url);
    await away.close();
    await start();
    const photo = await register(db, "a");
    for (const verdict of ["shown", "hidden", "review"] as const) await judge(db, photo, verdict);
    await until(async () => (await rows(db, "select from deliveries where attempts > 1")).length > 0);
    expect((await states(db))[0]).toMatchObject({
      state: "pending",
      last_error: expect.stringContaining("ECONNREFUSED"),
    });
    const back = await startReceiver(port);
    onTestFinished(() => back.close());
    await until(allAre(db, "delivered"));
    expect(back.received.map(({ message }) => message.data.state)).toEqual(["shown", "hidden", "review"]);
  });

  test.for([
    [429, "seconds"],
    [503, "date"],
  ] as const)(
    "that answers %i is left alone for as long as it says, as %s",
    async ([status, form], { db, receiver, hook, start }) => {
      await hook(receiver.url);
      const after = form === "seconds" ? "120" : new Date(Date.now() + 120_000).toUTCString();
      receiver.answer = (response) => void response.writeHead(status, { "retry-after": after }).end();
      await start();
      await judge(db, await register(db, "a"), "shown");
      await until(
        async () => (await rows(db, "select from deliveries where last_error is not null")).length > 0,
      );
      const [{ wait, last_error }] = await rows(
        db,
        "select extract(epoch from next_at - now())::float as wait, last_error from deliveries",
      );
      expect(wait).toBeGreaterThan(90);
      expect(wait).toBeLessThan(121);
      expect(last_error).toBe(`it answered ${status}`);
    },
  );

  test("that answers 410 is told nothing more until somebody enables it, and then goes on", async ({
    db,
    receiver,
    hook,
    start,
    cli,
  }) => {
    const { id } = await hook(receiver.url);
    receiver.answer = (response) => void response.writeHead(410).end();
    await start();
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    await until(async () => (await listDestinations(db.pool))[0]!.enabled === false);
    expect((await listDestinations(db.pool))[0]!.note).toBe("it answered 410 Gone");
    await judge(db, photo, "hidden");
    receiver.answer = (response) => void response.writeHead(204).end();
    expect((await cli(["destination", "enable", id])).code).toBe(0);
    await until(
      async () => (await rows(db, "select from deliveries where state = 'delivered'")).length === 1,
    );
    // what happened while it was off is not told
    expect(receiver.received.at(-1)!.message.data.state).toBe("shown");
    expect(await rows(db, "select from outbox")).toHaveLength(1);
  });

  test("that fails too often has a dead delivery, which blocks nothing, and which a replay sends again", async ({
    db,
    receiver,
    hook,
    start,
    cli,
  }) => {
    const { id } = await hook(receiver.url);
    receiver.answer = (response, { message }) =>
      void response.writeHead(message.data.state === "shown" ? 500 : 200).end();
    await start({ MAITRED_DELIVER_ATTEMPTS: "2" });
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    await judge(db, photo, "hidden");
    await until(async () => (await rows(db, "select from deliveries where state = 'pending'")).length === 0);
    expect(await states(db)).toEqual([
      { destination: id, state: "dead", attempts: 2, last_error: "it answered 500" },
      { destination: id, state: "delivered", attempts: 1, last_error: null },
    ]);
    expect(await deliveryFigures(db.pool)).toEqual([
      {
        destination: id,
        to: new URL(receiver.url).host,
        kind: "webhook",
        enabled: true,
        pending: 0,
        oldestS: 0,
        dead: 1,
      },
    ]);
    const listed = JSON.parse((await cli(["deliveries", "list", "--state", "dead", "--json"])).stdout);
    expect(listed).toMatchObject([
      { destination: id, photoId: photo, lastError: "it answered 500", key: "a" },
    ]);
    const table = (await cli(["deliveries", "list", "--state", "dead"])).stdout;
    expect(table).toMatch(/^sequence +destination +to +.* last error$/m);
    expect(table).toContain(receiver.url);
    expect(table).toMatch(/ it answered 500$/m);
    const shown = JSON.parse((await cli(["deliveries", "show", listed[0].seq, "--json"])).stdout);
    expect(shown).toMatchObject({
      change: "photo.verdict",
      payload: { key: "a" },
      deliveries: [{ state: "dead" }],
    });
    const read = (await cli(["deliveries", "show", listed[0].seq])).stdout;
    expect(read).toMatch(/^ {4}"key": "a",$/m);
    expect(JSON.parse(read)).toEqual(shown);
    receiver.answer = (response) => void response.writeHead(200).end();
    expect((await cli(["deliveries", "replay", "--destination", id])).stdout).toBe(
      "1 deliveries are sent again\n",
    );
    await until(allAre(db, "delivered"));
    const [first, last] = [receiver.received[0]!, receiver.received.at(-1)!];
    expect(last.body).toBe(first.body);
    expect(last.headers["webhook-id"]).toBe(first.headers["webhook-id"]);
  });
});

describe("an address", () => {
  test.for(["localhost", "127.0.0.1"])(
    "%s is refused where it is not allowed, when it is called",
    async (host, { db, receiver, hook, start }) => {
      await hook(receiver.url.replace("127.0.0.1", host).replace("http:", "https:"));
      await start({ MAITRED_WEBHOOK_ALLOW: "10.0.0.0/8", MAITRED_DELIVER_BACKOFF_MS: "3600000" });
      await judge(db, await register(db, "a"), "shown");
      await until(
        async () => (await rows(db, "select from deliveries where last_error is not null")).length > 0,
      );
      expect((await states(db))[0].last_error).toContain("is no address of the public internet");
      expect(receiver.received).toEqual([]);
    },
  );

  test("that a name has is what is judged, so a name of an allowed address is called", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    await hook(receiver.url.replace("127.0.0.1", "localhost"));
    await start();
    await judge(db, await register(db, "a"), "shown");
    await receiver.got(1);
  });

  test.for([
    ["https://127.1/", "is no address of the public internet"],
    ["https://[::ffff:10.0.0.1]/", "is no address of the public internet"],
    ["http://127.0.0.1:9911/hook", "127.0.0.1 is no address of the public internet"],
    ["http://app.example/hook", "may be called with https alone"],
    ["http://app.example/hook", "set it here and for the maitred deliver or maitred up"],
    ["https://user:pass@app.example/", "without user and password"],
    ["ftp://app.example/", "expected an https:// URL"],
  ])("%s is refused when it is added", async ([url, message], { cli, db }) => {
    const refused = await cli(["destination", "add", "webhook", url!], { MAITRED_WEBHOOK_ALLOW: "" });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(message);
    expect(await listDestinations(db.pool)).toEqual([]);
  });
});

describe("several processes", () => {
  test("tell each photo's changes in their order, one at a time, though receivers fail", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    await hook(receiver.url);
    const open = new Set<string>();
    const taken = new Map<string, number[]>();
    let overlaps = 0;
    receiver.answer = (response, { message: { data } }) => {
      if (open.has(data.id)) overlaps++;
      open.add(data.id);
      setImmediate(() => {
        open.delete(data.id);
        const fails = receiver.received.length % 3 === 0;
        if (!fails) taken.set(data.id, [...(taken.get(data.id) ?? []), data.sequence]);
        response.writeHead(fails ? 500 : 200).end();
      });
    };
    const photos = await Promise.all([..."abcdefgh"].map((key) => register(db, key)));
    const running = Promise.all([1, 2, 3].map(() => start({ MAITRED_DELIVER_BACKOFF_MS: "20" })));
    for (let n = 0; n < 5; n++)
      for (const photo of photos) await judge(db, photo, n % 2 ? "shown" : "hidden");
    await running;
    await until(allAre(db, "delivered"));
    expect(overlaps).toBe(0);
    expect(taken.size).toBe(8);
    for (const sequences of taken.values()) {
      expect(sequences).toHaveLength(5);
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    }
  });

  const run = (db: Database): Running =>
    maitred(["deliver"], { DATABASE_URL: db.url, ...ALLOW, MAITRED_LOG_LEVEL: "debug" });

  test("lose nothing when one is killed in the middle of a delivery: another tells it under the same id", async ({
    db,
    receiver,
    hook,
    start,
  }) => {
    const { secret } = await hook(receiver.url);
    receiver.answer = () => {};
    const victim = run(db);
    await judge(db, await register(db, "a"), "shown");
    const [first] = await receiver.got(1);
    victim.child.kill("SIGKILL");
    expect(await victim.exit).toBe("SIGKILL");
    receiver.answer = (response) => void response.writeHead(200).end();
    expect(await rows(db, "select claimed_until > now() as claimed from deliveries")).toEqual([
      { claimed: true },
    ]);
    // a minute passes
    await db.pool.query("update deliveries set claimed_until = now(), next_at = now()");
    await start();
    const [, second] = await receiver.got(2);
    expect(second!.headers["webhook-id"]).toBe(first!.headers["webhook-id"]);
    await until(allAre(db, "delivered"));
    expect(victim.stderr()).not.toContain(secret.slice(6));
  });

  test("end what is in hand at SIGTERM, begin nothing more, exit with 0, and log no secret", async ({
    db,
    receiver,
    hook,
  }) => {
    const { secret } = await hook(receiver.url);
    const { promise: answered, resolve: answer } = latch();
    receiver.answer = (response) => void answered.then(() => response.writeHead(200).end());
    const process = run(db);
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    await judge(db, photo, "hidden");
    await receiver.got(1);
    process.child.kill("SIGTERM");
    await process.says("ending what is in hand");
    answer();
    expect(await process.exit).toBe(0);
    expect((await states(db)).map(({ state }) => state)).toEqual(["delivered", "pending"]);
    expect(process.stderr()).toContain("delivered");
    expect(process.stderr()).not.toContain(secret.slice(6));
  });
});

describe("maitred destination", () => {
  test("prints a secret once, lists without it, tests, disables and removes with all that waits", async ({
    db,
    receiver,
    cli,
  }) => {
    const added = await cli(["destination", "add", "webhook", receiver.url]);
    const secret = added.stdout.trim();
    expect(secret).toMatch(/^whsec_[\w+/=]{44}$/);
    const [{ id }] = JSON.parse((await cli(["destination", "list", "--json"])).stdout);
    const listed = await cli(["destination", "list"]);
    expect(listed.stdout).toContain(id);
    expect(listed.stdout).not.toContain(secret.slice(6));
    expect((await cli(["destination", "test", id])).stdout).toBe(`${id} took it\n`);
    expect(receiver.received[0]!.message).toMatchObject({ type: "maitred.test", data: {} });
    new Webhook(secret).verify(receiver.received[0]!.body, receiver.received[0]!.headers);
    receiver.answer = (response) => void response.writeHead(500).end();
    expect(await cli(["destination", "test", id])).toMatchObject({
      code: 1,
      stdout: `${id} did not take it: it answered 500\n`,
    });
    await judge(db, await register(db, "a"), "shown");
    expect((await cli(["destination", "disable", id])).code).toBe(0);
    expect((await cli(["destination", "remove", id])).code).toBe(0);
    expect(await rows(db, "select from outbox")).toEqual([]);
    expect((await cli(["destination", "remove", id])).code).toBe(1);
  });

  test("is named where it is disabled and its dead deliveries are replayed", async ({ db, cli }) => {
    const [off, on] = [
      (await cli(["destination", "add", "s3-tags"])).stdout.trim(),
      (await cli(["destination", "add", "s3-tags"])).stdout.trim(),
    ];
    await judge(db, await register(db, "a"), "shown");
    await enableDestination(db.pool, off, false);
    const replay = async (...args: string[]): Promise<string> =>
      (await cli(["deliveries", "replay", "--all", "--state", "pending", ...args])).stdout;
    expect(JSON.parse(await replay("--json"))).toEqual({ replayed: 2, disabled: [off] });
    const said = await replay();
    expect(said).toContain(`maitred destination enable ${off}\n`);
    expect(said).not.toContain(on);
  });

  test("catches up on what was before it, and says how to after it was disabled", async ({
    db,
    cli,
    receiver,
    hook,
    start,
  }) => {
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    const { id } = await hook(receiver.url);
    const wrong = await cli(["destination", "catch-up", id, "--since", "yesterday"]);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("--since: expected a day") });
    expect((await cli(["destination", "catch-up", id])).stdout).toBe(`${id} is told of 1 photo\n`);
    await cli(["destination", "disable", id]);
    await judge(db, photo, "hidden");
    const enabled = await cli(["destination", "enable", id]);
    const [, since] = /catch-up \w+ --since (\S+)/.exec(enabled.stderr) ?? [];
    const again = await cli(["destination", "catch-up", id, "--since", since!, "--json"]);
    expect(JSON.parse(again.stdout)).toEqual({ id, told: 1 });
    await start();
    expect((await receiver.got(2)).map(({ message }) => message.data.state)).toEqual(["shown", "hidden"]);
  });

  test("catches up no further once it is disabled, also while it waits for what is to be delivered", async ({
    db,
    cli,
  }) => {
    const photo = await register(db, "a");
    await judge(db, photo, "shown");
    const id = (await cli(["destination", "add", "s3-tags"])).stdout.trim();
    await db.pool.query(
      `with told as (
        insert into outbox (photo_id, kind, payload) select -n, 'photo.verdict', '{}' from generate_series(1, 10000) n
        returning seq, photo_id
      ) insert into deliveries (seq, destination, photo_id) select seq, $1, photo_id from told`,
      [id],
    );
    const catching = cli(["destination", "catch-up", id]);
    await until(
      async () => (await rows(db, "select from deliveries where photo_id = $1", photo)).length === 1,
    );
    await enableDestination(db.pool, id, false);
    const { code, stderr } = await catching;
    expect(code).not.toBe(0);
    expect(stderr).toContain(`1 photo told of; --after ${photo} goes on from here`);
    expect(stderr).toContain(`destination ${id} is not enabled`);
  });

  test("catches up on what was being changed while it was added", async ({ db, cli }) => {
    const photo = await register(db, "a");
    const worker = await db.pool.connect();
    try {
      await worker.query("begin");
      await recordWith(worker, [judged(photo, "shown")]);
      const { stdout } = await cli(["destination", "add", "s3-tags"]);
      const id = stdout.trim();
      const catching = maitred(["destination", "catch-up", id], { DATABASE_URL: db.url });
      await catching.says("waits for the end of 1 transactions");
      await worker.query("commit");
      expect(await catching.exit).toBe(0);
      expect(catching.stdout()).toBe(`${id} is told of 1 photo\n`);
      expect(await rows(db, "select destination, photo_id from deliveries")).toEqual([
        { destination: id, photo_id: photo },
      ]);
    } finally {
      worker.release(true);
    }
  });
});

test("what was delivered is kept for a while, and what was not for as long as it takes", async ({
  db,
  receiver,
  hook,
  start,
}) => {
  await hook(receiver.url);
  await start();
  const photo = await register(db, "a");
  await judge(db, photo, "shown");
  await until(allAre(db, "delivered"));
  const { promise: answered, resolve: answer } = latch();
  receiver.answer = (response) => void answered.then(() => response.writeHead(204).end());
  await judge(db, photo, "hidden");
  await receiver.got(2);
  await db.pool.query(
    "update deliveries set delivered_at = now() - interval '8 days' where state = 'delivered'",
  );
  expect(await purgeDeliveries(db.pool, { days: 9, deadDays: 0 }, 100)).toBe(0);
  expect(await purgeDeliveries(db.pool, { days: 7, deadDays: 0 }, 100)).toBe(1);
  expect(await rows(db, "select payload ->> 'state' as state from outbox")).toEqual([{ state: "hidden" }]);
  answer();
});
