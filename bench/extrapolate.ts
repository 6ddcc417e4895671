import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../src/package-root.ts";

/** What was measured, by the newest file of each kind in bench/results. */
interface Figures {
  /** The whole line on CPUs: photos a second of one core. */
  linePerCoreS: number;
  /** Decoding alone: photos a second of one core. */
  decodePerCoreS: number;
  /** One feeder, with nobody else at work. */
  feedPerS: number;
  redisBytesAPhoto: number;
  postgresBytesAPhoto: number;
  /** The line on one GPU, photos a second; undefined: nobody has recorded one. */
  gpuPerS: number | undefined;
  /** The files that these come from. */
  files: { cpu: string; scale: string; cuda: string | undefined };
}

export function readFigures(): Figures {
  const folder = join(packageRoot(), "bench/results");
  const newest = (kind: string): string | undefined =>
    readdirSync(folder)
      .filter((name) => name.startsWith(`${kind}-`) && name.endsWith(".json"))
      .sort()
      .at(-1);
  const read = (name: string) => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const [cpu, scale, cuda] = [newest("cpu"), newest("scale"), newest("cuda")];
  if (!cpu || !scale) throw new Error(`expected cpu-DATE.json and scale-DATE.json in ${folder}`);
  const [line, queue] = [read(cpu), read(scale)];
  return {
    linePerCoreS: line.line.redis.photosPerS / line.machine.cores,
    decodePerCoreS: line.decodePhotosPerS / line.machine.cores,
    feedPerS: queue.feeding.photosPerS,
    redisBytesAPhoto: queue.feeding.redisBytesAPhoto,
    postgresBytesAPhoto: queue.postgres.bytesAPhoto,
    gpuPerS: cuda && read(cuda).line.redis.photosPerS,
    files: { cpu, scale, cuda },
  };
}

/** The table of docs/scale.md, in Markdown. */
export function scaleTable(figures: Figures): string {
  const { linePerCoreS, decodePerCoreS, feedPerS, redisBytesAPhoto, postgresBytesAPhoto, gpuPerS } = figures;
  const days = (photos: number, perS: number): number => photos / perS / 86_400;
  const coreDays = (photos: number): number => days(photos, linePerCoreS);
  const rows: [string, (photos: number) => string][] = [
    ["core-days of CPU", (photos) => whole(coreDays(photos))],
    ["workers of 2 cores, to be done in 30 days", (photos) => whole(Math.ceil(coreDays(photos) / 60))],
    ["workers of 2 cores, to be done in 7 days", (photos) => whole(Math.ceil(coreDays(photos) / 14))],
    [
      "GPU-days",
      (photos) => (gpuPerS ? whole(days(photos, gpuPerS)) : "not measured: photos / rate / 86,400"),
    ],
    ["core-days of decoding beside GPUs", (photos) => whole(days(photos, decodePerCoreS))],
    ["days of one feeder", (photos) => days(photos, feedPerS).toFixed(1)],
    ["Redis, with 100 workers of 2 cores", () => bytes(100 * 20 * 8 * redisBytesAPhoto)],
    ["Redis, were all of it queued at once", (photos) => bytes(photos * redisBytesAPhoto)],
    ["Postgres", (photos) => bytes(photos * postgresBytesAPhoto)],
    ["S3: GET requests", (photos) => whole(photos)],
    ["S3: LIST requests, of a prefix", (photos) => whole(photos / 1_000)],
    ["read from S3, originals of 5 MB", (photos) => bytes(photos * 5e6)],
    ["days of a network of 10 Gbit/s for that", (photos) => ((photos * 5e6) / 1.25e9 / 86_400).toFixed(1)],
    ["read from S3, renditions of 0.2 MB", (photos) => bytes(photos * 2e5)],
  ];
  const lines = rows.map(([name, of]) => `| ${name} | ${of(500e6)} | ${of(5e9)} |`);
  return ["| | 500 M photos | 5 G photos |", "| --- | --- | --- |", ...lines].join("\n");
}

/** To three digits: no measurement here has more. */
function whole(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 0 });
}

function bytes(value: number): string {
  const power = Math.floor(Math.log10(value) / 3);
  return `${Number((value / 1_000 ** power).toPrecision(3))} ${["B", "kB", "MB", "GB", "TB", "PB"][power]}`;
}
