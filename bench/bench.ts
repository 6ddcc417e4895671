import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { Scope } from "../src/lifecycle.ts";
import { packageRoot } from "../src/package-root.ts";

/** What `--name` is unless it is given, and for --help what it means. */
type Option = readonly [fallback: number | string, help: string];
type Values<Options> = {
  [Name in keyof Options]: Options[Name] extends readonly [number, string] ? number : string;
};

interface Bench<Options> {
  values: Values<Options>;
  /** Closes at the end, also after an error. */
  scope: Scope;
  /** Written into the result. */
  machine: Record<string, unknown>;
  say(line: string): void;
  /** Adds to the result and writes all of it, so that an error later on loses nothing. Numbers as `rounded` has them. */
  keep(measured: object): void;
}

/**
 * The process of `npm run NAME`: reads its options, measures, and exits with what `measure` returns, or 0. The result is
 * printed and written to --out, which is bench/results/KIND-DATE.json unless it is given. KIND is what stands behind the
 * colon of the name, or where there is none the `provider` of the result.
 */
export async function runBench<Options extends Record<string, Option>>(
  name: string,
  about: string,
  options: Options,
  measure: (bench: Bench<Options>) => Promise<number | void>,
): Promise<never> {
  // as src/cli/main.ts does, and for the processes that this one starts
  process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] = "true";
  const values = readOptions(name, about, options);
  const scope = new Scope();
  const machine: Record<string, unknown> = {
    cpu: cpus()[0]!.model,
    cores: availableParallelism(),
    node: process.versions.node,
    loadBefore: loadavg()[0],
  };
  const date = new Date().toISOString();
  const command = ["npm run", name, ...(process.argv[2] ? ["--", ...process.argv.slice(2)] : [])].join(" ");
  const result: Record<string, unknown> = { date, command, machine };
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  let [out, text] = ["", ""];
  function keep(measured: object): void {
    machine["loadAfter"] = loadavg()[0];
    Object.assign(result, measured);
    const kind = name.split(":")[1] ?? result["provider"];
    out = values.out || join(packageRoot(), "bench/results", `${kind}-${date.slice(0, 10)}.json`);
    text = `${JSON.stringify(rounded(result), null, 2)}\n`;
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, text);
  }
  const end = async (exitCode: number): Promise<never> => {
    await scope.close();
    process.exit(exitCode);
  };
  const fail = (error: unknown): Promise<never> => {
    say((error as Error).stack!);
    return end(1);
  };
  process.once("unhandledRejection", fail).once("SIGINT", () => void end(130));
  try {
    const exitCode = (await measure({ values, scope, machine, say, keep })) ?? 0;
    process.stdout.write(text);
    say(`written to ${out}`);
    return await end(exitCode);
  } catch (error) {
    return fail(error);
  }
}

/** To four digits, and all of those before the point: no measurement here has more. */
export function rounded<T>(value: T): T {
  return JSON.parse(
    JSON.stringify(value, (_, each) => {
      if (typeof each !== "number") return each;
      return Math.abs(each) >= 1_000 ? Math.round(each) : Number(each.toPrecision(4));
    }),
  );
}

function readOptions<Options extends Record<string, Option>>(
  name: string,
  about: string,
  own: Options,
): Values<Options> & { out: string } {
  const kind = name.split(":")[1] ?? "PROVIDER";
  const options: Record<string, Option> = { ...own, out: ["", `(default bench/results/${kind}-DATE.json)`] };
  const asText = Object.keys(options).map((option) => [option, { type: "string" }] as const);
  const help = { type: "boolean", short: "h" } as const;
  const given: Record<string, string | boolean | undefined> = parseArgs({
    options: { ...Object.fromEntries(asText), help },
  }).values;
  const labels = Object.entries(options).map(
    ([option, [fallback]]) => `--${option} ${typeof fallback === "number" ? "N" : option.toUpperCase()}`,
  );
  if (given["help"]) {
    const width = Math.max(...labels.map((label) => label.length));
    const lines = Object.values(options).map(([fallback, help], index) => {
      const note = fallback === "" ? "" : ` (default ${fallback})`;
      return `  ${labels[index]!.padEnd(width)}  ${help}${note}\n`;
    });
    const usage = `usage: npm run ${name} -- ${labels.map((label) => `[${label}]`).join(" ")}`;
    process.stdout.write(`${usage}\n\n${about}\n\n${lines.join("")}`);
    process.exit(0);
  }
  const read = (option: string, fallback: number | string): number | string => {
    const text = given[option] as string | undefined;
    if (text === undefined || typeof fallback === "string") return text ?? fallback;
    if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
    throw new Error(`--${option}: expected a number, got ${JSON.stringify(text)}`);
  };
  return Object.fromEntries(
    Object.entries(options).map(([option, [fallback]]) => [option, read(option, fallback)]),
  ) as Values<Options> & { out: string };
}
