import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Locator, Page } from "playwright-core";
import sharp from "sharp";
import { describe, expect, onTestFinished } from "vitest";
import { judged } from "../desk.ts";
import { makeModel } from "../models.ts";
import { colourGraph } from "../onnx.ts";
import { CHROMIUM } from "./chromium.ts";
import { test as base, NARROW, WIDE } from "./desk.ts";
import { shoot, violations } from "./look.ts";
import { startProxy } from "./proxy.ts";

interface Spotted {
  width: number;
  height: number;
  x: number;
  y: number;
  spot?: string;
}

/** Dark photos with a white spot, as large as a cell of the map of a model that takes it for a human. */
const PHOTOS: Record<"portrait.png" | "landscape.png", Spotted> = {
  "portrait.png": { width: 480, height: 800, x: 2.5 / 8, y: 6.5 / 8 },
  "landscape.png": { width: 960, height: 560, x: 7.5 / 8, y: 1.5 / 8 },
};
const NAMES = Object.keys(PHOTOS) as (keyof typeof PHOTOS)[];

const test = base.extend<{
  ids: Record<string, string>;
  settings: (url: string) => Promise<Record<string, string>>;
}>({
  ids: async ({ db, folder }, use) => {
    await db.pool.query("delete from photos");
    for (const name of NAMES) await paint(join(folder, name), PHOTOS[name]);
    const ids = await judged(
      db,
      NAMES.map((key) => ({ key, human: 0.3 })),
    );
    await db.pool.query("update photos set store = 'folder', bucket = $1, version = ''", [folder]);
    await use(Object.fromEntries(NAMES.map((name, n) => [name, ids[n]!])));
  },
  settings: async ({ folder, ids }, use) => {
    expect(Object.keys(ids)).toHaveLength(2);
    const eyes = makeModel(join(folder, "models"), "eyes-1", { files: { "model.onnx": colourGraph(64) } });
    await use(async () => ({ MAITRED_FOLDERS: folder, MAITRED_MODEL: eyes }));
  },
});

async function paint(
  path: string,
  { width, height, x, y, spot: background = "white" }: Spotted,
): Promise<void> {
  const spot = { width: width / 8, height: height / 8, channels: 3 as const, background };
  const at = { left: (x - 1 / 16) * width, top: (y - 1 / 16) * height };
  await sharp({ create: { width, height, channels: 3, background: { r: 90, g: 30, b: 10 } } })
    .composite([{ input: { create: spot }, ...at }])
    .toFile(path);
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** In pixels of the window, at one moment: where `object-fit: contain` has the photo drawn, its map, and the ring. */
const placed = (picture: Locator): Promise<Record<"photo" | "map" | "ring", Box>> =>
  picture.evaluate((element) => {
    const boxOf = (selector: string) => {
      const { x, y, width, height } = element.querySelector(selector)!.getBoundingClientRect();
      return { x, y, width, height };
    };
    const { x, y, width, height } = boxOf("img");
    const { naturalWidth, naturalHeight } = element.querySelector("img")!;
    const scale = Math.min(width / naturalWidth, height / naturalHeight);
    const [w, h] = [naturalWidth * scale, naturalHeight * scale];
    const photo = { x: x + (width - w) / 2, y: y + (height - h) / 2, width: w, height: h };
    return { photo, map: boxOf(".heat canvas"), ring: boxOf(".heat-peak") };
  });
/** Of the map's pixels the most opaque one: its middle, 0..1 of the frame. */
const highest = (canvas: Locator): Promise<{ x: number; y: number }> =>
  canvas.evaluate((element) => {
    const { width, height } = element as HTMLCanvasElement;
    const pixels = (element as HTMLCanvasElement).getContext("2d")!.getImageData(0, 0, width, height).data;
    let best = 0;
    for (let cell = 0; cell < width * height; cell++) {
      if (pixels[cell * 4 + 3]! > pixels[best * 4 + 3]!) best = cell;
    }
    return { x: ((best % width) + 0.5) / width, y: (Math.floor(best / width) + 0.5) / height };
  });

/** The map lies on the photo to a pixel; its ring, and what is highest of it, on the spot. */
async function expectOnPhoto(picture: Locator, name: keyof typeof PHOTOS): Promise<void> {
  const heat = picture.locator(".heat");
  await heat.waitFor({ timeout: 60_000 });
  const { photo, map, ring } = await placed(picture);
  const { width, height } = PHOTOS[name];
  expect(photo.width / photo.height).toBeCloseTo(width / height, 1);
  for (const side of ["x", "y", "width", "height"] as const)
    expect(Math.abs(map[side] - photo[side]), `${side} of ${name}`).toBeLessThan(0.5);
  const peak = await highest(heat.locator("canvas"));
  const middle = {
    x: (ring.x + ring.width / 2 - photo.x) / photo.width,
    y: (ring.y + ring.height / 2 - photo.y) / photo.height,
  };
  for (const axis of ["x", "y"] as const) {
    expect(peak[axis], `${axis} of the peak of ${name}`).toBe(PHOTOS[name][axis]);
    expect(Math.abs(middle[axis] - peak[axis]), `${axis} of the ring of ${name}`).toBeLessThan(0.01);
  }
}

const hold = async (page: Page, name: string): Promise<void> => {
  await page.locator(`.card[aria-label^="${name},"]`).click({ position: { x: 80, y: 120 } });
  await page.locator(`.card[aria-label^="${name},"][aria-current]`).waitFor();
};

describe.skipIf(!CHROMIUM)("the heat map", { timeout: 120_000 }, () => {
  test.for([WIDE, NARROW])("lies exactly on the photo, at $width pixels", async (viewport, { desk, ids }) => {
    const page = await desk.open("ann", { viewport });
    await page.locator(".card").first().waitFor();
    await page.keyboard.press("m");
    for (const name of NAMES) {
      await hold(page, name);
      await expectOnPhoto(page.locator(".card[aria-current]"), name);
      if (viewport === WIDE) await expectOnPhoto(page.locator(".inspector"), name);
      await shoot(page, `heat-${name}-${viewport.width}`);
    }
    expect(await violations(page)).toEqual([]);
    for (const name of NAMES) {
      await page.goto(`${desk.url}/desk/photos/${ids[name]}`);
      await page.getByRole("button", { name: "Heat map" }).click();
      await expectOnPhoto(page.locator(".photo-look"), name);
      await shoot(page, `heat-page-${name}-${viewport.width}`);
    }
    await page.getByRole("button", { name: "Heat map" }).click();
    await page.locator(".heat").waitFor({ state: "detached" });
    expect(desk.complaints).toEqual([]);
  });

  test("is not drawn over the blur of a photo that is hidden for a human, but once that is asked for", async ({
    desk,
    ids,
  }) => {
    await desk.db.pool.query("update photos set state = 'hidden', rule = 'human'");
    const page = await desk.open("ann", { path: `/desk/photos/${ids["portrait.png"]}` });
    const asked: string[] = [];
    page.on("request", (request) => request.url().includes("/heat?") && asked.push(request.url()));
    await page.getByRole("button", { name: "Heat map" }).click();
    const picture = page.locator(".photo-look");
    await picture.locator(".picture-wait").waitFor({ state: "detached" });
    expect(await picture.locator("img").evaluate((img) => getComputedStyle(img).filter)).toContain("blur");
    expect([await picture.locator(".heat, .heat-said").count(), asked]).toEqual([0, []]);
    await page.getByRole("button", { name: /^Show portrait\.png, which is hidden/ }).click();
    await expectOnPhoto(picture, "portrait.png");
    await picture
      .getByRole("img", { name: /^Heat map of where a human is seen, 0\.[89]\d$/ })
      .getByText(/^0\.[89]\d$/)
      .waitFor();
  });

  test("says that it looks, and where no place is clear, in place of a ring", async ({ desk, folder }) => {
    for (const name of NAMES) await paint(join(folder, name), { ...PHOTOS[name], spot: "#404040" });
    const page = await desk.open("ann");
    let goOn!: () => void;
    const looked = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    await page.route("**/heat?*", (route) => looked.then(() => route.continue()));
    await page.locator(".card").first().waitFor();
    await page.keyboard.press("m");
    const pictures = [page.locator(".card[aria-current]"), page.locator(".inspector")];
    for (const picture of pictures) await picture.getByText("looking for a human").waitFor();
    await shoot(page, "heat-wait");
    goOn();
    for (const picture of pictures) {
      await picture.getByText(/^0\.2\d, no clear place$/).waitFor({ timeout: 60_000 });
      expect(await picture.locator(".heat-peak").count()).toBe(0);
    }
    await shoot(page, "heat-nowhere");
    expect(await violations(page)).toEqual([]);
  });

  test("says that nobody is seen where the policy neither hides nor holds it for a human", async ({
    desk,
    folder,
    ids,
  }) => {
    await paint(join(folder, "portrait.png"), { ...PHOTOS["portrait.png"], spot: "#080808" });
    const page = await desk.open("ann", { path: `/desk/photos/${ids["portrait.png"]}` });
    await page.getByRole("button", { name: "Heat map" }).click();
    await page.getByText(/^0\.0\d, nobody seen$/).waitFor({ timeout: 60_000 });
    await shoot(page, "heat-nobody");
  });

  test("is told once to the card and the side, and says why where it is not, over the photo", async ({
    desk,
    folder,
    ids,
  }) => {
    const proxy = await startProxy(desk.url);
    onTestFinished(proxy.close);
    const page = await desk.open("ann", { at: proxy.url });
    const seen = page.locator(".inspector .picture");
    const width = () => seen.locator("img").evaluate((img) => (img as HTMLImageElement).naturalWidth);
    await expect.poll(width).toBe(384);
    const path = join(folder, NAMES[0]!);
    rmSync(path);
    await page.keyboard.press("m");
    await seen.getByText("no heat map: GONE").waitFor({ timeout: 60_000 });
    expect(await width()).toBe(384);
    await page.setViewportSize(NARROW);
    const card = page.locator(".card[aria-current]");
    await card.getByText("no heat map: GONE").waitFor();
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      await shoot(page, `heat-problem-${colorScheme}`);
      expect(await violations(page)).toEqual([]);
    }
    await paint(path, PHOTOS[NAMES[0]!]);
    await card.getByRole("button", { name: "Try again" }).click();
    await expectOnPhoto(card, NAMES[0]!);
    await page.setViewportSize(WIDE);
    await seen.getByRole("button", { name: "Try again" }).click();
    await expectOnPhoto(seen, NAMES[0]!);
    await page.keyboard.press("j");
    await expectOnPhoto(seen, NAMES[1]!);
    await expectOnPhoto(card, NAMES[1]!);
    expect(proxy.passed.filter((url) => url.includes(`/${ids[NAMES[1]!]}/heat`))).toHaveLength(1);
  });

  test("is asked for by a fresh link where the one that the page has is too old", async ({ desk, ids }) => {
    const page = await desk.open("ann");
    const asked: string[] = [];
    await page.route("**/heat?*", (route) => {
      const url = route.request().url();
      asked.push(new URL(url).searchParams.get("fresh")!);
      // as the first is once minutes have passed
      return route.continue({ url: asked.length === 1 ? url.replace("until=", "until=9") : url });
    });
    let fresh = 0;
    await page.route("**/api/photos/*", async (route) => {
      const response = await route.fetch();
      const photo = (await response.json()) as { links: { heat: string } };
      photo.links.heat += `&fresh=${++fresh}`;
      await route.fulfill({ response, json: photo });
    });
    await page.goto(`${desk.url}/desk/photos/${ids["portrait.png"]}`);
    await page.getByRole("button", { name: "Heat map" }).click();
    await expectOnPhoto(page.locator(".photo-look"), "portrait.png");
    expect(asked).toEqual(["1", "2"]);
  });
});
