import { expect, test } from "vitest";
import { createLog, describe as describeError, waitingForRoom } from "../../src/log.ts";
import { createOutageLogger } from "../../src/wiring/servers.ts";

test("an error is logged with its cause and code, and with nothing that a client hung on it", () => {
  const cause = Object.assign(new Error("WRONGPASS"), {
    command: { name: "hello", args: ["AUTH", "bob", "hunter2"] },
  });
  const error = Object.assign(new Error("down", { cause }), {
    code: "ECONNRESET",
    config: { password: "hunter2" },
  });
  const logged = JSON.stringify(describeError(error));
  expect(logged).not.toContain("hunter2");
  expect(logged).toContain("WRONGPASS");
  expect(logged).toContain("ECONNRESET");
});

test("what a neighbour ails from is logged when it begins, and then every ten seconds with how often it was the same", () => {
  const lines: { err: { message: string }; again?: number }[] = [];
  let clock = 0;
  const log = createLog("warn", { write: (line) => void lines.push(JSON.parse(line)) });
  const say = createOutageLogger(log, "the queue", () => clock);
  for (const at of [0, 2_000, 9_999, 10_000, 12_000]) {
    clock = at;
    say(new Error("connect ECONNREFUSED"));
  }
  say(new Error("LOADING"));
  expect(lines.map(({ err, again }) => [err.message, again])).toEqual([
    ["connect ECONNREFUSED", undefined],
    ["connect ECONNREFUSED", 2],
    ["LOADING", 1],
  ]);
});

test("lines wait while a disk is full, and what did not fit is counted once there is room", () => {
  let [room, written] = [10, ""];
  const log = waitingForRoom((bytes) => {
    if (room === 0) throw Object.assign(new Error("no room"), { code: "ENOSPC" });
    const part = bytes.subarray(0, room);
    room -= part.length;
    written += part.toString();
    return part.length;
  });
  log.write("first line\n");
  log.write("second line\n");
  expect(written).toBe("first line");
  const long = `${"x".repeat(999_990)}\n`;
  for (const line of [long, "lost\n", "lost too\n"]) log.write(line);
  room = Number.POSITIVE_INFINITY;
  log.write("after\n");
  expect(written).toBe(
    `first line\nsecond line\n${long}{"level":50,"msg":"2 lines could not be written here"}\nafter\n`,
  );
});
