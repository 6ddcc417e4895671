import { expect, test } from "vitest";
import { argumentsOf } from "../../src/cli/arguments.ts";
import { flags, texts } from "../../src/cli/command.ts";
import { numberOption, whole } from "../../src/cli/options.ts";

const options = {
  ...texts("listing", "most"),
  ...flags("json", "dry-run"),
  bucket: { type: "string", multiple: true },
} as const;

test("what was not given is undefined, a flag false, and what may be given several times is all of it", () => {
  expect(argumentsOf([], options).values).toEqual({ json: false, "dry-run": false });
  const { values, positionals } = argumentsOf(["--json", "a", "--bucket", "x", "--bucket=y"], options);
  expect(values).toEqual({ json: true, "dry-run": false, bucket: ["x", "y"] });
  expect(positionals).toEqual(["a"]);
});

test("a number below zero is a value", () => {
  expect(argumentsOf(["--most", "-1"], options).values.most).toBe("-1");
});

test.each([
  ["--listing", ""],
  ["--listing", " \t"],
  ["--most", ""],
])("%s %j is refused, as a variable of a shell that is not set", (option, blank) => {
  const refused = `${option}: expected a value, got ${JSON.stringify(blank)}`;
  expect(() => argumentsOf([option, blank], options)).toThrow(refused);
  expect(() => argumentsOf([`${option}=${blank}`], options)).toThrow(refused);
});

test("also where another is given beside it", () => {
  expect(() => argumentsOf(["--bucket", "x", "--bucket", ""], options)).toThrow("--bucket: expected a value");
});

test("a flag takes no value", () => {
  expect(() => argumentsOf(["--json=1"], options)).toThrow(/^--json: takes no value$/);
});

test("an option that is not declared does not compile", () => {
  const { values } = argumentsOf(["--most", "3"], options);
  // @ts-expect-error
  expect(values.lsting).toBeUndefined();
  // @ts-expect-error
  expect(numberOption(values, "mots", whole(0))).toBeUndefined();
  const most: number | undefined = numberOption(values, "most", whole(0));
  const [json, buckets]: [boolean, string[] | undefined] = [values.json, values.bucket];
  expect([most, json, buckets]).toEqual([3, false, undefined]);
});
