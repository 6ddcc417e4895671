import type { Page } from "playwright-core";
import { type Desk, looked } from "./desk.ts";

export const reviews = async ({ db }: Desk) =>
  (
    await db.pool.query(
      `select p.key, v.decided_by as by, v.verdict, r.category, r.human, v.id::int as id
       from reviews r join verdicts v on v.id = r.verdict_id join photos p on p.id = r.photo_id order by v.id`,
    )
  ).rows;

/** Has a person asked about one photo more. */
export const ASK = `update photos set state = 'review', rule = 'verify', decided_by = 'model:restaurant-6'
  where id = (select min(id) from photos where state = 'shown' and decided_by like 'model:%') returning key`;

/** The names of the photos in the grid, in order; all fit into the window. */
export const names = async (page: Page): Promise<string[]> => {
  const labels = await page
    .locator(".card")
    .evaluateAll((cards) => cards.map((card) => card.ariaLabel ?? ""));
  return labels.map((label) => label.split(",")[0]!);
};

export const inHand = (page: Page): Promise<string | null> =>
  page.locator('.card[aria-current="true"]').getAttribute("aria-label");

export const opened = async (desk: Desk, name = "ann", options = {}): Promise<Page> => {
  const page = await desk.open(name, options);
  await looked(page);
  return page;
};
