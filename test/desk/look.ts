import axe from "axe-core";
import type { Page } from "playwright-core";

/** What axe finds against WCAG 2.2 AA and its best practices, as it says it. */
export function violations(page: Page): Promise<string[]> {
  return violationsOf(page, ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]);
}

/** The same in both themes, of which only colours differ. */
export async function violationsInBoth(
  page: Page,
  shot: (theme: string) => Promise<void>,
): Promise<string[]> {
  const found: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await shot(colorScheme);
    const violated =
      colorScheme === "light"
        ? await violations(page)
        : await violationsOf(page, ["color-contrast", "link-in-text-block"]);
    found.push(...violated.map((each) => `${colorScheme}: ${each}`));
  }
  return found;
}

async function violationsOf(page: Page, only: string[]): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations: all } = await page.evaluate(
    (runOnly) => (globalThis as unknown as { axe: typeof import("axe-core") }).axe.run(document, { runOnly }),
    only,
  );
  return all.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
}

/** In what way the document is larger than the window, within which everything scrolls. */
export async function overflowOf(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const { scrollWidth, scrollHeight, clientWidth, clientHeight } = document.documentElement;
    return [
      ...(scrollWidth > clientWidth ? [`${scrollWidth} pixels wide`] : []),
      ...(scrollHeight > clientHeight ? [`${scrollHeight} pixels high`] : []),
    ];
  });
}

/** Tables of which something is seen only by scrolling, those of charts downwards aside, and cards whose words end early. */
export async function cutOff(page: Page): Promise<string[]> {
  return page
    .locator(".table-scroll, .card-reason, .card-words")
    .evaluateAll((all) =>
      all.flatMap((each) =>
        each.scrollWidth > each.clientWidth ||
        (each.scrollHeight > each.clientHeight && !each.closest(".more"))
          ? [
              `${each.ariaLabel ?? each.textContent}: ${each.scrollWidth} x ${each.scrollHeight} pixels in ${each.clientWidth} x ${each.clientHeight}`,
            ]
          : [],
      ),
    );
}

/**
 * Where DESK_SHOTS names a folder, pictures of every page go there, to be looked at.
 *
 * @param scroller what scrolls in the page: the picture is as tall as all that is in it.
 */
export async function shoot(page: Page, name: string, scroller?: string): Promise<void> {
  const folder = process.env["DESK_SHOTS"];
  if (!folder) return;
  await page.waitForFunction(() => [...document.images].every(({ complete }) => complete));
  const before = page.viewportSize()!;
  if (scroller) {
    const height = await page.locator(scroller).evaluate((element) => element.scrollHeight);
    await page.setViewportSize({ width: before.width, height: height + 52 });
  }
  await page.screenshot({ path: `${folder}/${name.replace(/\W+/g, "-")}.png` });
  await page.setViewportSize(before);
}
