/** What judges photos, assembled from its parts: it needs neither queue nor database. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { type Policy, parsePolicy, policyIdOf } from "../decide/policy.ts";
import { ConfigError, UpstreamError, whyUnread } from "../errors.ts";
import { decode, restrictSharp } from "../image/decode.ts";
import { createHeicDecoder } from "../image/heic.ts";
import { isLarge } from "../image/heif-pixels.ts";
import { sniff } from "../image/sniff.ts";
import { createInference, type Inference } from "../infer/infer.ts";
import { type Model, openModel } from "../infer/model.ts";
import { type Closable, Scope } from "../lifecycle.ts";
import type { Turn } from "../moderate/line.ts";
import { packageRoot, threadEntry } from "../package-root.ts";

/** The part of the line that needs neither queue nor database: `maitred classify` is made of it. */
export interface Judge extends Required<Closable> {
  model: Model;
  policy: Policy;
  policyText: string;
  policyId: string;
  inference: Inference;
  /** Photos that may be decoded at once, and besides them slow ones. */
  decoders: number;
  slowDecoders: number;
  /** See `LineModel`. */
  decode(bytes: Uint8Array, turn: Turn): Promise<Uint8Array[]>;
  /** Puts off, as CLOSED, what waits for a slow decoder, or for another large photo: it would outlast the time to drain. */
  refuseWaiting(): void;
}

/** The directories in which model folders are looked for by their ids. */
export function modelDirectories(config: Config): string[] {
  return [config.models, join(packageRoot(), "models")].filter(Boolean);
}

/** The model that runs where none is active. */
export function openShippedModel(config: Config): Promise<Model> {
  return openModel(join(packageRoot(), "models", SHIPPED), config.variant);
}

/** MAITRED_MODEL, or the model that ships. */
export function openDefaultModel(config: Config): Promise<Model> {
  return config.model ? openModel(config.model, config.variant) : openShippedModel(config);
}

/**
 * @param given what judges; without it MAITRED_MODEL, or the model that ships.
 * @param how background: it gives way to everything else; policyText: instead of that of MAITRED_POLICY.
 * @throws {ConfigError} where model or policy cannot be used.
 */
export async function openJudge(
  config: Config,
  given?: Model,
  how: { background?: boolean; policyText?: string | undefined } = {},
): Promise<Judge> {
  const model = given ?? (await openDefaultModel(config));
  const { policy, policyText } = openPolicy(config, model, how.policyText);
  await restrictSharp();
  // ONNX Runtime tells Microsoft of the machine, the command and the model, and a command of some hundred paths crashes it
  process.env["ORT_DISABLE_TELEMETRY"] = "1";
  const cores = availableParallelism();
  // the system shares the cores out between them and the others; with fewer, those that wait would hold the lane's places. Each
  // keeps up to 550 MB, of a photo that is not large
  const slowDecoders = Math.min(cores, 8);
  const inference = createInference(threadEntry("infer"), model, {
    ...config,
    background: how.background ?? false,
  });
  const heic = createHeicDecoder(threadEntry("heic"), slowDecoders);
  const limits = { side: model.side, maxPixels: config.maxPixels };
  let refused = false;
  const scope = new Scope();
  scope.hold("inference", inference);
  scope.hold("heic", heic);
  return {
    model,
    policy,
    policyText,
    policyId: policyIdOf(policyText),
    inference,
    // one more than cores, so that a core is busy while another photo is between two steps
    decoders: cores + 1,
    slowDecoders,
    decode(bytes, turn) {
      const format = sniff(bytes);
      const work = (): Promise<Uint8Array[]> => decode(bytes, limits, heic.decode);
      if ((format !== "avif" && format !== "heic") || !isLarge(bytes, format))
        return turn(work, format === "heic" ? "slow" : "ordinary");
      const unlessRefused = (): Promise<Uint8Array[]> => {
        if (refused) throw new UpstreamError("CLOSED", "shutting down before it was decoded");
        return work();
      };
      // a kilobyte of AVIF may be 50 megapixels, which take 1.2 GB: the memory of a worker is that of one of them
      return turn(unlessRefused, "large");
    },
    refuseWaiting() {
      refused = true;
      heic.refuseWaiting();
    },
    halt: () => scope.halt(),
    close: () => scope.close(),
  };
}

/**
 * The policy of MAITRED_POLICY, or the one that ships.
 *
 * @param given its text, instead of the file's.
 * @throws {ConfigError} where it cannot be used.
 */
export function openPolicy(
  config: Config,
  model: Model,
  given?: string,
): { policy: Policy; policyText: string } {
  const file = config.policy || join(packageRoot(), "policy.yaml");
  const policyText = given ?? readPolicy(file, "; set MAITRED_POLICY to a policy file");
  return { policy: parsePolicy(policyText, model.categories, file), policyText };
}

/** @param todo what mends it, where it cannot be read. @throws {ConfigError} */
export function readPolicy(file: string, todo = ""): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`${file}: ${whyUnread(cause)}${todo}`, { cause });
  }
}

const SHIPPED = "restaurant-6";
