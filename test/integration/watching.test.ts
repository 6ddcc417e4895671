import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { parse } from "yaml";
import { agreement } from "../../src/evaluate/agreement.ts";
import { createApiMetrics } from "../../src/http/api-metrics.ts";
import { createListenMetrics } from "../../src/http/listen-metrics.ts";
import { createMetrics } from "../../src/http/metrics.ts";
import { packageRoot } from "../../src/package-root.ts";
import { openQueueServer } from "../../src/queue/server.ts";
import { auditCounts } from "../../src/store/counts.ts";
import { clockGauge } from "../../src/wiring/clock.ts";
import { evictionGauge } from "../../src/wiring/eviction.ts";
import { gaugesOf } from "../../src/wiring/gauges.ts";
import { type Database, test } from "../fixtures.ts";
import { judgedOverTime } from "../watched.ts";

const deploy = join(packageRoot(), "deploy");
const read = (path: string): string => readFileSync(join(deploy, path), "utf8");

interface Target {
  panel: string;
  expr?: string;
  rawSql?: string;
}
interface Dashboard {
  uid: string;
  panels: { title: string; targets: Omit<Target, "panel">[] }[];
  templating: { list: { type: string; query: string }[] };
}
const dashboards = readdirSync(join(deploy, "grafana/dashboards")).map(
  (file): Dashboard => JSON.parse(read(`grafana/dashboards/${file}`)),
);
const targets = dashboards.flatMap(({ panels }) =>
  panels.flatMap(({ title, targets: all }) => all.map((target): Target => ({ panel: title, ...target }))),
);
const promQl = targets.flatMap(({ panel, expr }) => (expr ? [{ panel, expr }] : []));
const sql = [
  ...targets.flatMap(({ panel, rawSql }) => (rawSql ? [{ panel, rawSql }] : [])),
  ...dashboards.flatMap(({ uid, templating }) =>
    templating.list.flatMap(({ type, query }) => (type === "query" ? [{ panel: uid, rawSql: query }] : [])),
  ),
];
const rules: { alert: string; expr: string; annotations: Record<string, string> }[] = parse(
  read("prometheus/alerts.yml"),
).groups[0].rules;

/** What Grafana puts in place of its macros and variables, for thirty days. */
function filled(text: string): string {
  return text
    .replaceAll(/\$__timeFilter\((\w+)\)/g, "$1 between '2026-01-31T00:00:00Z' and '2026-03-01T23:59:59Z'")
    .replaceAll("$__timeFrom()", "'2026-01-31T00:00:00Z'")
    .replaceAll("$__timeTo()", "'2026-03-01T23:59:59Z'")
    .replaceAll("$model", "model:restaurant-6")
    .replaceAll("$listing", "7");
}

/** As Grafana reads: with no rights but those of maitred_dashboard, its session being of UTC. */
async function asGrafana(db: Database, text: string): Promise<Record<string, unknown>[]> {
  const client = await db.pool.connect();
  try {
    await client.query("begin; set local role maitred_dashboard; set local time zone 'UTC'");
    return (await client.query(filled(text))).rows;
  } finally {
    await client.query("rollback");
    client.release();
  }
}

describe("what dashboards and alert rules name", () => {
  test("is what processes show", async ({ db }) => {
    const queue = openQueueServer(
      { queueUrl: db.url, queueOptions: "", queuePrefix: "maitred_queue" },
      () => {},
    );
    const all = [
      createMetrics(async () => [], [clockGauge(db.pool), evictionGauge(queue)]),
      createApiMetrics(gaugesOf(db.pool)),
      createListenMetrics([]),
    ];
    const texts = await Promise.all(all.map(({ registry }) => registry.metrics()));
    await queue.close();
    const shown = new Set(
      texts.flatMap((text) => [...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name!)),
    );
    const asked = [...promQl.map(({ expr }) => expr), ...rules.map(({ expr }) => expr)].flatMap(
      (expr) => expr.match(/\bmaitred_\w+/g) ?? [],
    );
    expect(asked.length).toBeGreaterThan(40);
    const unknown = asked.filter(
      (name) => !shown.has(name) && !shown.has(name.replace(/_(bucket|sum|count)$/, "")),
    );
    expect(unknown).toEqual([]);
  });

  test("is what workers and Postgres say of each: labels too", async ({ db }) => {
    const metrics = createMetrics(async () => [
      { lane: "live", prefix: "q", waiting: 1, delayed: 1, oldestMs: 1, paused: false },
    ]);
    metrics.verdict("live", "hidden", "food");
    metrics.failure("live", "CORRUPT");
    metrics.retry("live", "CORRUPT");
    metrics.stage("fetch", "live", 1);
    metrics.batch(1, 1, "cpu");
    metrics.model({ model: "m", variant: "int8", provider: "cpu" });
    metrics.age("live", 1);
    await db.pool.query("insert into sweeps (bucket) values ('photos')");
    await db.pool.query("insert into destinations (id, kind) values ('d', 's3-tags')");
    const api = createApiMetrics(gaugesOf(db.pool));
    api.answered("/", "GET", 200, 1);
    api.refused("x");
    api.event("s3", "accepted");
    const listened = createListenMetrics([]);
    listened.events("sqs", "accepted");
    listened.failed("sqs", "DATABASE_UNAVAILABLE");
    const all = [metrics, api, listened];
    const text = (await Promise.all(all.map(({ registry }) => registry.metrics()))).join("\n");
    const labels = new Map<string, Set<string>>();
    for (const [, name, inside] of text.matchAll(/^(maitred_\w+)\{([^}]*)\}/gm)) {
      const before = labels.get(name!) ?? new Set();
      labels.set(
        name!,
        new Set([...before, ...[...inside!.matchAll(/(\w+)="/g)].map(([, label]) => label!)]),
      );
    }
    const own = ["gpu", "instance", "job"];
    const wrong = [...promQl.map(({ expr }) => expr), ...rules.map(({ expr }) => expr)].flatMap((expr) =>
      [...expr.matchAll(/(maitred_\w+)\{([^}]*)\}/g)].flatMap(([, name, inside]) =>
        [...inside!.matchAll(/(\w+)\s*(?:=~|!=|!~|=)\s*"/g)].flatMap(([, label]) =>
          labels.get(name!)?.has(label!) || own.includes(label!) ? [] : [`${name} has no ${label}`],
        ),
      ),
    );
    expect(wrong).toEqual([]);
  });

  test("is of the days that are chosen, but for the photos of one listing", () => {
    const always = targets.filter(({ rawSql }) => rawSql && !/\$__time(Filter|From)\(/.test(rawSql));
    expect(always.map(({ panel }) => panel)).toEqual(["Photos of a listing"]);
  });

  test("is PromQL", async ({ folder }) => {
    const file = join(folder, "dashboards.json");
    const expressions = promQl.map(({ expr }) => expr.replaceAll("$__rate_interval", "5m"));
    const asRules = expressions.map((expr, index) => ({ record: `of_dashboards:${index}`, expr }));
    writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboards", rules: asRules }] }));
    const { status, error, stderr } = spawnSync("promtool", ["check", "rules", file], { encoding: "utf8" });
    if (error && !process.env["CI"]) return console.warn("not checked: expected promtool on the PATH");
    expect(stderr).toBe("");
    expect(status).toBe(0);
  });

  test("can be asked of the views by who may read no more than them, and finds something", async ({ db }) => {
    await judgedOverTime(db, "2026-03-01");
    expect(sql.length).toBeGreaterThan(8);
    const empty: string[] = [];
    for (const { panel, rawSql } of sql) if ((await asGrafana(db, rawSql)).length === 0) empty.push(panel);
    // nothing failed in these days
    expect(empty).toEqual(["Failures"]);
  });
});

test("Grafana says of moderators and the model what the desk says", async ({ db }) => {
  await judgedOverTime(db, "2026-03-01");
  const rows = await asGrafana(db, sql.find(({ panel }) => panel === "Moderators and the model")!.rawSql);
  const [desk] = agreement(await auditCounts(db.pool, { from: "2026-01-31", to: "2026-03-01" }));
  const { human, kept } = desk!;
  for (const [index, said] of [human.precision, human.recall, human.missed, kept].entries()) {
    const { share, low, high, hits, photos } = rows[index] as Record<string, number>;
    expect(photos).toBe(said.of);
    expect(hits).toBe(said.hits);
    expect(share).toBeCloseTo(said.value!, 6);
    expect(low).toBeCloseTo(said.low, 4);
    expect(high).toBeCloseTo(said.high, 4);
  }
});
