import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/package-root.ts";

const root = packageRoot();

/**
 * Who may import whom: folder of src → folders of src. Files directly in src are for everybody, and so is every type: what a
 * folder asks of others it declares itself, and whoever answers imports that.
 */
const MAY_IMPORT: Record<string, string[]> = {
  decide: [],
  queue: [],
  image: [],
  infer: [],
  store: [],
  embedded: [],
  moderate: [],
  intake: [],
  deliver: [],
  // what an application imports needs nothing of a worker's
  client: [],
  // what may be set is written down by process, and read in one place
  settings: [],
  "": ["client", "settings"],
  // manifests name objects as events do; another policy decides stored scores anew
  backfill: ["intake", "decide"],
  // a policy is measured, and chosen, by what it decides
  evaluate: ["decide"],
  labels: [],
  review: [],
  // the API takes in what the shapes of events describe
  // and the desk shows what a person is asked
  http: ["intake", "review"],
  cli: [
    "intake",
    "labels",
    "decide",
    "queue",
    "image",
    "infer",
    "store",
    "embedded",
    "moderate",
    "evaluate",
    "backfill",
    "http",
    "deliver",
    "wiring",
    "workers",
  ],
  // parts of several processes, assembled once
  wiring: [
    "backfill",
    "intake",
    "decide",
    "queue",
    "image",
    "infer",
    "store",
    "moderate",
    "http",
    "review",
    // dashboards say how sure their figures are, as evaluations do
    "evaluate",
  ],
  workers: ["wiring", "backfill", "intake", "queue", "image", "store", "moderate", "http", "deliver"],
};

/** A package belongs to one folder, and is imported nowhere else. */
const OWNER: Record<string, string[]> = {
  bullmq: ["queue"],
  ioredis: ["queue"],
  pg: ["store"],
  "node-pg-migrate": ["store"],
  sharp: ["image", "workers"],
  "libheif-js/wasm-bundle.js": ["workers"],
  "@aws-sdk/client-s3": ["image", "cli"],
  "@smithy/node-http-handler": ["image"],
  "onnxruntime-node": ["workers"],
  fastify: ["http"],
  "@fastify/cookie": ["http"],
  "@bull-board/api": ["http"],
  "@bull-board/api/bullMQAdapter": ["queue"],
  "@bull-board/fastify": ["http"],
  "openid-client": ["http"],
  // tokens of others are verified where a caller comes in
  jose: ["http"],
  // the shapes of what a queue brings, and the polling of it, are one concern
  "@aws-sdk/client-sqs": ["intake"],
  "prom-client": ["http"],
  "rate-limiter-flexible": ["http"],
  chokidar: ["cli"],
  "csv-parse": ["backfill"],
};

interface Import {
  file: string;
  folder: string;
  target: string;
  /** `import type` is not there any more when it runs; `import { type … }` is. */
  erased: boolean;
}

const files = ["src", "workers"].flatMap((top) =>
  readdirSync(join(root, top), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(top, file)),
);
const folderOf = (file: string): string =>
  file.startsWith("workers") ? "workers" : file.split("/").length > 2 ? file.split("/")[1]! : "";
const imports: Import[] = files.flatMap((file) =>
  [
    ...readFileSync(join(root, file), "utf8").matchAll(
      /^(?:im|ex)port( type)?\s(?:[^"';]*?\sfrom )?["']([^"']+)["'];$/gm,
    ),
  ].map(([, erased, target]) => ({
    file,
    folder: folderOf(file),
    target: target!.startsWith(".") ? relative(root, join(root, dirname(file), target!)) : target!,
    erased: erased !== undefined,
  })),
);
const running = imports.filter(({ erased }) => !erased);

test("every import goes where its folder may look", () => {
  expect(running.length).toBeGreaterThan(100);
  const wrong = running.filter(({ folder, target }) => {
    if (!/^(src|workers)\//.test(target)) return false;
    const to = folderOf(target);
    return to !== "" && to !== folder && !(MAY_IMPORT[folder] ?? []).includes(to);
  });
  expect(wrong).toEqual([]);
});

test("every package is imported by the folder that owns it alone", () => {
  const wrong = imports.filter(({ folder, target }) => OWNER[target] && !OWNER[target].includes(folder));
  expect(wrong).toEqual([]);
});

test("no import goes round in a circle", () => {
  const graph = new Map(
    files.map((file) => [file, running.filter((each) => each.file === file).map(({ target }) => target)]),
  );
  const done = new Set<string>();
  const visit = (file: string, path: string[]): void => {
    expect(path, "a circle of imports").not.toContain(file);
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
});

test("what an application imports brings nothing, not even of Node, so that it runs at the edge", () => {
  const reached = new Set(["src/index.ts"]);
  for (const file of reached) {
    for (const { target } of imports.filter((each) => each.file === file)) {
      expect(target).toMatch(/^src\//);
      reached.add(target);
    }
  }
  expect([...reached].sort()).toEqual(["src/client/client.ts", "src/client/webhook.ts", "src/index.ts"]);
});

test("only entry points read the environment, listen to signals or exit", () => {
  const entry = (file: string): boolean => file.startsWith("workers/") || file.startsWith("src/cli/");
  const wrong = files.filter(
    (file) =>
      !entry(file) &&
      /process\.(env(?!\[[^\]]+\] = )|exit|on)\b/.test(readFileSync(join(root, file), "utf8")),
  );
  expect(wrong).toEqual([]);
});
