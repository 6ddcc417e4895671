import { availableParallelism } from "node:os";
import { ModerationError, UpstreamError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { HumanMap, Scores } from "../photo.ts";
import { createThread } from "../thread.ts";
import type { Graph, Model, Provider } from "./model.ts";

export interface InferData {
  graphs: Record<Provider, Graph>;
  side: number;
  categories: number;
  /** In order of preference. */
  providers: Provider[];
  /** Batch sizes by provider: a batch is padded to the next of them, and each is run once at start. */
  sizes: Record<Provider, number[]>;
  /** Cores of one run on the CPU. */
  threads: number;
  /** At the lowest priority that the system has for a thread; only Linux knows one. */
  background: boolean;
}

/** What the thread says once it is warm. */
export interface InferReady {
  /** The one that runs, whatever was asked for. */
  provider: Provider;
  /** The variant of the model that runs there. */
  variant: string;
  /** Why the preferred provider does not run; "" if it does, or where there is neither a GPU nor what would use one. */
  instead: string;
  /** Whether the graph says where in the frame a human is. */
  maps: boolean;
  warmUpMs: number;
}

/** `pixels`: uint8 [size, side, side, 3], of which the first `count` photos matter; it comes back with the result. */
export interface InferCall {
  pixels: ArrayBuffer;
  count: number;
  size: number;
  /** Whether to give the maps too. */
  maps: boolean;
}

export interface InferResult {
  pixels: ArrayBuffer;
  /** float32 [count, K]. */
  category: Float32Array;
  /** float32 [count]. */
  human: Float32Array;
  /** One for each of `count` photos; empty where they were not asked for. */
  maps: HumanMap[];
}

/** Scores, and where in the frame they say that a human is. */
export interface Explained {
  scores: Scores;
  map: HumanMap;
}

export interface Inference extends Closable {
  ready(): Promise<InferReady>;
  /** The batch that pays best on the provider that runs. */
  maxBatch: number;
  /** Runs that are worked on at the same time, each in a thread of its own. */
  threads: number;
  /** The call that has been out longest; undefined while none is. */
  readonly oldest: unknown;
  /** Rejects whatever is out, and all that comes, with INFERENCE_UNAVAILABLE: their photos are somebody else's to judge. */
  abandon(): void;
  /**
   * @param photos each side * side * 3 bytes of RGB; at most `maxBatch` of them.
   * @throws {UpstreamError} INFERENCE_UNAVAILABLE when the thread died; the next call starts it again.
   */
  run(photos: readonly Uint8Array[]): Promise<Scores[]>;
  /** As `run`, and says where. Only for a graph whose `ready` says `maps`. */
  explain(photos: readonly Uint8Array[]): Promise<Explained[]>;
}

interface InferSettings {
  provider: "auto" | Provider;
  /** 0: 8 on the CPU, 64 on CUDA. */
  maxBatch: number;
  /** Cores of one run on the CPU; 0: the cores are shared out among up to four runs at once. */
  threads: number;
  /** One run at a time, on one core, that gives way to everything else. */
  background?: boolean;
}

/**
 * The model in threads of its own, because a run blocks the thread that it is called from: one on CUDA; on the CPU
 * a few, each on its share of the cores, because two runs on a core each are faster than one after the other on
 * both, where every layer waits for the slower core.
 *
 * The photos of a batch are laid into one buffer, which moves to the thread, comes back with the result, and is
 * used again: two runs at once need two buffers, whatever the number of photos.
 *
 * @param url the entry point workers/infer.ts.
 */
export function createInference(url: URL, model: Model, settings: InferSettings): Inference {
  const background = settings.background ?? false;
  const preferred: Provider[] = settings.provider === "auto" ? ["cuda", "cpu"] : [settings.provider];
  // the card is the active model's
  const providers: Provider[] = background ? ["cpu"] : preferred;
  const limit = { cpu: settings.maxBatch || 8, cuda: settings.maxBatch || 64 };
  const cores = background ? 1 : availableParallelism();
  const runs = settings.threads > 0 ? Math.max(1, Math.floor(cores / settings.threads)) : Math.min(cores, 4);
  const workerData: InferData = {
    graphs: model.graphs,
    side: model.side,
    categories: model.categories.length,
    providers,
    sizes: {
      cpu: upTo([1, 2, 3, 4, 6, 8, 16, 32], limit.cpu),
      cuda: upTo([1, 8, 16, 32, 64, 128, 256], limit.cuda),
    },
    threads: background ? 1 : settings.threads || Math.floor(cores / runs),
    background,
  };
  const member = (data: InferData) => ({
    thread: createThread<InferCall, InferResult, InferReady>({
      url,
      workerData: data,
      crashCode: "INFERENCE_UNAVAILABLE",
      timeoutMs: 0,
    }),
    busy: 0,
  });
  // the first tells which provider runs; only on the CPU do others join it
  const crew = [member(workerData)];
  let starting: Promise<InferReady> | undefined;
  let ending = false;
  const photoBytes = model.side * model.side * 3;
  const free: ArrayBuffer[] = [];
  const out = new Set<InferCall>();
  let abandon = (): void => {};
  const abandoned = new Promise<never>((_resolve, reject) => {
    abandon = () => reject(new UpstreamError("INFERENCE_UNAVAILABLE", "this worker cannot judge any more"));
  });
  abandoned.catch(() => {});
  let provider: Provider = providers.at(-1)!;

  async function send(photos: readonly Uint8Array[], maps: boolean): Promise<InferResult> {
    const size = workerData.sizes[provider].find((size) => size >= photos.length) ?? photos.length;
    const pixels = free.pop() ?? new ArrayBuffer(limit[provider] * photoBytes);
    const target = new Uint8Array(pixels);
    for (const [index, photo] of photos.entries()) {
      if (photo.length !== photoBytes)
        throw new Error(`expected ${photoBytes} bytes of pixels, got ${photo.length}`);
      target.set(photo, index * photoBytes);
    }
    const idlest = crew.reduce((best, each) => (each.busy < best.busy ? each : best));
    const call: InferCall = { pixels, count: photos.length, size, maps };
    idlest.busy++;
    out.add(call);
    const answer = idlest.thread.call(call, [pixels]).finally(() => {
      idlest.busy--;
      out.delete(call);
    });
    answer.catch(() => {});
    const result = await Promise.race([abandoned, answer]).catch((thrown: unknown) => {
      // a folder that was changed under a thread which starts again is no fault of the photo
      if (!(thrown instanceof ModerationError) || thrown.retry) throw thrown;
      throw new UpstreamError("INFERENCE_UNAVAILABLE", thrown.message, { cause: thrown });
    });
    free.push(result.pixels);
    return result;
  }

  async function run(photos: readonly Uint8Array[]): Promise<Scores[]> {
    if (photos.length === 0) return [];
    const result = await send(photos, false);
    return photos.map((_, index) => scoresAt(index, result, model.categories));
  }

  async function explain(photos: readonly Uint8Array[]): Promise<Explained[]> {
    if (photos.length === 0) return [];
    const result = await send(photos, true);
    return photos.map((_, index) => ({
      scores: scoresAt(index, result, model.categories),
      map: result.maps[index]!,
    }));
  }

  async function start(): Promise<InferReady> {
    const ready = await crew[0]!.thread.ready();
    provider = ready.provider;
    // a thread that starts again does so on the one that sizes, variant and figures are of
    workerData.providers = [provider];
    if (provider === "cpu") {
      // one that joined by now would be ended by nobody, and a process that exits inside of its warm-up is aborted
      while (crew.length < runs && !ending) crew.push(member(workerData));
      await Promise.all(crew.map(({ thread }) => thread.ready()));
    }
    return ready;
  }

  return {
    ready() {
      starting ??= start();
      return starting;
    },
    get maxBatch() {
      return limit[provider];
    },
    get threads() {
      return crew.length;
    },
    get oldest() {
      return out.values().next().value;
    },
    abandon,
    run,
    explain,
    async halt() {
      ending = true;
      await Promise.all(crew.map(({ thread }) => thread.halt()));
    },
    async close() {
      ending = true;
      await Promise.all(crew.map(({ thread }) => thread.close()));
      free.length = 0;
    },
  };
}

function scoresAt(index: number, { category, human }: InferResult, names: readonly string[]): Scores {
  const row = category.subarray(index * names.length, (index + 1) * names.length);
  return {
    categories: Object.fromEntries(names.map((name, k) => [name, row[k]!])),
    human: human[index]!,
  };
}

function upTo(sizes: number[], limit: number): number[] {
  return sizes.filter((size) => size < limit).concat(limit);
}
