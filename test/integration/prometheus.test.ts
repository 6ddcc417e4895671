/** A real Prometheus with what ships for it, beside running processes. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, inject } from "vitest";
import { openIntake } from "../../src/cli/intake.ts";
import { createToken } from "../../src/http/tokens.ts";
import { listFolder } from "../../src/image/folder.ts";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { packageRoot } from "../../src/package-root.ts";
import { addToken } from "../../src/store/tokens.ts";
import { startApi } from "../../workers/api.ts";
import { startListening } from "../../workers/listen.ts";
import { startWorker } from "../../workers/moderate.ts";
import { BACKENDS, test } from "../fixtures.ts";
import { hasPrometheus, type Prometheus, startPrometheus } from "../prometheus.ts";
import { openSqs } from "../sqs.ts";

const dashboards = join(packageRoot(), "deploy/grafana/dashboards");
/** The panels that ask Prometheus, with what Grafana puts in place of its own variable. */
const panels = readdirSync(dashboards).flatMap((file) => {
  const { panels } = JSON.parse(readFileSync(join(dashboards, file), "utf8")) as {
    panels: { title: string; targets: { expr?: string }[] }[];
  };
  return panels.flatMap(({ title, targets }) =>
    targets.flatMap(({ expr }) =>
      expr === undefined ? [] : [{ title, expr: expr.replaceAll("$__rate_interval", "5s") }],
    ),
  );
});
const alerts = readFileSync(join(packageRoot(), "deploy/prometheus/alerts.yml"), "utf8").match(/- alert: /g)!;
const slow = { timeout: 60_000, interval: 250 };

/** The expressions that find nothing now. */
async function silent(prometheus: Prometheus): Promise<string[]> {
  const found = await Promise.all(panels.map(({ expr }) => prometheus.ask(expr)));
  return panels.filter((_, index) => found[index]!.length === 0).map(({ expr }) => expr);
}

test.skipIf(!hasPrometheus && !process.env["CI"])(
  "Prometheus reaches every process, evaluates every rule, and has something for every panel of Grafana",
  async ({ db, configFor, folder }) => {
    const sqs = await openSqs();
    const photos = join(folder, "photos");
    mkdirSync(photos);
    const config = configFor(BACKENDS[0]!, {
      ...sqs.env,
      MAITRED_API_PORT: "0",
      MAITRED_FOLDERS: photos,
      MAITRED_S3_ENDPOINT: "http://127.0.0.1:1",
      MAITRED_ATTEMPTS: "2",
      MAITRED_BACKOFF_MS: "1",
    });
    const log = createLog("silent");
    const scope = new Scope();
    try {
      const intake = openIntake(config, scope, () => {});
      const host = async (running: Promise<{ url: string }>) => new URL((await running).url).host;
      const worker = await host(startWorker(config, log, scope));
      const api = await startApi(config, log, scope);
      const prometheus = scope.hold(
        "prometheus",
        await startPrometheus(folder, {
          "maitred-worker": worker,
          "maitred-worker-gpu": worker,
          "maitred-api": new URL(api.url).host,
          "maitred-listen": await host(startListening(config, log, scope)),
        }),
      );
      await expect
        .poll(() => prometheus.targets(), slow)
        .toEqual(
          ["maitred-api", "maitred-listen", "maitred-worker", "maitred-worker-gpu"].map((job) => ({
            job,
            health: "up",
          })),
        );
      await expect
        .poll(
          async () => (await prometheus.rules()).map(({ health, lastError = "" }) => [health, lastError]),
          slow,
        )
        .toEqual(alerts.map(() => ["ok", ""]));
      expect(await prometheus.ask('maitred_model_info{gpu="expected"}')).toHaveLength(1);
      const empty = await silent(prometheus);
      const numbers = panels.filter(({ title }) => title === "Somebody has to look");
      expect(numbers.length).toBeGreaterThan(3);
      // where there is nothing to do they say 0: no data would look as if nobody knew
      expect(numbers.filter(({ expr }) => empty.includes(expr))).toEqual([]);

      copyFileSync(join(inject("samples"), "landing-portrait-1.jpg"), join(photos, "portrait.jpg"));
      writeFileSync(join(photos, "broken.jpg"), "words");
      for await (const page of listFolder(photos)) await intake.take(page, "live");
      const { id, token, hash } = createToken();
      await addToken(db.pool, { id, name: "t", hash, scopes: ["ingest"] });
      for (const authorization of [`Bearer ${token}`, "Bearer wrong"]) {
        const headers = { authorization, "content-type": "application/json" };
        const body = JSON.stringify({ bucket: "away", key: "a.jpg" });
        await fetch(`${api.url}/v1/photos`, { method: "POST", headers, body });
      }
      await sqs.send({ bucket: "away", key: "b.jpg" });
      await expect.poll(() => silent(prometheus), slow).toEqual([]);
    } finally {
      await scope.close();
      await sqs.close();
    }
  },
  120_000,
);
