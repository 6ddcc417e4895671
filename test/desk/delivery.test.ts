import type { Page } from "playwright-core";
import { describe, expect } from "vitest";
import { CHROMIUM } from "./chromium.ts";
import { type Desk, test, until } from "./desk.ts";

const decided = async ({ db }: Desk) =>
  (await db.pool.query("select decided_by as by, verdict from verdicts where rule = 'moderator' order by id"))
    .rows;
const opened = async (desk: Desk, name: string): Promise<Page> => {
  const page = await desk.open(name);
  await page.locator(".card").first().waitFor();
  return page;
};
const by = "moderator:ann";

describe.skipIf(!CHROMIUM)("decisions on their way", { timeout: 120_000 }, () => {
  test("what is decided offline is delivered once the network is back", async ({ desk }) => {
    const page = await opened(desk, "ann");
    await page.context().setOffline(true);
    await page.keyboard.press("s");
    await page.keyboard.press("h");
    await page.keyboard.press("u");
    await page.getByText("3 decisions on the way.").waitFor();
    expect(await decided(desk)).toEqual([]);
    await page.context().setOffline(false);
    const kept = () =>
      page.evaluate(() => Object.keys(localStorage).filter((key) => key.includes(".act.")).length);
    // what is kept in the browser goes once it was answered, the undoing last
    await until(kept, (n) => n === 0);
    expect(await decided(desk)).toMatchObject([
      { by, verdict: "shown" },
      { by, verdict: "hidden" },
    ]);
    expect((await desk.db.pool.query("select from reviews")).rowCount).toBe(1);
  });

  test("what was not delivered when the page was closed is delivered by the next, and no photo comes back", async ({
    desk,
  }) => {
    const page = await opened(desk, "ann");
    const before = await page.locator(".card").count();
    await page.context().route("**/review/decisions", (route) => route.abort());
    await page.keyboard.press("s");
    await page.keyboard.press("s");
    await page.getByText("2 decisions on the way.").waitFor();
    const next = await page.context().newPage();
    await page.close();
    await next.goto(`${desk.url}/desk/review`);
    await next.locator(".card").first().waitFor();
    expect(await next.locator(".card").count()).toBe(before - 2);
    await next.context().unroute("**/review/decisions");
    expect(
      await until(
        () => decided(desk),
        (rows) => rows.length === 2,
      ),
    ).toMatchObject([{ by }, { by }]);
  });

  test("an answer that was lost on the way does not make a decision count twice", async ({ desk }) => {
    const page = await opened(desk, "ann");
    let lost = 0;
    await page.route("**/review/decisions", async (route) => {
      const answer = await route.fetch();
      if (lost++ > 0) return route.fulfill({ response: answer });
      await route.abort();
    });
    await page.keyboard.press("s");
    await page.getByText("✓ shown").waitFor();
    expect(lost).toBe(2);
    expect(await decided(desk)).toHaveLength(1);
  });

  test("a server that is away is waited for", async ({ desk }) => {
    const page = await opened(desk, "ann");
    await desk.stop();
    await page.keyboard.press("h");
    await page.getByText("1 decision on the way.").waitFor();
    await page.getByText("Offline").waitFor();
    await desk.start();
    await page.getByText("✓ hidden").waitFor();
    expect(await decided(desk)).toMatchObject([{ by, verdict: "hidden" }]);
  });

  test("when the session was revoked, signing in again delivers what was decided meanwhile", async ({
    desk,
  }) => {
    const page = await opened(desk, "ann");
    await page.route("**/review/decisions", (route) => route.abort());
    await page.keyboard.press("s");
    await page.getByText("1 decision on the way.").waitFor();
    await desk.db.pool.query("select end_session(id, 'root', 'revoked') from desk_sessions");
    await page.unroute("**/review/decisions");
    await page.getByLabel("Token").waitFor();
    expect(await decided(desk)).toEqual([]);
    const { token } = await desk.token("ann", ["review"]);
    await page.getByLabel("Token").fill(token);
    await page.keyboard.press("Enter");
    expect(
      await until(
        () => decided(desk),
        (rows) => rows.length === 1,
      ),
    ).toMatchObject([{ by }]);
  });

  test("a photo that another moderator holds is theirs to decide, which is said plainly", async ({
    desk,
  }) => {
    const ann = await opened(desk, "ann");
    const link = await ann.locator(".inspector-name a").getAttribute("href");
    const bob = await desk.open("bob", { path: link! });
    await bob.getByRole("button", { name: "Hide: other" }).click();
    await bob.getByText("you decided hidden, but ann holds it").waitFor();
    expect(await decided(desk)).toEqual([]);
    await bob.getByRole("button", { name: "Understood" }).click();
    await bob.getByRole("heading", { name: "1 decision did not count" }).waitFor({ state: "detached" });
  });

  test("when another decided meanwhile, both are told apart, and the last word is a person's", async ({
    desk,
  }) => {
    const ann = await opened(desk, "ann");
    const link = await ann.locator(".inspector-name a").getAttribute("href");
    await ann.route("**/review/decisions", (route) => route.abort());
    await ann.keyboard.press("s");
    await ann.getByText("1 decision on the way.").waitFor();
    // as if her lease had ended
    await desk.db.pool.query("delete from review_claims");
    const bob = await desk.open("bob", { path: link! });
    await bob.getByRole("button", { name: "Hide: human" }).click();
    await until(
      () => decided(desk),
      (rows) => rows.length === 1,
    );
    await ann.unroute("**/review/decisions");
    await ann.getByText("you decided shown, but bob decided it meanwhile: it is hidden").waitFor();
    await ann.getByRole("button", { name: "Decide it my way" }).click();
    expect(
      await until(
        () => decided(desk),
        (rows) => rows.length === 2,
      ),
    ).toMatchObject([
      { by: "moderator:bob", verdict: "hidden" },
      { by, verdict: "shown" },
    ]);
  });
});
