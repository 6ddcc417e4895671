import { Registry } from "prom-client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fresh, showGauges } from "../../src/http/gauges.ts";
import { createMetrics } from "../../src/http/metrics.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function scrape(registry: Registry): Promise<string[]> {
  const text = await registry.metrics();
  return text.split("\n").filter((line) => line && !line.startsWith("#"));
}

function shown(read: () => Promise<{ plain: number; dead: number }>): Registry {
  const registry = new Registry();
  const both = fresh(read);
  showGauges(registry, [
    { name: "plain", help: "one number", read: async () => (await both()).plain },
    {
      name: "by_state",
      help: "one a state",
      labels: ["state"],
      read: async () => [{ labels: { state: "dead" }, value: (await both()).dead }],
    },
  ]);
  return registry;
}

test("gauges are read once for all of a scrape, and again when they are old", async () => {
  let read = 0;
  const registry = shown(async () => ({ plain: ++read, dead: 7 }));
  expect(await scrape(registry)).toEqual(["plain 1", 'by_state{state="dead"} 7']);
  vi.advanceTimersByTime(4_000);
  expect(await scrape(registry)).toEqual(["plain 1", 'by_state{state="dead"} 7']);
  vi.advanceTimersByTime(2_000);
  expect(await scrape(registry)).toEqual(["plain 2", 'by_state{state="dead"} 7']);
});

test("gauges that cannot be read are left out, and come back", async () => {
  let away = false;
  const registry = shown(async () => {
    if (away) throw new Error("away");
    return { plain: 0, dead: 1 };
  });
  expect(await scrape(registry)).toHaveLength(2);
  away = true;
  vi.advanceTimersByTime(6_000);
  expect(await scrape(registry)).toEqual([]);
  away = false;
  expect(await scrape(registry)).toHaveLength(2);
});

test("a scrape does not wait for long for gauges that do not come", async () => {
  const registry = shown(() => new Promise(() => {}));
  const scraped = scrape(registry);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await scraped).toEqual([]);
});

test("a worker's metrics say of each lane how many photos wait or are put off, how long the oldest has, and whether it is paused", async () => {
  const metrics = createMetrics(async () => [
    { lane: "live", prefix: "q", waiting: 3, delayed: 7, oldestMs: 4_500, paused: true },
    { lane: "backfill", prefix: "q", waiting: 0, delayed: 0, oldestMs: 0, paused: false },
  ]);
  const text = await metrics.registry.metrics();
  expect(text.split("\n").filter((line) => line.startsWith("maitred_queue"))).toEqual([
    'maitred_queue_waiting{lane="live",prefix="q"} 3',
    'maitred_queue_waiting{lane="backfill",prefix="q"} 0',
    'maitred_queue_delayed{lane="live",prefix="q"} 7',
    'maitred_queue_delayed{lane="backfill",prefix="q"} 0',
    'maitred_queue_oldest_seconds{lane="live",prefix="q"} 4.5',
    'maitred_queue_oldest_seconds{lane="backfill",prefix="q"} 0',
    'maitred_queue_paused{lane="live",prefix="q"} 1',
    'maitred_queue_paused{lane="backfill",prefix="q"} 0',
  ]);
});

test("a worker's counters of verdicts and failures are there, at 0, before its first photo", async () => {
  const text = await createMetrics(async () => []).registry.metrics();
  expect(text).toContain('maitred_photos_total{lane="live",verdict="hidden",category=""} 0');
  expect(text).toContain('maitred_failures_total{lane="backfill",code="ACCESS_DENIED"} 0');
});
