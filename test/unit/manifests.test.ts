import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { commands } from "../../src/cli/commands.ts";
import { readConfig } from "../../src/config.ts";
import { packageRoot } from "../../src/package-root.ts";

const deploy = join(packageRoot(), "deploy/kubernetes");
const read = (path: string): string => readFileSync(path, "utf8");

interface Container {
  args: string[];
  env?: { name: string; value: string }[];
  envFrom: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  ports?: { containerPort: number }[];
  lifecycle?: { preStop: { exec: { command: string[] } } };
  securityContext: object;
  resources: { requests: object; limits: object };
  volumeMounts: object[];
}
interface Pod {
  enableServiceLinks?: boolean;
  terminationGracePeriodSeconds?: number;
  securityContext: object;
  containers: [Container];
}
interface Thing {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: each kind has a spec of its own, and .ci/run holds them to their schemas
  spec: any;
}

const things = readdirSync(deploy).flatMap((file) =>
  parseAllDocuments(read(join(deploy, file))).map((document) => document.toJS() as Thing),
);
const named = (kind: string, name: string): Thing => {
  const found = things.find((thing) => thing.kind === kind && thing.metadata.name === name);
  if (!found) throw new Error(`there is no ${kind} ${name}`);
  return found;
};
const pods = things.flatMap(({ kind, metadata, spec }): [string, Pod][] => {
  const template = kind === "CronJob" ? spec.jobTemplate.spec.template : spec?.template;
  return template ? [[`${kind} ${metadata.name}`, template.spec]] : [];
});
/** What a container's process would read. */
function environmentOf({ env = [], envFrom }: Container): Record<string, string> {
  const sources = envFrom.map(({ configMapRef, secretRef }) =>
    configMapRef ? named("ConfigMap", configMapRef.name).data : named("Secret", secretRef!.name).stringData,
  );
  return Object.assign({}, ...sources, ...env.map(({ name, value }) => ({ [name]: value })));
}

describe.each(pods)("%s", (name, pod) => {
  const [container] = pod.containers;

  test("runs a command that there is, with settings that there are", () => {
    expect(Object.keys(commands)).toContain(container.args[0]);
    const config = readConfig(environmentOf(container));
    expect(config.databaseUrl).toMatch(name.includes("migrate") ? /OWNER/ : /USER/);
  });

  test("reads no setting out of the Services beside it", () => {
    expect(pod.enableServiceLinks).toBe(false);
  });

  test("has the time that draining takes", () => {
    const { graceMs } = readConfig(environmentOf(container));
    const preStopS = Number(container.lifecycle?.preStop.exec.command[1] ?? 0);
    // the last three seconds are those of exitOnSignal
    const needs = preStopS + graceMs / 1_000 + 3;
    if (!name.includes("migrate")) expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(needs);
  });

  test("is no root, cannot become it, and writes to /tmp alone", () => {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(container.volumeMounts).toEqual([{ name: "tmp", mountPath: "/tmp" }]);
    expect(container.resources.limits).toMatchObject({ cpu: expect.anything(), memory: expect.anything() });
  });

  test("is asked where its process listens", () => {
    const config = readConfig(environmentOf(container));
    const port = { worker: config.port, listen: config.port, api: config.apiPort }[container.args[0]!];
    expect(container.ports?.[0]?.containerPort).toBe(port);
  });
});

test("a worker gives its GPU back before the one that follows it asks for one", () => {
  const { strategy } = named("Deployment", "maitred-worker-gpu").spec;
  expect(strategy).toEqual({ rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } });
});

test("the pods that serve the desk know where browsers reach it, which is not in the clear", () => {
  const [container] = named("Deployment", "maitred-api").spec.template.spec.containers as [Container];
  expect(readConfig(environmentOf(container)).deskUrl).toMatch(/^https:/);
});

test("the API stays in its Service while the queue's server is away", () => {
  const [container] = named("Deployment", "maitred-api").spec.template.spec.containers;
  expect(container.startupProbe.httpGet.path).toBe("/readyz");
  expect(container.readinessProbe.httpGet.path).toBe("/healthz");
});

test("what Prometheus scrapes has the jobs that alert rules know, by the operator and as docs/operations.md says", () => {
  const { selector, podMetricsEndpoints } = named("PodMonitor", "maitred").spec;
  const [{ port, relabelings }] = podMetricsEndpoints;
  const scraped = things.flatMap(({ kind, spec }) => {
    const [container] = (kind === "Deployment" && spec.template.spec.containers) || [];
    if (!container?.ports) return [];
    const { labels, annotations } = spec.template.metadata;
    expect(labels).toMatchObject(selector.matchLabels);
    expect(container.ports).toEqual([
      { name: port, containerPort: Number(annotations["prometheus.io/port"]) },
    ]);
    return [`maitred-${labels["app.kubernetes.io/component"]}`];
  });
  const jobs = parse(read(join(packageRoot(), "deploy/prometheus/prometheus.yml"))).scrape_configs;
  expect(scraped.sort()).toEqual(jobs.map(({ job_name }: { job_name: string }) => job_name).sort());
  const [, plain] = /```yaml\n(- source_labels[^`]+)```/.exec(
    read(join(packageRoot(), "docs/operations.md")),
  )!;
  const spelt = plain!.replaceAll("source_labels", "sourceLabels").replaceAll("target_label", "targetLabel");
  expect(parse(spelt)).toEqual(relabelings);
});

test("every disruption budget and service selects the pods of one deployment", () => {
  const selectors = things.flatMap(({ kind, spec }) =>
    kind === "PodDisruptionBudget" ? [spec.selector.matchLabels] : kind === "Service" ? [spec.selector] : [],
  );
  expect(selectors.length).toBeGreaterThan(3);
  for (const selector of selectors) {
    const selected = things.filter(({ kind, spec }) => {
      if (kind !== "Deployment") return false;
      expect(spec.template.metadata.labels).toMatchObject(spec.selector.matchLabels);
      const labels = spec.template.metadata.labels as Record<string, string>;
      return Object.entries(selector).every(([label, value]) => labels[label] === value);
    });
    expect(selected).toHaveLength(1);
  }
});

test("scaling.yaml scales workers on GPUs once it is told to, as docs/operations.md says", () => {
  const [, from, to] = /sed 's\/(\S+)\$\/(\S+)\/' scaling\.yaml/.exec(
    read(join(packageRoot(), "docs/operations.md")),
  )!;
  const scaled = parse(
    read(join(deploy, "scaling.yaml")).replaceAll(new RegExp(`${from}$`, "gm"), to!),
  ) as Thing;
  expect(scaled.metadata.name).toBe("maitred-worker-gpu");
  expect(named("Deployment", scaled.spec.scaleTargetRef.name).spec.replicas).toBeUndefined();
});

test("a pod for whoever administers is made of migrate.yaml, as docs/operations.md says", () => {
  const [, from, to, args, command] = /sed 's\/(.+?)\/(.+?)\/; s\/(.+?)\/(.+?)\/' migrate\.yaml/.exec(
    read(join(packageRoot(), "docs/operations.md")),
  )!;
  const { metadata, spec } = parse(
    read(join(deploy, "migrate.yaml"))
      .replaceAll(new RegExp(from!, "gm"), to!)
      .replaceAll(new RegExp(args!, "g"), command!),
  ) as Thing;
  expect(metadata.name).toBe("maitred-admin");
  const [container] = spec.template.spec.containers as [Container & { command: string[] }];
  expect(container).toMatchObject({ command: ["sleep", "3600"] });
  expect(container.args).toBeUndefined();
  expect(readConfig(environmentOf(container)).databaseUrl).toContain("OWNER");
});

test("workers are scaled by a metric that workers export, and whose absence takes none away", () => {
  const { spec } = named("ScaledObject", "maitred-worker");
  expect(Object.keys(spec).sort()).toEqual([
    "advanced",
    "maxReplicaCount",
    "minReplicaCount",
    "pollingInterval",
    "scaleTargetRef",
    "triggers",
  ]);
  // a Deployment with replicas would set the number back whenever it is applied
  expect(named("Deployment", spec.scaleTargetRef.name).spec.replicas).toBeUndefined();
  const [trigger] = spec.triggers;
  expect(Object.keys(trigger.metadata).sort()).toEqual([
    "ignoreNullValues",
    "query",
    "serverAddress",
    "threshold",
  ]);
  expect(trigger).toMatchObject({ type: "prometheus", metricType: "Value" });
  expect(trigger.metadata.ignoreNullValues).toBe("false");
  const metrics = [...trigger.metadata.query.matchAll(/max by \(prefix\) \((\w+)\{lane="live"\}\)/g)];
  expect(metrics.map(([, metric]) => metric)).toEqual([
    "maitred_queue_oldest_seconds",
    "maitred_queue_paused",
  ]);
  for (const [, metric] of metrics)
    expect(read(join(packageRoot(), "src/http/metrics.ts"))).toContain(`"${metric}"`);
  // more workers come before backfills stand back
  expect(Number(trigger.metadata.threshold) * 1_000).toBeLessThan(readConfig({}).liveTargetMs);
});

test("docker compose runs every long-lived command, with time to drain and settings that there are", () => {
  const { services } = parse(read(join(packageRoot(), "docker-compose.yml")), { merge: true }) as {
    services: Record<
      string,
      {
        command?: string[];
        environment?: Record<string, string>;
        stop_grace_period?: string;
        ports?: string[];
      }
    >;
  };
  const ours = ["worker", "api", "listen", "feed", "deliver", "sweep", "migrate"];
  expect(Object.keys(services)).toEqual(expect.arrayContaining(ours));
  for (const name of ours) {
    const { command = ["worker"], environment, stop_grace_period: grace } = services[name]!;
    expect(command[0], name).toBe(name);
    const told = Object.entries(environment!).map(([key, value]) => [
      key,
      value.replaceAll(/\$\{\w+:?[-?]([^}]*)\}/g, "$1"),
    ]);
    const { graceMs } = readConfig(Object.fromEntries(told));
    if (name !== "migrate") expect(Number.parseInt(grace!, 10), name).toBeGreaterThan(graceMs / 1_000 + 3);
  }
  // of two, one would not get its port of the host
  for (const name of ["worker", "worker-gpu", "listen"]) expect(services[name]!.ports, name).toBeUndefined();
});
