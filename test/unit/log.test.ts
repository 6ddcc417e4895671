import { expect, test } from "vitest";
import { describe as describeError } from "../../src/log.ts";

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
