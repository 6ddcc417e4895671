import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { exitOnSignal, Scope } from "../../src/lifecycle.ts";

describe("Scope", () => {
  test("closes newest first, once, and goes on after a failure", async () => {
    const scope = new Scope();
    const order: string[] = [];
    scope.onClose("first", () => order.push("first"));
    scope.onClose("second", () => {
      order.push("second");
      throw new Error("stuck");
    });
    scope.onClose("third", () => order.push("third"));
    const both = await Promise.allSettled([scope.close(), scope.close()]);
    expect(order).toEqual(["third", "second", "first"]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  });

  test("closes what comes once it is closing, and says that it came too late", async () => {
    const scope = new Scope();
    const ending = scope.close();
    let closed = false;
    const close = async (): Promise<void> => {
      closed = true;
      throw new Error("stuck");
    };
    expect(() => scope.hold("pool", { close })).toThrow("pool came too late");
    expect(closed).toBe(true);
    await ending;
  });

  test("halts all that it holds, whatever fails", async () => {
    const scope = new Scope();
    const halted: string[] = [];
    const close = async (): Promise<void> => {};
    scope.hold("first", { close, halt: async () => void halted.push("first") });
    scope.hold("second", { close });
    scope.hold("third", { close, halt: () => Promise.reject(new Error("stuck")) });
    await scope.halt();
    expect(halted).toEqual(["first"]);
  });
});

describe("exitOnSignal", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function listen(close: () => Promise<void>, broughtAbout?: number, halt = async () => {}) {
    const codes: number[] = [];
    const listeners = new Map<string, () => void>();
    const proc = {
      on: (signal: string, listener: () => void) => listeners.set(signal, listener),
      exit: (code: number) => void codes.push(code),
      exitCode: broughtAbout,
    };
    exitOnSignal(proc, { close, halt }, 1_000, () => {});
    return { codes, signal: (name = "SIGTERM") => listeners.get(name)!() };
  }

  test.for(["SIGTERM", "SIGINT", "SIGHUP"])("drains on %s and exits 0", async (name) => {
    const { codes, signal } = listen(async () => {});
    signal(name);
    await vi.advanceTimersByTimeAsync(0);
    expect(codes).toEqual([0]);
  });

  test("exits with what brought the end about, also where not everything closed cleanly", async () => {
    for (const close of [async () => {}, () => Promise.reject(new Error("leak"))]) {
      const { codes, signal } = listen(close, 3);
      signal();
      await vi.advanceTimersByTimeAsync(0);
      expect(codes).toEqual([3]);
    }
  });

  test("exits 1 at once on a second signal", async () => {
    const { codes, signal } = listen(() => new Promise(() => {}));
    signal();
    signal();
    await vi.advanceTimersByTimeAsync(0);
    expect(codes).toEqual([1]);
  });

  test("exits after the model run at hand, and does not wait for it without end", async () => {
    const never = (): Promise<void> => new Promise(() => {});
    let end = (): void => {};
    const running = new Promise<void>((resolve) => {
      end = resolve;
    });
    const [ends, hangs] = [listen(never, undefined, () => running), listen(never, undefined, never)];
    for (const { signal } of [ends, ends, hangs, hangs]) signal();
    await vi.advanceTimersByTimeAsync(0);
    expect([ends.codes, hangs.codes]).toEqual([[], []]);
    end();
    await vi.advanceTimersByTimeAsync(0);
    expect([ends.codes, hangs.codes]).toEqual([[1], []]);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(hangs.codes).toContain(1);
  });

  test("exits 1 when draining takes longer than the grace period", async () => {
    const { codes, signal } = listen(() => new Promise(() => {}));
    signal();
    await vi.advanceTimersByTimeAsync(999);
    expect(codes).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(codes).toEqual([1]);
  });

  test("exits 1 when something did not close cleanly", async () => {
    const { codes, signal } = listen(() => Promise.reject(new Error("leak")));
    signal();
    await vi.advanceTimersByTimeAsync(0);
    expect(codes).toEqual([1]);
  });
});
