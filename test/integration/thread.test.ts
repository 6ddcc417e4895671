import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, vi } from "vitest";
import { packageRoot } from "../../src/package-root.ts";
import { createThread } from "../../src/thread.ts";
import { test } from "../fixtures.ts";

/** A thread that doubles numbers, chats, dies of 13 and of 14, hangs on 0, and refuses what is negative. */
function doubler(folder: string, timeoutMs = 0) {
  const serve = pathToFileURL(join(packageRoot(), "dist/src/thread.js"));
  const errors = pathToFileURL(join(packageRoot(), "dist/src/errors.js"));
  const file = join(folder, "thread.mjs");
  writeFileSync(
    file,
    `import { serveThread } from "${serve}";
    import { PhotoError } from "${errors}";
    await serveThread(async () => ({ ready: "ready", async handle(n) {
      console.log("chat"); console.error("chat");
      if (n === 13) process.exit(1);
      if (n === 14) return new Promise(() => queueMicrotask(() => { throw new Error("out of memory"); }));
      if (n === 0) for (;;);
      if (n < 0) throw new PhotoError("CORRUPT", "negative");
      return { result: n * 2, transfer: [] };
    } }));`,
  );
  return createThread<number, number, string>({
    url: pathToFileURL(file),
    workerData: null,
    crashCode: "INFERENCE_UNAVAILABLE",
    timeoutMs,
  });
}

test("answers calls in order, and gives errors their code", async ({ folder }) => {
  const thread = doubler(folder);
  expect(await thread.ready()).toBe("ready");
  expect(await Promise.all([1, 2, 3].map((n) => thread.call(n, [])))).toEqual([2, 4, 6]);
  await expect(thread.call(-1, [])).rejects.toMatchObject({ code: "CORRUPT", retry: false });
  await thread.close();
});

test("what libraries of a thread say is no line of a command, and none of its log", async ({ folder }) => {
  const said: string[] = [];
  for (const stream of [process.stdout, process.stderr])
    vi.spyOn(stream, "write").mockImplementation((text) => said.push(String(text)) > 0);
  onTestFinished(() => void vi.restoreAllMocks());
  const thread = doubler(folder);
  expect(await thread.call(2, [])).toBe(4);
  await thread.close();
  expect(said.join("")).not.toContain("chat");
});

test("a crash fails what was in hand as worth another try, and the next call finds a new thread", async ({
  folder,
}) => {
  const thread = doubler(folder);
  const calls = await Promise.allSettled([thread.call(13, []), thread.call(2, [])]);
  for (const call of calls)
    expect(call).toMatchObject({
      status: "rejected",
      reason: { code: "INFERENCE_UNAVAILABLE", retry: true },
    });
  expect(await thread.call(2, [])).toBe(4);
  await thread.close();
});

test("a crash says what it was of", async ({ folder }) => {
  const thread = doubler(folder);
  await expect(thread.call(14, [])).rejects.toMatchObject({
    code: "INFERENCE_UNAVAILABLE",
    message: "the thread died: out of memory",
  });
  await thread.close();
});

test("one that cannot start, as where there is no room for it, is worth another try, which finds a new thread", async () => {
  const thread = createThread({
    url: new URL("https://localhost/of-no-file"),
    workerData: null,
    crashCode: "INFERENCE_UNAVAILABLE",
    timeoutMs: 0,
  });
  for (const work of [thread.ready, () => thread.call(1, [])])
    await expect(work()).rejects.toMatchObject({ code: "INFERENCE_UNAVAILABLE", retry: true });
  await thread.close();
});

test("a call that hangs is ended after its time", async ({ folder }) => {
  const thread = doubler(folder, 200);
  await expect(thread.call(0, [])).rejects.toMatchObject({ code: "INFERENCE_UNAVAILABLE" });
  expect(await thread.call(2, [])).toBe(4);
  await thread.close();
});

test("close waits for what is in hand, and refuses what comes later", async ({ folder }) => {
  const thread = doubler(folder);
  await thread.ready();
  const answer = thread.call(4, []);
  await thread.close();
  expect(await answer).toBe(8);
  await expect(thread.call(1, [])).rejects.toMatchObject({ code: "CLOSED" });
});

test("however many halt and close it at once, each is answered after what is in hand", async ({ folder }) => {
  const thread = doubler(folder);
  await thread.ready();
  const answer = thread.call(4, []);
  await Promise.all([thread.halt(), thread.halt(), thread.close()]);
  expect(await answer).toBe(8);
});
