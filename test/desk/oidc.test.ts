import type { Page } from "playwright-core";
import { describe, expect, onTestFinished } from "vitest";
import { type Account, startProvider, type TestProvider } from "../oidc-provider.ts";
import { CHROMIUM } from "./chromium.ts";
import { test as base, looked, show } from "./desk.ts";

/** A desk behind a real provider, which is another site to the browser; what the account says may be changed. */
const test = base.extend<{
  account: Account & { id: string };
  settings: (url: string) => Promise<Record<string, string>>;
}>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  account: async ({}, use) =>
    use({ id: "sub-77", email: "ann@example.com", verified: true, groups: ["mods"] }),
  settings: async ({ account }, use) => {
    const open: TestProvider[] = [];
    await use(async (url) => {
      const client = { id: "desk", secret: "s".repeat(40), redirect: `${url}/desk/api/oidc/callback` };
      const provider = await startProvider(client, account, "localhost");
      open.push(provider);
      return {
        MAITRED_DESK_URL: url,
        MAITRED_OIDC_ISSUER: provider.issuer,
        MAITRED_OIDC_CLIENT_ID: client.id,
        MAITRED_OIDC_CLIENT_SECRET: client.secret,
        MAITRED_OIDC_SCOPES: "openid email groups",
        MAITRED_OIDC_ROLES: "groups=mods:moderator,groups=ops:operator",
      };
    });
    for (const provider of open) await provider.close();
  },
});

const pagesOf = (page: Page): Promise<string[]> =>
  page.getByRole("navigation").getByRole("link").allInnerTexts();
const enter = async (page: Page): Promise<void> => {
  await page.getByRole("link", { name: "Sign in with your account" }).click();
  await page.getByRole("navigation").waitFor();
};
const leave = async (page: Page): Promise<void> => {
  await page.getByRole("button", { name: "You, and the theme" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("link", { name: "Sign in with your account" }).waitFor();
};

describe.skipIf(!CHROMIUM)("signing in at a provider", { timeout: 120_000 }, () => {
  test("whoever opens the queue's own view comes back to it from the provider", async ({
    browser,
    desk,
    account,
  }) => {
    account.groups = ["ops"];
    const context = await browser.newContext();
    onTestFinished(() => context.close());
    const page = await context.newPage();
    await page.goto(`${desk.url}/desk/bull/queue/live`);
    await page.getByRole("link", { name: "Sign in with your account" }).click();
    await page.waitForURL(`${desk.url}/desk/bull/queue/live`);
    await page.getByText("live", { exact: true }).first().waitFor();
  });

  test("leads back to the page that was asked for, by name and role, until signing out", async ({
    desk,
    browser,
    account,
  }) => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const asked: string[] = [];
    page.on(
      "request",
      (request) => void (request.isNavigationRequest() && asked.push(new URL(request.url()).hostname)),
    );
    await page.goto(`${desk.url}/desk/search?state=hidden`);
    await enter(page);
    expect(page.url()).toBe(`${desk.url}/desk/search?state=hidden`);
    expect(new Set(asked)).toEqual(new Set(["127.0.0.1", "localhost"]));
    expect(await pagesOf(page)).toEqual(["Review", "Search", "Operate", "Dashboards"]);
    await page.locator(".card img").first().waitFor();
    await page.getByRole("link", { name: "Review" }).click();
    await looked(page);
    await show(page);
    await page.getByText("✓ shown").waitFor();
    expect((await desk.db.pool.query("select moderator from review_decisions")).rows).toEqual([
      { moderator: "ann@example.com" },
    ]);
    await leave(page);
    await page.reload();
    await page.getByRole("link", { name: "Sign in with your account" }).waitFor();

    // roles are those of the moment of signing in
    account.groups = ["ops"];
    await enter(page);
    expect(await pagesOf(page)).toEqual(["Search", "Operate", "Dashboards", "Access"]);
    await page.getByRole("link", { name: "Access" }).click();
    await page.getByText(/signed in with localhost:\d+, as sub-77, as operator/).waitFor();
    await leave(page);
    account.groups = ["guests"];
    await page.getByRole("link", { name: "Sign in with your account" }).click();
    await page.getByText("you are known, but have no role at this desk").waitFor();
    account.verified = false;
    await page.getByRole("link", { name: "Sign in with your account" }).click();
    await page.getByText("your provider has not verified your address").waitFor();
    await context.close();
  });
});
