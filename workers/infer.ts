/** Thread: batches of pixels → probabilities, one run at a time, on the first provider that works. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { constants, setPriority } from "node:os";
import { basename, dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { workerData } from "node:worker_threads";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { asError, ConfigError, UpstreamError } from "../src/errors.ts";
import type { InferCall, InferData, InferReady, InferResult } from "../src/infer/infer.ts";
import type { Graph, Provider } from "../src/infer/model.ts";
import type { HumanMap } from "../src/photo.ts";
import { serveThread } from "../src/thread.ts";

const data = workerData as InferData;

await serveThread<InferCall, InferResult, InferReady>(async () => {
  const begun = performance.now();
  if (data.background) giveWay();
  const { session, provider, instead } = await openSession();
  const { variant } = data.graphs[provider];
  return {
    ready: {
      provider,
      variant,
      instead,
      maps: session.outputNames.includes("human_map"),
      warmUpMs: performance.now() - begun,
    },
    async handle(call) {
      // a session that has failed once may never work again, and pixels cannot be at fault: the thread ends, and
      // the next call starts a new one
      const result = await run(session, call).catch((error: unknown): Promise<never> => {
        queueMicrotask(() => {
          throw error;
        });
        return new Promise<never>(() => {});
      });
      return {
        result,
        transfer: [
          result.pixels,
          ...[result.category, result.human, ...result.maps.map(({ values }) => values)].map(
            ({ buffer }) => buffer as ArrayBuffer,
          ),
        ],
      };
    },
  };
});

async function openSession(): Promise<{ session: InferenceSession; provider: Provider; instead: string }> {
  const problems: string[] = [];
  let instead = "";
  for (const provider of data.providers) {
    // onnxruntime prints a page of errors when it is asked for a provider whose library is not there
    if (provider === "cuda" && !existsSync(cudaLibrary())) {
      problems.push("cuda: its provider is not installed: npm run install:cuda");
      if (existsSync("/dev/nvidiactl")) instead = problems.join("; ");
      continue;
    }
    try {
      const session = await InferenceSession.create(read(data.graphs[provider]), optionsFor(provider));
      // a provider that opens a graph may still be unable to run it
      for (const size of data.sizes[provider])
        await run(session, {
          pixels: new ArrayBuffer(size * data.side * data.side * 3),
          count: size,
          size,
          maps: false,
        });
      return { session, provider, instead };
    } catch (error) {
      if (error instanceof ConfigError) throw error;
      problems.push(`${provider}: ${asError(error).message.split("\n")[0]}`);
      instead = problems.join("; ");
    }
  }
  throw new UpstreamError("INFERENCE_UNAVAILABLE", `no execution provider works: ${problems.join("; ")}`);
}

/** What is opened is what was checked: the folder may have been swapped since, where this thread is not the first. */
function read({ file, sha256 }: Graph): Uint8Array {
  const bytes = readFileSync(file);
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found === sha256) return bytes;
  throw new ConfigError(`${file}: expected sha256 ${sha256}, got ${found}: fetch the model again`);
}

/** Of this thread alone, and before it starts others, which inherit it. */
function giveWay(): void {
  if (process.platform !== "linux") return;
  // Linux gives each thread an id and a priority of its own
  setPriority(Number(basename(readlinkSync("/proc/thread-self"))), constants.priority.PRIORITY_LOW);
}

function cudaLibrary(): string {
  const binaries = join(
    dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json")),
    "bin/napi-v6",
  );
  return join(binaries, process.platform, process.arch, "libonnxruntime_providers_cuda.so");
}

function optionsFor(provider: Provider): InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    graphOptimizationLevel: "all",
    intraOpNumThreads: data.threads,
    // idle threads that spin take the cores from decoding
    // and nothing is read besides the bytes that were hashed, such as weights that lie where this was started
    extra: {
      session: {
        intra_op: { allow_spinning: "0" },
        model_external_initializers_file_folder_path: "/dev/null",
      },
    },
    logSeverityLevel: 3,
  };
}

async function run(
  session: InferenceSession,
  { pixels, count, size, maps }: InferCall,
): Promise<InferResult> {
  const shape = [size, data.side, data.side, 3];
  const photos = new Tensor(
    "uint8",
    new Uint8Array(
      pixels,
      0,
      shape.reduce((a, b) => a * b),
    ),
    shape,
  );
  const output = await session.run({ photos }, ["category", "human", ...(maps ? ["human_map"] : [])]);
  expectShape(output, "category", [size, data.categories]);
  expectShape(output, "human", [size]);
  const category = (output["category"]!.data as Float32Array).slice(0, count * data.categories);
  const human = (output["human"]!.data as Float32Array).slice(0, count);
  const mapped = maps ? mapsOf(output["human_map"]!, count) : [];
  for (const tensor of Object.values(output)) tensor.dispose();
  return { pixels, category, human, maps: mapped };
}

/** Of another shape a photo would get the scores of those beside it. */
function expectShape(output: InferenceSession.ReturnType, name: string, shape: readonly number[]): void {
  const { dims } = output[name]!;
  if (dims.join() === shape.join()) return;
  throw new ConfigError(
    `expected the graph's output ${name} to be ${JSON.stringify(shape)} as model.json has it, got ${JSON.stringify(dims)}`,
  );
}

/** Copies, because the tensor's memory is not JavaScript's. */
function mapsOf(tensor: Tensor, count: number): HumanMap[] {
  const [, height, width] = tensor.dims as [number, number, number];
  const all = tensor.data as Float32Array;
  const size = width * height;
  return Array.from({ length: count }, (_, index) => {
    return { width, height, values: all.slice(index * size, (index + 1) * size) };
  });
}
