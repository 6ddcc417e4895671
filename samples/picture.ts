/** `npm run picture`: takes docs/desk.png anew, of the desk as it is, over sample photos that `maitred up` judges. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../src/package-root.ts";
import { launchChromium } from "../test/desk/chromium.ts";
import { maitred } from "../test/maitred.ts";
import { collectGold } from "./gold.ts";

const SHOWN = /^(business|menu|stylish-portfolio-3|landing-portrait)/;

const home = mkdtempSync(join(tmpdir(), "maitred-picture-"));
const photos = join(home, "photos");
mkdirSync(photos);
await collectGold(photos);
// of what a restaurant has, and of people
for (const name of readdirSync(photos)) if (!SHOWN.test(name)) rmSync(join(photos, name));
const policy = join(home, "policy.yaml");
// so that more than menus wait
const verified = readFileSync(join(packageRoot(), "policy.yaml"), "utf8").replace(
  "[menu]",
  "[menu, food, ambience]",
);
writeFileSync(policy, verified);
const env = {
  MAITRED_HOME: join(home, "state"),
  MAITRED_POLICY: policy,
  MAITRED_API_PORT: "0",
  MAITRED_AUDIT_PER_MILLE: "0",
};
const judged = maitred(["up", "--once", photos], env);
if ((await judged.exit) !== 0) throw new Error(judged.stderr());
const up = maitred(["up", photos], env);
await up.says("within the hour: ");
const browser = await launchChromium();
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  await page.goto(/within the hour: (\S+)/.exec(up.stderr())![1]!);
  await page.locator(".card").first().waitFor();
  // a guest objects to what was hidden
  const api = new URL("/desk/api/", page.url());
  const hidden = await page.request.get(new URL("photos?state=hidden", api).href);
  for (const { id } of ((await hidden.json()) as { photos: { id: string }[] }).photos) {
    const appeal = { headers: { "x-maitred-desk": "1" }, data: { reason: "that is a poster on the wall" } };
    await page.request.post(new URL(`photos/${id}/appeal`, api).href, appeal);
  }
  await page.locator(".kind", { hasText: "Appeal" }).first().waitFor();
  await page.getByText("look first").waitFor({ state: "detached" });
  for (const key of ["j", "j", "3", "s", "s", "j", "j", "k", "k"]) {
    // nobody shows what they have not seen
    if (key === "s") await page.locator(".decide-show:not([aria-disabled])").waitFor();
    await page.keyboard.press(key);
  }
  await page.getByText("✓").nth(1).waitFor();
  // as the server counts, which the page hears of a little later
  await page.getByRole("button", { name: /^All\s+10$/ }).waitFor();
  await page.getByText(/^2\s+last hour$/).waitFor();
  await page.waitForFunction("[...document.images].every(({ complete }) => complete)");
  await page.locator(".decide-show:not([aria-disabled])").waitFor();
  await page.screenshot({ path: join(packageRoot(), "docs/desk.png") });
} finally {
  await browser.close();
  up.child.kill("SIGTERM");
  await up.exit;
  rmSync(home, { recursive: true, force: true });
}
