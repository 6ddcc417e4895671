import { parentPort, Worker } from "node:worker_threads";
import {
  asError,
  ConfigError,
  codeOf,
  type ErrorCode,
  ModerationError,
  PhotoError,
  UpstreamError,
} from "./errors.ts";
import type { Closable } from "./lifecycle.ts";

/** A worker thread that answers calls one at a time, in order. */
interface Thread<In, Out, Ready> extends Required<Closable> {
  /** Starts the thread if it does not run, and answers what it said when it was ready. @throws as `call` does. */
  ready(): Promise<Ready>;
  /**
   * @param transfer buffers of `message` that move to the thread and are gone here.
   * @throws {UpstreamError} with the thread's crash code when it did not start, died or hung; the next call starts it anew.
   */
  call(message: In, transfer: ArrayBuffer[]): Promise<Out>;
  /** Ends the thread, which has no call left, and gives its memory back; the next call starts it anew. */
  end(): Promise<void>;
}

interface ThreadOptions {
  /** The thread's entry point. */
  url: URL;
  workerData: unknown;
  /** The code of the error that callers get when the thread dies. */
  crashCode: ErrorCode;
  /** Longest one call may take, in milliseconds, from when it is sent; 0: for ever. */
  timeoutMs: number;
}

type Reply<Out> = { id: number } & (
  | { result: Out }
  | { error: { code: ErrorCode; message: string; permanent: boolean } }
);

interface Running<Out, Ready> {
  worker: Worker;
  ready: Promise<Ready>;
  /** By id; 0 is the thread's own start. */
  calls: Map<number, Call<Out>>;
  /** Told when no call is left. */
  settled: (() => void) | undefined;
}

interface Call<Out> {
  resolve(value: Out): void;
  reject(error: Error): void;
}

/**
 * The thread is never ended during a call unless the call has hung: `terminate()` inside native code can take
 * the process with it.
 */
export function createThread<In, Out, Ready>(options: ThreadOptions): Thread<In, Out, Ready> {
  let current: Running<Out, Ready> | undefined;
  let closed = false;
  let halted: Promise<void> | undefined;
  let nextId = 1;

  function begin(): Worker {
    try {
      return new Worker(options.url, { workerData: options.workerData, stdout: true, stderr: true });
    } catch (cause) {
      // as where this machine, or its limits, have room for no other thread
      throw new UpstreamError(options.crashCode, `the thread did not start: ${asError(cause).message}`, {
        cause,
      });
    }
  }

  function start(): Running<Out, Ready> {
    const worker = begin();
    // libraries chat there; stdout is the command's own, and stderr has its log. What matters comes as a reply, or is thrown
    worker.stdout.resume();
    worker.stderr.resume();
    const calls = new Map<number, Call<unknown>>();
    const ready = new Promise<Ready>((resolve, reject) => {
      calls.set(0, { resolve: resolve as (value: unknown) => void, reject });
    });
    ready.catch(() => {});
    worker.on("message", (reply: Reply<unknown>) => {
      const call = calls.get(reply.id);
      calls.delete(reply.id);
      if ("result" in reply) call?.resolve(reply.result);
      else call?.reject(revive(reply.error));
      if (calls.size === 0) idle();
    });
    const idle = (): void => {
      worker.unref();
      thread.settled?.();
    };
    const die = (cause: unknown): void => {
      if (current?.worker === worker) current = undefined;
      const error = new UpstreamError(options.crashCode, `the thread died: ${asError(cause).message}`, {
        cause,
      });
      for (const call of calls.values()) call.reject(error);
      calls.clear();
      thread.settled?.();
    };
    worker.on("error", die);
    worker.on("messageerror", die);
    worker.on("exit", (code) => die(new Error(`it ended with ${code}`)));
    const thread: Running<Out, Ready> = {
      worker,
      ready,
      calls: calls as Map<number, Call<Out>>,
      settled: undefined,
    };
    return thread;
  }

  function running(): Running<Out, Ready> {
    if (closed) throw new UpstreamError("CLOSED", "the thread is closed");
    current ??= start();
    return current;
  }

  async function call(message: In, transfer: ArrayBuffer[]): Promise<Out> {
    const thread = running();
    await thread.ready;
    const id = nextId++;
    let timer: NodeJS.Timeout | undefined;
    return new Promise<Out>((resolve, reject) => {
      thread.calls.set(id, { resolve, reject });
      thread.worker.ref();
      thread.worker.postMessage({ id, message }, transfer);
      if (options.timeoutMs === 0) return;
      timer = setTimeout(() => void thread.worker.terminate(), options.timeoutMs);
    }).finally(() => clearTimeout(timer));
  }

  async function end(): Promise<void> {
    const thread = current;
    current = undefined;
    await thread?.worker.terminate();
  }

  function halt(): Promise<void> {
    closed = true;
    halted ??= settle();
    return halted;
  }

  async function settle(): Promise<void> {
    const thread = current;
    if (!thread) return;
    await thread.ready.catch(() => {});
    while (thread.calls.size > 0) await new Promise<void>((resolve) => (thread.settled = resolve));
  }

  async function close(): Promise<void> {
    const thread = current;
    await halt();
    await thread?.worker.terminate();
  }

  return { ready: async () => running().ready, call, end, halt, close };
}

/**
 * The thread's side: says that it is ready, then answers calls in their order.
 *
 * @param prepare runs once; a throw of it ends the thread.
 * @returns nothing; an error of the handler goes to the caller with its code, and the thread lives on.
 */
export async function serveThread<In, Out, Ready>(
  prepare: () => Promise<{
    ready: Ready;
    handle(message: In): Promise<{ result: Out; transfer: ArrayBuffer[] }>;
  }>,
): Promise<void> {
  const port = parentPort;
  if (!port) throw new Error("expected to run in a worker thread");
  const refuse = (id: number, thrown: unknown): void => {
    const permanent = thrown instanceof ModerationError && !thrown.retry;
    port.postMessage({ id, error: { code: codeOf(thrown), message: asError(thrown).message, permanent } });
  };
  let prepared: Awaited<ReturnType<typeof prepare>>;
  try {
    prepared = await prepare();
  } catch (thrown) {
    return refuse(0, thrown);
  }
  let last: Promise<void> = Promise.resolve();
  port.on("message", ({ id, message }: { id: number; message: In }) => {
    last = last.then(async () => {
      try {
        const { result, transfer } = await prepared.handle(message);
        port.postMessage({ id, result }, transfer);
      } catch (thrown) {
        refuse(id, thrown);
      }
    });
  });
  port.postMessage({ id: 0, result: prepared.ready });
}

function revive({
  code,
  message,
  permanent,
}: {
  code: ErrorCode;
  message: string;
  permanent: boolean;
}): Error {
  if (!permanent) return new UpstreamError(code, message);
  return code === "CONFIG_INVALID" ? new ConfigError(message) : new PhotoError(code, message);
}
