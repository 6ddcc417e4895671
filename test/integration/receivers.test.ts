import { describe, expect, onTestFinished } from "vitest";
import { createAddresses } from "../../src/deliver/addresses.ts";
import { createWebhookSender } from "../../src/deliver/webhook.ts";
import { deliveryFigures } from "../../src/store/deliveries.ts";
import { listDestinations } from "../../src/store/destinations.ts";
import { allAre, states, test } from "../delivering.ts";
import { rows } from "../fixtures.ts";
import { type Receiver, startReceiver } from "../receiver.ts";
import { judge, register } from "../verdicts.ts";
import { until } from "../waits.ts";

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

  test("that closes a connection just as it is used again gets the message by another", async ({
    receiver,
  }) => {
    const sender = createWebhookSender(createAddresses(["127.0.0.1"]), { timeoutMs: 30_000, agent: "test" });
    const post = (id: string) =>
      sender.post({ url: receiver.url, secrets: ["whsec_c2VjcmV0"], id, body: "{}" });
    expect(await post("first")).toEqual({ outcome: "delivered" });
    const { answer } = receiver;
    receiver.answer = (_response, _received, request) => {
      request.socket.destroy();
      receiver.answer = answer;
    };
    expect(await post("second")).toEqual({ outcome: "delivered" });
    expect(receiver.received.map(({ headers }) => headers["webhook-id"])).toEqual([
      "first",
      "second",
      "second",
    ]);
    await sender.close();
  });

  test.for([
    ["fails, and says when to come", { outcome: "failed", why: "it answered 500" }],
    ["cuts its answer off", { outcome: "failed", why: "the connection was closed before a complete answer" }],
  ] as const)("that %s is tried again when others are", async ([what, attempt], { receiver }) => {
    const sender = createWebhookSender(createAddresses(["127.0.0.1"]), { timeoutMs: 30_000, agent: "test" });
    const isCut = what === "cuts its answer off";
    receiver.answer = (response) => {
      response.writeHead(isCut ? 200 : 500, { "retry-after": "120", "content-length": 2 });
      if (isCut) response.write("{", () => response.destroy());
      else response.end("{}");
    };
    const post = { url: receiver.url, secrets: ["whsec_c2VjcmV0"], id: "a", body: "{}" };
    expect(await sender.post(post)).toEqual(attempt);
    await sender.close();
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
        oldestAt: null,
        lastError: null,
        dead: 1,
      },
    ]);
    const listed = JSON.parse((await cli(["deliveries", "list", "--state", "dead", "--json"])).out);
    expect(listed).toMatchObject([
      { destination: id, photoId: photo, lastError: "it answered 500", key: "a" },
    ]);
    const table = (await cli(["deliveries", "list", "--state", "dead"])).out;
    expect(table).toMatch(/^sequence +destination +to +.* last error$/m);
    expect(table).toContain(receiver.url);
    expect(table).toMatch(/ it answered 500$/m);
    const shown = JSON.parse((await cli(["deliveries", "show", listed[0].seq, "--json"])).out);
    expect(shown).toMatchObject({
      change: "photo.verdict",
      payload: { key: "a" },
      deliveries: [{ state: "dead" }],
    });
    const read = (await cli(["deliveries", "show", listed[0].seq])).out;
    expect(read).toMatch(/^ {4}"key": "a",$/m);
    expect(JSON.parse(read)).toEqual(shown);
    receiver.answer = (response) => void response.writeHead(200).end();
    expect((await cli(["deliveries", "replay", "--destination", id])).out).toBe(
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
    expect(refused.err).toContain(message);
    expect(await listDestinations(db.pool)).toEqual([]);
  });
});
