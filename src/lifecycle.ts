import { UpstreamError } from "./errors.ts";

/** Something with an end. Closing twice must be safe. */
export interface Closable {
  close(): Promise<void>;
  /** Begins nothing more, and answers as soon as the process may exit without harm; drains nothing. */
  halt?(): Promise<void>;
}

/** What a process holds open. Closes newest first; one failure never skips the rest. */
export class Scope {
  readonly #held: { name: string; resource: Closable }[] = [];
  #closing: Promise<void> | undefined;

  /** @throws {UpstreamError} CLOSED once it is closing; the resource is then closed too. */
  hold<T extends Closable>(name: string, resource: T): T {
    if (this.#closing) {
      void resource.close().catch(() => {});
      throw new UpstreamError("CLOSED", `${name} came too late: the process is shutting down`);
    }
    this.#held.push({ name, resource });
    return resource;
  }

  /** For what ends by a call that is not named `close`. */
  onClose(name: string, close: () => unknown): void {
    this.hold(name, { close: async () => void (await close()) });
  }

  get closing(): boolean {
    return this.#closing !== undefined;
  }

  /** Safe to call twice: the second caller waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async halt(): Promise<void> {
    await Promise.allSettled(this.#held.map(({ resource }) => resource.halt?.()));
  }

  async #closeAll(): Promise<void> {
    const failures: Error[] = [];
    for (const { name, resource } of this.#held.toReversed()) {
      try {
        await resource.close();
      } catch (cause) {
        failures.push(new Error(`closing ${name}`, { cause }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "shutdown was not clean");
  }
}

/** The part of `process` that a graceful end needs; tests pass their own. */
interface ProcessLike {
  on(signal: "SIGTERM" | "SIGINT" | "SIGHUP", listener: () => void): unknown;
  exit(code?: number | string | null): void;
  /** Says what the end was brought about by; without one a clean end is 0, and another 1. */
  readonly exitCode?: number | string | null | undefined;
}

/**
 * First signal drains for at most `graceMs` and exits 0; a second one, or the deadline, exits 1 at once, which is
 * after the model run at hand: a process that exits inside of one is aborted. A terminal that is closed is such a signal too.
 */
export function exitOnSignal(
  proc: ProcessLike,
  scope: Required<Closable>,
  graceMs: number,
  report: (error: unknown) => void,
): void {
  let stopping = false;
  const leave = (): void => {
    setTimeout(() => proc.exit(proc.exitCode ?? 1), HALT_MS).unref();
    void scope.halt().finally(() => proc.exit(proc.exitCode ?? 1));
  };
  const onSignal = (): void => {
    if (stopping) {
      leave();
      return;
    }
    stopping = true;
    setTimeout(() => {
      report(new Error(`not drained within ${graceMs} ms: what was in hand is judged by the next worker`));
      leave();
    }, graceMs).unref();
    scope.close().then(
      () => proc.exit(proc.exitCode ?? 0),
      (error: unknown) => {
        report(error);
        proc.exit(proc.exitCode ?? 1);
      },
    );
  };
  proc.on("SIGTERM", onSignal);
  proc.on("SIGINT", onSignal);
  proc.on("SIGHUP", onSignal);
}

const HALT_MS = 3_000;
