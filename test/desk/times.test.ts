import { describe, expect } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { test } from "./desk.ts";

describe.skipIf(!CHROMIUM)("times", { timeout: 120_000 }, () => {
  test("have 24 hours, and name the time zone of their reader, wherever the browser is from", async ({
    desk,
  }) => {
    await desk.db.pool.query("update photos set registered_at = '2026-03-01T13:05:00Z'");
    const { rows } = await desk.db.pool.query("select id from photos limit 1");
    const photo = `/desk/photos/${rows[0].id}`;
    for (const [locale, timezoneId, time] of [
      ["en-US", "America/New_York", "1 Mar 2026, 08:05 GMT-5"],
      ["de-DE", "Asia/Kolkata", "1 Mar 2026, 18:35 GMT+5:30"],
    ] as const) {
      const page = await desk.open("ann", { path: photo, locale, timezoneId });
      const known = page.locator(".facts div").filter({ hasText: "known since" });
      await known.waitFor();
      expect(await known.innerText()).toContain(time);
    }
  });
});
