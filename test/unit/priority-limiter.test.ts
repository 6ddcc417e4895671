import { expect, test } from "vitest";
import { createPriorityLimiter } from "../../src/moderate/priority-limiter.ts";

test("lets as many in as it is wide, live before backfill before shadow, oldest first", async () => {
  const limiter = createPriorityLimiter(1);
  const order: string[] = [];
  let open: (() => void) | undefined;
  const first = limiter("backfill", () => new Promise<void>((resolve) => (open = resolve)));
  const later: Promise<void>[] = [];
  const rest = [
    limiter("shadow", async () => void order.push("shadow")),
    limiter("backfill", async () => void order.push("backfill 1")),
    limiter("live", async () => {
      later.push(limiter("live", async () => void order.push("live 3")));
      await new Promise(setImmediate);
      order.push("live 1");
    }),
    limiter("backfill", async () => void order.push("backfill 2")),
    limiter("live", async () => void order.push("live 2")),
  ];
  expect(order).toEqual([]);
  open!();
  await Promise.all([first, ...rest]);
  await Promise.all(later);
  expect(order).toEqual(["live 1", "live 2", "live 3", "backfill 1", "backfill 2", "shadow"]);
});

test("makes room again when the work fails", async () => {
  const limiter = createPriorityLimiter(1);
  await expect(limiter("live", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await expect(limiter("live", async () => "in")).resolves.toBe("in");
});
