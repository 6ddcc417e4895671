import { describe, expect, test } from "vitest";
import { describeConfig, readConfig, withoutSecret } from "../../src/config.ts";

describe("readConfig", () => {
  test("shows every mistake at once, with the name, what was expected and what came", () => {
    const env = {
      MAITRED_MAX_BATCH: "many",
      MAITRED_PROVIDER: "tpu",
      MAITRED_PORT: "70000",
      MAITRED_MAX_BACTH: "8",
    };
    expect(() => readConfig(env)).toThrow(
      [
        'MAITRED_PROVIDER: expected one of auto, cpu, cuda, got "tpu"',
        'MAITRED_MAX_BATCH: expected a whole number 0 to 512, got "many"',
        'MAITRED_PORT: expected a whole number 0 to 65535, got "70000"',
        "MAITRED_MAX_BACTH: no setting has this name",
      ].join("\n"),
    );
  });

  test("takes an empty variable for one that is not set", () => {
    expect(readConfig({ MAITRED_PORT: " " }).port).toBe(7070);
  });

  test("takes addresses and networks, and nothing else", () => {
    const read = (raw: string) => readConfig({ MAITRED_TRUSTED_PROXIES: raw }).trustedProxies;
    expect(read("10.0.0.0/8, fd00::/8,127.0.0.1")).toEqual(["10.0.0.0/8", "fd00::/8", "127.0.0.1"]);
    for (const wrong of ["proxy", "10.0.0.0/33", "10.0.0/8", "1.2.3.4/8/8", "1.2.3.4,", "::1/129"]) {
      expect(() => read(wrong)).toThrow("MAITRED_TRUSTED_PROXIES: expected addresses");
    }
  });

  test("cannot be changed once read", () => {
    expect(Object.isFrozen(readConfig({}))).toBe(true);
  });
});

test("no description of the settings holds a password", () => {
  const env = {
    DATABASE_URL: "postgres://me:hunter2@db:5432/photos",
    MAITRED_QUEUE_URL: "rediss://:hunter2@redis:6379",
    MAITRED_QUEUE_OPTIONS: '{"password":"hunter2"}',
  };
  const described = JSON.stringify(describeConfig(readConfig(env)));
  expect(described).not.toContain("hunter2");
  expect(described).toContain("db:5432/photos");
});

test.each(["postgres://a:s3cret@h/d", "s3cret", '{"password":"s3cret"}', "redis://h/?password=s3cret"])(
  "withoutSecret(%s) keeps the secret",
  (value) => {
    expect(withoutSecret(value)).not.toContain("s3cret");
  },
);
