import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { argumentsOf } from "../../src/cli/arguments.ts";
import { config } from "../../src/cli/config.ts";
import { describeConfig, readConfig, withoutSecret } from "../../src/config.ts";
import { packageRoot } from "../../src/package-root.ts";

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

  test("takes URLs of servers whose schemes it knows, and shows none that is wrong", () => {
    const read = (url: string) => readConfig({ DATABASE_URL: url }).databaseUrl;
    const fine = ["postgres://u:a%2Fb@h:5432/d", "postgresql:///d", "postgres://u:p@/d?host=/run/postgresql"];
    expect(fine.map(read)).toEqual(fine);
    for (const wrong of [
      "postgres://u:s3cret/b@h/d",
      "mysql://u:s3cret@h/d",
      "host=h password=s3cret",
      "redis://h",
    ]) {
      const env = { DATABASE_URL: wrong, MAITRED_QUEUE_URL: `http:${wrong}`, MAITRED_PORT: "x" };
      const mistakes = expect.objectContaining({
        message: expect.stringMatching(
          /^DATABASE_URL: expected a URL .*percent-encoded.*\nMAITRED_QUEUE_URL: expected a URL .*\nMAITRED_PORT: .*$/,
        ),
      });
      expect(() => readConfig(env)).toThrow(mistakes);
      expect(() => readConfig(env)).not.toThrow("s3cret");
    }
    for (const several of [
      "postgres://u:s3cret@h:1,g:2/d",
      "postgres://u:s3cret@h,g/d?x=y",
      "postgres://h,g",
    ]) {
      const one = /^DATABASE_URL: expected one host, got a list(?!.*s3cret)/;
      expect(() => read(several)).toThrow(expect.objectContaining({ message: expect.stringMatching(one) }));
    }
    expect(read("postgres://u:a,b@h/d,e?x=1,2")).toBe("postgres://u:a,b@h/d,e?x=1,2");
  });

  test.each([
    "MAITRED_S3_ENDPOINT",
    "MAITRED_SQS_ENDPOINT",
    "MAITRED_OIDC_ISSUER",
    "MAITRED_DESK_URL",
    "MAITRED_SQS_QUEUES",
  ])("takes no password in %s, and does not show it", (name) => {
    const read = (url: string) => () => readConfig({ [name]: url });
    for (const host of ["x.example:9000/a", "x.example:no port/a"]) {
      expect(read(`https://me:hun/ter2@${host}`)).toThrow(
        new RegExp(`^${name}: expected .* got "https://\\*\\*\\*@${host}"$`),
      );
    }
    expect(read("https://me@x.example/a")).toThrow(`${name}: expected`);
    expect(read("x.example")).toThrow(`${name}: expected`);
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

async function configLines(args: string[], env: Record<string, string>): Promise<string[]> {
  const lines: string[] = [];
  const terminal = { env, print: (line: string) => void lines.push(line), say() {}, columns: 0 };
  await config.run(argumentsOf(args, config.options), { ...terminal, stdin: (async function* () {})() });
  return lines;
}

test("maitred config says the default of what is set to something else", async () => {
  const lines = await configLines([], { MAITRED_MAX_WAIT_MS: "50", MAITRED_PORT: "7070" });
  expect(lines.find((line) => line.startsWith("MAITRED_MAX_WAIT_MS "))).toMatch(/ 50 .* \(default 20\)$/);
  expect(lines.find((line) => line.startsWith("MAITRED_PORT "))).not.toContain("default");
});

describe("the settings in the documentation", () => {
  const read = (file: string): string => readFileSync(join(packageRoot(), file), "utf8");
  const rows = (text: string): string[] =>
    text.split("\n").filter((line) => /^\| `(MAITRED|DATABASE)_\w+` \|/.test(line));
  const pages = [
    "README.md",
    ...readdirSync(join(packageRoot(), "docs")).map((file) => `docs/${file}`),
  ].filter((file) => file.endsWith(".md"));

  test.each(pages)(
    "are all in docs/settings.md, as maitred config prints them, some in the README, and none in %s again",
    async (page) => {
      const printed = rows((await configLines(["--markdown"], {})).join("\n"));
      const ofPage = rows(read(page));
      if (page === "README.md") expect(printed).toEqual(expect.arrayContaining(ofPage));
      else expect(ofPage).toEqual(page === "docs/settings.md" ? printed : []);
    },
  );

  test.each([...pages, "docker-compose.yml"])("that %s names are settings that there are", (page) => {
    const known = describeConfig(readConfig({})).map(({ env }) => env);
    const named = read(page).match(/\bMAITRED_[A-Z0-9_]+\b/g) ?? [];
    expect(named.filter((name) => !known.includes(name))).toEqual([]);
  });
});
