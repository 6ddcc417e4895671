import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  ConfigError,
  codeOf,
  ERROR_CODES,
  FAILURE_CODES,
  PhotoError,
  UpstreamError,
} from "../../src/errors.ts";
import { packageRoot } from "../../src/package-root.ts";

test("codes are stored and graphed, so none is ever renamed: only add to this list", () => {
  expect(Object.keys(ERROR_CODES)).toEqual([
    "EMPTY",
    "UNSUPPORTED_FORMAT",
    "CORRUPT",
    "TOO_LARGE",
    "TOO_MANY_PIXELS",
    "GONE",
    "ACCESS_DENIED",
    "STORE_UNAVAILABLE",
    "DECODE_UNAVAILABLE",
    "INFERENCE_UNAVAILABLE",
    "DATABASE_UNAVAILABLE",
    "DATABASE_FORBIDDEN",
    "DATABASE_TIMEOUT",
    "QUEUE_UNAVAILABLE",
    "WORKER_CRASHED",
    "EVENT_INVALID",
    "EVENT_REFUSED",
    "SOURCE_UNAVAILABLE",
    "SENDER_UNAVAILABLE",
    "CLOSED",
    "CONFIG_INVALID",
    "INTERNAL",
  ]);
});

test("every code is thrown or recorded somewhere", () => {
  const sources = ["src", "workers"].flatMap((top) =>
    readdirSync(join(packageRoot(), top), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && file !== "errors.ts")
      .map((file) => readFileSync(join(packageRoot(), top, file), "utf8")),
  );
  const unused = Object.keys(ERROR_CODES).filter(
    (code) => code !== "INTERNAL" && !sources.some((text) => text.includes(`"${code}"`)),
  );
  expect(unused).toEqual([]);
});

test("each code that a photo may end with is documented", () => {
  const operations = readFileSync(join(packageRoot(), "docs/operations.md"), "utf8");
  const [, section = ""] = operations.split("## Failure codes");
  const [table = ""] = section.split("###");
  const documented = [...table.matchAll(/^\| `([A-Z_]+)`.*$/gm)];
  const ends = documented.filter(([row]) => !row.includes("never in `failed_photos`"));
  expect(ends.map(([, code]) => code)).toEqual(FAILURE_CODES);
});

test("an error says what it is and whether to try again; anything else is a bug", () => {
  expect(new PhotoError("CORRUPT", "x")).toMatchObject({ retry: false, name: "PhotoError" });
  expect(new UpstreamError("STORE_UNAVAILABLE", "x")).toMatchObject({ retry: true, name: "UpstreamError" });
  expect(new ConfigError("x")).toMatchObject({ retry: false });
  expect(codeOf(new TypeError("x"))).toBe("INTERNAL");
});
