import { asError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";

export interface ModelRef {
  id: string;
  sha256: string;
}

export interface DesiredModels {
  /** undefined: nobody said, and each goes on with what it runs. */
  active: ModelRef | undefined;
  shadow: (ModelRef & { share: number }) | undefined;
}

interface ModelWatcherDeps<Model extends Closable> {
  read(): Promise<DesiredModels>;
  /** Opens and warms a model. `background`: it is to be a shadow. */
  open(wanted: ModelRef, background: boolean): Promise<Model>;
  /** Makes it the one that judges; answers once the one before has ended its work and is closed. */
  replace(model: Model): Promise<void>;
  shadow(model: Model | undefined, share: number): Promise<void>;
  /** Told after each look what keeps this worker from the models that it is to run; "" if nothing does. */
  report(problem: string): Promise<void>;
  /** What went wrong in looking itself; it is looked again. */
  failed(error: Error): void;
}

export interface ModelWatcher extends Closable {
  /** Looks now, and once more if called meanwhile; never throws. */
  look(): Promise<void>;
}

/**
 * Keeps a worker on the models that it is to run: looks when it is told to and every `pollMs`. A model is opened
 * beside the one that runs and takes over once it is warm. One that cannot be opened leaves the other running, and
 * is tried again at each look.
 *
 * `close` waits for a model that is being opened, because a thread must not end inside of a run.
 *
 * @param running what runs now.
 */
export function createModelWatcher<Model extends Closable>(
  deps: ModelWatcherDeps<Model>,
  running: ModelRef,
  pollMs: number,
): ModelWatcher {
  let shadow: DesiredModels["shadow"];
  let looking: Promise<void> | undefined;
  let again = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  async function once(): Promise<void> {
    const desired = await deps.read();
    const problems: string[] = [];
    // before it becomes the active one itself, and would be set beside itself
    if (!same(desired.shadow, shadow)) await setShadow(undefined);
    if (desired.active && !same(desired.active, running)) {
      problems.push(...(await activate(desired.active)));
    }
    if (!same(desired.shadow, shadow) || desired.shadow?.share !== shadow?.share) {
      problems.push(...(await setShadow(desired.shadow)));
    }
    await deps.report(problems.join("; "));
  }

  async function activate(wanted: ModelRef): Promise<string[]> {
    return attempt(wanted, false, async (model) => {
      running = wanted;
      await deps.replace(model);
    });
  }

  async function setShadow(wanted: DesiredModels["shadow"]): Promise<string[]> {
    if (shadow) await deps.shadow(undefined, 0);
    shadow = undefined;
    if (!wanted) return [];
    return attempt(wanted, true, async (model) => {
      shadow = wanted;
      await deps.shadow(model, wanted.share);
    });
  }

  /** What kept the model from being opened: one problem, or none. */
  async function attempt(
    wanted: ModelRef,
    background: boolean,
    then: (model: Model) => Promise<void>,
  ): Promise<string[]> {
    let model: Model;
    try {
      model = await deps.open(wanted, background);
    } catch (thrown) {
      return [asError(thrown).message];
    }
    if (closed) await model.close();
    else await then(model);
    return [];
  }

  async function look(): Promise<void> {
    do {
      again = false;
      await once().catch((thrown) => deps.failed(asError(thrown)));
    } while (again && !closed);
  }

  const watcher: ModelWatcher = {
    look() {
      if (closed) return looking ?? Promise.resolve();
      again = true;
      clearTimeout(timer);
      looking ??= look().finally(() => {
        looking = undefined;
        if (!closed) timer = setTimeout(() => void watcher.look(), pollMs).unref();
      });
      return looking;
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await looking;
    },
  };
  return watcher;
}

function same(one: ModelRef | undefined, other: ModelRef | undefined): boolean {
  return one?.id === other?.id && one?.sha256 === other?.sha256;
}
