import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { packageRoot } from "../src/package-root.ts";
import { freePort } from "./free-port.ts";

/** Where the processes of one job answer, such as 127.0.0.1:7070. */
type Targets = Readonly<Record<string, string>>;

interface Sample {
  metric: Record<string, string>;
  value: [at: number, value: string];
}

export interface Prometheus {
  /** What an expression gives at this moment. @throws {Error} where it is refused. */
  ask(expr: string): Promise<Sample[]>;
  /** Of each target the job, and whether it was reached. */
  targets(): Promise<{ job: string; health: string }[]>;
  /** Of each rule the name, and what is wrong with it. */
  rules(): Promise<{ name: string; health: string; lastError?: string }[]>;
  close(): Promise<void>;
}

export const hasPrometheus = spawnSync("prometheus", ["--version"]).status === 0;

/**
 * Prometheus with the configuration and the rules that ship, but for where its targets are and how often they are asked.
 *
 * @param targets by job; a job that is not named here has none.
 */
export async function startPrometheus(folder: string, targets: Targets): Promise<Prometheus> {
  const shipped = join(packageRoot(), "deploy/prometheus");
  const config = parse(readFileSync(join(shipped, "prometheus.yml"), "utf8"));
  config.global = { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" };
  for (const job of config.scrape_configs) {
    delete job.dns_sd_configs;
    const target = targets[job.job_name];
    job.static_configs = target ? [{ targets: [target] }] : [];
  }
  writeFileSync(join(folder, "prometheus.yml"), stringify(config));
  for (const file of config.rule_files) copyFileSync(join(shipped, file), join(folder, file));
  const port = await freePort();
  const flags = [
    `--config.file=${join(folder, "prometheus.yml")}`,
    `--storage.tsdb.path=${join(folder, "data")}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const child = spawn("prometheus", flags, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk;
  });
  const exit = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", () => said.includes("Server is ready to receive web requests") && resolve());
    child.once("exit", (code) => reject(new Error(`prometheus ended with ${code}: ${said}`)));
  });

  // biome-ignore lint/suspicious/noExplicitAny: each question has an answer of its own shape
  async function get(path: string): Promise<any> {
    const { status, error, data } = (await (
      await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
    ).json()) as {
      status: string;
      error?: string;
      data: unknown;
    };
    if (status !== "success") throw new Error(`${path}: ${error}`);
    return data;
  }
  return {
    ask: async (expr) => (await get(`query?query=${encodeURIComponent(expr)}`)).result,
    async targets() {
      const { activeTargets } = await get("targets");
      return activeTargets.map(({ labels, health }: { labels: { job: string }; health: string }) => ({
        job: labels.job,
        health,
      }));
    },
    rules: async () => (await get("rules")).groups.flatMap(({ rules }: { rules: object[] }) => rules),
    async close() {
      child.kill("SIGTERM");
      await exit;
    },
  };
}
