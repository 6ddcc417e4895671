import { describe, expect, inject, onTestFinished, vi } from "vitest";
import { Scope } from "../../src/lifecycle.ts";
import { createLog } from "../../src/log.ts";
import { clockGauge } from "../../src/wiring/clock.ts";
import { openPostgres } from "../../src/wiring/servers.ts";
import { test } from "../fixtures.ts";
import { ended } from "../maitred.ts";

/** For this process; Postgres has its own. */
function setClock(aheadMs: number): void {
  const right = Date.now;
  const clock = vi.spyOn(Date, "now").mockImplementation(() => right() + aheadMs);
  onTestFinished(() => clock.mockRestore());
}

describe.each([
  // the question and its answer may take nearly a second
  [3_600_450, "3600 s ahead of"],
  [-60_450, "60 s behind"],
])("a clock that is %d ms ahead of that of Postgres", (aheadMs, apart) => {
  const said = `the clock of this machine is ${apart} that of Postgres: let NTP set both`;

  test("is in the log of whatever runs, and in its figures", async ({ db, configFor }) => {
    setClock(aheadMs);
    const lines: string[] = [];
    const log = createLog("error", { write: (line) => void lines.push(line) });
    const scope = new Scope();
    await openPostgres(configFor("postgres"), log, scope);
    await scope.close();
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual([said]);
    const aheadS = await clockGauge(db.pool).read();
    expect(Math.round(Number(aheadS))).toBe(Math.round(aheadMs / 1_000));
  });

  test("fails maitred doctor", async ({ db }) => {
    setClock(aheadMs);
    const { code, out } = await ended(["doctor"], {
      DATABASE_URL: db.url,
      MAITRED_MODEL: inject("idleModel"),
    });
    expect(code).toBe(1);
    expect(out).toMatch(new RegExp(`FAIL +postgres +${said}`));
  });
});

test("a clock that is right is no news", async ({ db, configFor }) => {
  const lines: string[] = [];
  const scope = new Scope();
  await openPostgres(
    configFor("postgres"),
    createLog("warn", { write: (line) => void lines.push(line) }),
    scope,
  );
  await scope.close();
  expect(lines).toEqual([]);
  expect(await clockGauge(db.pool).read()).toBe(0);
});
