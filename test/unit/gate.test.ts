import { expect, test } from "vitest";
import { createGate } from "../../src/moderate/gate.ts";

test("lets as many in as it is wide, live before backfill, oldest first", async () => {
  const gate = createGate(1);
  const order: string[] = [];
  let open: (() => void) | undefined;
  const first = gate("backfill", () => new Promise<void>((resolve) => (open = resolve)));
  const rest = [
    gate("backfill", async () => void order.push("backfill 1")),
    gate("live", async () => void order.push("live 1")),
    gate("backfill", async () => void order.push("backfill 2")),
    gate("live", async () => void order.push("live 2")),
  ];
  expect(order).toEqual([]);
  open!();
  await Promise.all([first, ...rest]);
  expect(order).toEqual(["live 1", "live 2", "backfill 1", "backfill 2"]);
});

test("makes room again when the work fails", async () => {
  const gate = createGate(1);
  await expect(gate("live", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  await expect(gate("live", async () => "in")).resolves.toBe("in");
});
