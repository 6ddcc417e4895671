/** One listener on a real queue, whose other neighbours fail as no real one does on command. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test as base, describe, expect, vi } from "vitest";
import { codeOf, UpstreamError } from "../../src/errors.ts";
import { type ListenDeps, type ListenEvents, listenTo } from "../../src/intake/listen.ts";
import type { Bad } from "../../src/intake/received-messages.ts";
import { openSqsQueue } from "../../src/intake/sqs.ts";
import { gone, openSqs, type Sqs, settled } from "../sqs.ts";

const test = base.extend<{ sqs: Sqs }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  sqs: async ({}, use) => {
    const sqs = await openSqs();
    await use(sqs);
    await sqs.close();
  },
});

test("what a queue does not hide or remove it is said to", async ({ sqs }) => {
  const queue = openSqsQueue(sqs.url, {
    sqsEndpoint: sqs.server.address,
    s3Region: "us-east-1",
    sqsReceives: 1,
    sqsVisibilityS: 30,
  });
  await sqs.send({ bucket: "b", key: "a" });
  const [message] = await queue.receive(new AbortController().signal);
  const other = { ...message!, receipt: "no such receipt" };
  await expect(queue.hide([message!, other])).rejects.toThrow(
    /^1 messages could not be hidden, .* come back.*: ReceiptHandleIsInvalid/,
  );
  await queue.hide([message!]);
  await sqs.server.stop();
  for (const ask of [queue.hide, queue.remove])
    await expect(ask([message!])).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
  await queue.close();
});

test("a queue that stops in the middle of an answer is away, and can be asked again", async () => {
  let asked = 0;
  const stalling = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "application/x-amz-json-1.0", "content-length": 16 });
    response.write('{"Messages": ');
    if (++asked > 3) response.end("[]}");
  }).listen(0, "127.0.0.1");
  await once(stalling, "listening");
  const sqsEndpoint = `http://127.0.0.1:${(stalling.address() as AddressInfo).port}`;
  const settings = { sqsEndpoint, s3Region: "us-east-1", sqsReceives: 1, sqsVisibilityS: 30 };
  const queue = openSqsQueue(`${sqsEndpoint}/1/uploads`, settings, 300);
  const receive = () => queue.receive(new AbortController().signal);
  await expect(receive()).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
  await expect.poll(() => receive().catch(() => "away"), settled).toEqual([]);
  await queue.close();
  stalling.closeAllConnections();
  stalling.close();
});

test("a queue is asked at the host of its URL where no other is set, and the SDK writes nothing between lines of the log", async () => {
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers.host, /Credential=\S+/.exec(request.headers.authorization ?? "")?.[0]);
    request.resume();
    response.setHeader("content-type", "application/x-amz-json-1.0").end("{}");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const warned = vi.spyOn(console, "warn");
  const settings = { sqsEndpoint: "", s3Region: "eu-west-3", sqsReceives: 1, sqsVisibilityS: 30 };
  const queue = openSqsQueue(`http://${host}/1/uploads`, settings);
  expect(await queue.receive(new AbortController().signal)).toEqual([]);
  expect(asked).toEqual([host, expect.stringContaining("/eu-west-3/sqs/")]);
  expect(warned).not.toHaveBeenCalled();
  warned.mockRestore();
  await queue.close();
  server.closeAllConnections();
  server.close();
});

describe("a listener whose neighbours", () => {
  const limits = { receives: 1, visibilityS: 3, queueLimit: 0 };
  const open = (sqs: Sqs, deps: Partial<ListenDeps>, events: Partial<ListenEvents> = {}) => {
    const settings = {
      sqsEndpoint: sqs.server.address,
      s3Region: "us-east-1",
      sqsReceives: 1,
      sqsVisibilityS: 3,
    };
    const queue = openSqsQueue(sqs.url, settings);
    const all: ListenDeps = {
      take: async (said) => said.map(() => ({ photoId: "1", outcome: "accepted", queue: false })),
      keepBad: async () => {},
      waiting: async () => 0,
      askDatabase: async () => {},
      ...deps,
    };
    const listener = listenTo(queue, all, limits, { took() {}, bad() {}, unwell() {}, ...events });
    return {
      well: () => listener.well(),
      async close() {
        await listener.close();
        await queue.close();
      },
    };
  };
  const away = new UpstreamError("DATABASE_UNAVAILABLE", "Postgres: away");

  test("refuse one message takes the others, and puts it aside once it failed five times", async ({
    sqs,
  }) => {
    const taken: string[] = [];
    const aside: Bad[] = [];
    const take: ListenDeps["take"] = async (said) => {
      if (said.some(({ key }) => key.startsWith("poison"))) throw new TypeError("a bug");
      taken.push(...said.map(({ key }) => key));
      return [];
    };
    const keepBad = async (_source: string, messages: readonly Bad[]) => void aside.push(...messages);
    const [old] = await sqs.send({ bucket: "b", key: "poison old" });
    await sqs.deliver(4);
    await sqs.send(
      { bucket: "b", key: "one" },
      { bucket: "b", key: "poison new" },
      { bucket: "b", key: "two" },
      // what is understood and says nothing is taken too
      { Records: [] },
    );
    const errors: string[] = [];
    const { well, close } = open(
      sqs,
      { take, keepBad },
      { unwell: ({ message }) => void errors.push(message) },
    );
    await expect.poll(() => aside, settled).toHaveLength(1);
    await expect.poll(() => sqs.held().waiting + sqs.held().hidden, settled).toBe(1);
    const body = '{"bucket":"b","key":"poison old"}';
    expect(aside).toEqual([
      { messageId: old, sentAt: expect.any(Date), body, code: "INTERNAL", detail: "a bug" },
    ]);
    expect(taken.toSorted()).toEqual(["one", "two"]);
    // the queue has removed the others before it says so
    await expect.poll(() => errors[0], settled).toContain("a bug");
    expect(well()).toBe(true);
    await close();
  });

  test("refuse a message leave it to the queue's own redrive, where that is sooner", async ({ sqs }) => {
    const { queueArn } = sqs.server.createQueue("dead");
    await sqs.redrive(queueArn, 1);
    await sqs.send({ bucket: "b", key: "poison" });
    const aside: Bad[] = [];
    const { close } = open(sqs, {
      take: () => Promise.reject(new TypeError("a bug")),
      keepBad: async (_source, messages) => void aside.push(...messages),
    });
    await expect
      .poll(() => sqs.server.inspectQueue("dead")!.messages.ready.length, { ...settled, timeout: 28_000 })
      .toBe(1);
    expect([sqs.held(), aside]).toEqual([gone, []]);
    await close();
  });

  test("are all well says that its queue is away, and goes on afterwards", async ({ sqs }) => {
    const taken: string[] = [];
    const failed = new Set<string>();
    const take: ListenDeps["take"] = async (said) => {
      taken.push(...said.map(({ key }) => key));
      return [];
    };
    const { well, close } = open(sqs, { take }, { unwell: (error) => void failed.add(codeOf(error)) });
    await sqs.restart(async () => {
      await expect.poll(well, settled).toBe(false);
    });
    expect([...failed]).toEqual(["SOURCE_UNAVAILABLE"]);
    await sqs.send({ bucket: "b", key: "a" });
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(taken).toEqual(["a"]);
    await close();
  });

  test("cannot queue what is committed deletes the message, which is not needed any more", async ({
    sqs,
  }) => {
    await sqs.send({ bucket: "b", key: "a" });
    const take = () => Promise.reject(new UpstreamError("QUEUE_UNAVAILABLE", "the queue's server: away"));
    const { close } = open(sqs, { take });
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    await close();
  });

  test("are away keeps what is in hand, receives nothing more, and takes it all once they are back", async ({
    sqs,
  }) => {
    let [down, tried] = [true, 0];
    const taken: string[] = [];
    const { well, close } = open(sqs, {
      async take(said) {
        tried++;
        if (down) throw away;
        taken.push(...said.map(({ key }) => key));
        return [];
      },
      async askDatabase() {
        if (down) throw away;
      },
    });
    await sqs.send({ bucket: "b", key: "first" });
    await expect.poll(() => sqs.deadlines(), settled).toHaveLength(1);
    const [hidden] = sqs.deadlines();
    await expect.poll(well, settled).toBe(false);
    await sqs.send({ bucket: "b", key: "second" });
    // beyond the time that the delivery hid it for
    await expect.poll(() => sqs.deadlines()[0], settled).toBeGreaterThan(hidden! + 3_000);
    expect([tried, sqs.receives().toSorted()]).toEqual([1, [0, 1]]);
    down = false;
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(taken).toEqual(["first", "second"]);
    await close();
  });

  test("fail while Postgres answers give the message back after three tries", async ({ sqs }) => {
    const deliveries: number[] = [];
    const { close } = open(sqs, {
      async take() {
        deliveries.push(...sqs.receives());
        if (deliveries.length <= 3) throw away;
        return [];
      },
    });
    await sqs.send({ bucket: "b", key: "a" });
    await expect.poll(() => sqs.held(), { ...settled, timeout: 28_000 }).toEqual(gone);
    expect(deliveries).toEqual([1, 1, 1, 2]);
    await close();
  });

  test("do not finish a message in time take the others, and put it aside once that happened five times", async ({
    sqs,
  }) => {
    const taken: string[] = [];
    const aside: Bad[] = [];
    const [old] = await sqs.send({ bucket: "b", key: "endless" });
    await sqs.deliver(4);
    await sqs.send({ bucket: "b", key: "one" }, { bucket: "b", key: "two" });
    const { well, close } = open(sqs, {
      async take(said) {
        if (said.some(({ key }) => key === "endless"))
          throw new UpstreamError(
            "DATABASE_TIMEOUT",
            "Postgres: canceling statement due to statement timeout",
          );
        taken.push(...said.map(({ key }) => key));
        return [];
      },
      keepBad: async (_source, messages) => void aside.push(...messages),
    });
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(taken.toSorted()).toEqual(["one", "two"]);
    expect(aside).toMatchObject([{ messageId: old, code: "DATABASE_TIMEOUT" }]);
    expect(well()).toBe(true);
    await close();
  });

  test("stay away while it is closed leave the message in the queue", async ({ sqs }) => {
    const { well, close } = open(sqs, {
      take: () => Promise.reject(away),
      askDatabase: () => Promise.reject(away),
    });
    await sqs.send({ bucket: "b", key: "a" });
    await expect.poll(well, settled).toBe(false);
    await close();
    const { waiting, hidden } = sqs.held();
    expect(waiting + hidden).toBe(1);
  });

  test("keep a bad message from being kept keep it in the queue", async ({ sqs }) => {
    const errors: Error[] = [];
    let down = true;
    const kept: string[] = [];
    const { close } = open(
      sqs,
      {
        async keepBad(_source, messages) {
          if (down) throw away;
          kept.push(...messages.map(({ body }) => body));
        },
      },
      { unwell: (error) => void errors.push(error) },
    );
    await sqs.send("hello");
    await expect.poll(() => errors, settled).toContain(away);
    expect(sqs.receives()).toEqual([1]);
    down = false;
    await expect.poll(() => sqs.held(), settled).toEqual(gone);
    expect(kept).toEqual(["hello"]);
    await close();
  });

  test("are slow hides the message for as long as it takes, and ends what is in hand when it is closed", async ({
    sqs,
  }) => {
    let calls = 0;
    let finish = (): void => {};
    const working = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { close } = open(sqs, {
      async take() {
        calls++;
        await working;
        return [];
      },
    });
    await sqs.send({ bucket: "b", key: "a" });
    await expect.poll(() => sqs.deadlines(), settled).toHaveLength(1);
    const [first] = sqs.deadlines();
    // beyond the time that the first delivery hid it for
    await expect.poll(() => sqs.deadlines()[0], settled).toBeGreaterThan(first! + 3_000);
    let closed = false;
    const closing = close().then(() => {
      closed = true;
    });
    const then = sqs.deadlines()[0]!;
    await expect.poll(() => sqs.deadlines()[0], settled).toBeGreaterThan(then);
    expect([calls, closed, sqs.receives()]).toEqual([1, false, [1]]);
    finish();
    await closing;
    expect(sqs.held()).toEqual(gone);
  });
});
