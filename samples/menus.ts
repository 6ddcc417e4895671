import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import sharp, { type Sharp } from "sharp";
import { random } from "../src/evaluate/statistics.ts";

/** What is used of opentype.js, which has no types of its own and two faces: Node sees one, bundlers the other. */
interface Font {
  getAdvanceWidth(text: string, size: number): number;
  getPath(text: string, x: number, y: number, size: number): { commands: PathCommand[] };
}
type PathCommand = { type: string } & Partial<Record<"x1" | "y1" | "x2" | "y2" | "x" | "y", number>>;
const require = createRequire(import.meta.url);
const opentype = require("opentype.js") as { parse(bytes: ArrayBuffer): Font };

/** A card: its sections, its fonts and the light that it lies in. */
interface Card {
  title: string;
  sections: [string, [string, string][]][];
  titleFont: string;
  textFont: string;
  paper: string;
  ink: string;
  /** Degrees that the card lies askew; the table shows around it. */
  tilt: number;
}

/**
 * Draws the menu cards of the samples: text as outlines, so that no font of the machine is needed; paper, shadow
 * and table around them. The same card gives the same bytes on the same version of sharp.
 *
 * @returns JPEGs by file name.
 */
export async function renderMenus(): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const [index, card] of CARDS.entries()) files.set(`menu-${index + 1}.jpg`, await render(card));
  return files;
}

async function render(card: Card): Promise<Buffer> {
  const [width, height] = [1000, 1400];
  const title = loadFont(card.titleFont);
  const text = loadFont(card.textFont);
  const shapes: string[] = [outline(title, card.title, 500, 150, 84, "middle")];
  let y = 240;
  for (const [heading, dishes] of card.sections) {
    shapes.push(outline(title, heading, 100, y, 44, "start"));
    shapes.push(`<rect x="100" y="${y + 14}" width="800" height="2"/>`);
    y += 66;
    for (const [dish, price] of dishes) {
      shapes.push(outline(text, dish, 100, y, 30, "start"), outline(text, price, 900, y, 30, "end"));
      y += 46;
    }
    y += 40;
  }
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <defs><linearGradient id="light" x1="0" y1="0" x2="1" y2="1">
      <stop offset="0" stop-color="white" stop-opacity="0.25"/><stop offset="1" stop-color="black" stop-opacity="0.28"/>
    </linearGradient></defs>
    <rect width="${width}" height="${height}" fill="${card.paper}"/>
    <rect x="40" y="40" width="${width - 80}" height="${height - 80}" fill="none" stroke="${card.ink}" stroke-width="3"/>
    <g fill="${card.ink}">${shapes.join("")}</g><rect width="${width}" height="${height}" fill="url(#light)"/></svg>`;
  const flat = await sharp(Buffer.from(svg)).png().toBuffer();
  const tilted = await sharp(flat).rotate(card.tilt, { background: "#00000000" }).png().toBuffer();
  return table(1280, 1640)
    .composite([{ input: tilted, gravity: "centre" }])
    .blur(0.7)
    .jpeg({ quality: 88 })
    .toBuffer();
}

/** Grained wood, the same each time: the noise that sharp makes is another in every process. */
function table(width: number, height: number): Sharp {
  const next = random(1);
  const grain = Uint8Array.from({ length: width * height }, () => {
    // of four numbers the sum is all but normal: a mean of 118, and a deviation of 14
    const sum = next() + next() + next() + next();
    return 118 + 14 * (sum - 2) * Math.sqrt(3);
  });
  return sharp(grain, { raw: { width, height, channels: 1 } })
    .toColourspace("srgb")
    .tint("#7a5236");
}

function outline(
  font: Font,
  text: string,
  x: number,
  y: number,
  size: number,
  anchor: "start" | "middle" | "end",
): string {
  const width = font.getAdvanceWidth(text, size);
  const left = anchor === "start" ? x : anchor === "middle" ? x - width / 2 : x - width;
  // the package's own toPathData rounds some numbers to NaN
  const parts = font.getPath(text, left, y, size).commands.map((command) => {
    const points = [command.x1, command.y1, command.x2, command.y2, command.x, command.y];
    return (
      command.type +
      points
        .filter((value) => value !== undefined)
        .map((value) => value.toFixed(1))
        .join(" ")
    );
  });
  return `<path d="${parts.join("")}"/>`;
}

function loadFont(file: string): Font {
  const bytes = readFileSync(require.resolve(`@fontsource/${file}`));
  return opentype.parse(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

const serif = "playfair-display/files/playfair-display-latin-700-normal.woff";
const sans = "lato/files/lato-latin-400-normal.woff";
const CARDS: Card[] = [
  {
    title: "Trattoria Luna",
    titleFont: serif,
    textFont: sans,
    paper: "#f6efe0",
    ink: "#2b2018",
    tilt: -3,
    sections: [
      [
        "Antipasti",
        [
          ["Bruschetta with tomato and basil", "7.50"],
          ["Burrata, peach, toasted almonds", "12.00"],
          ["Vitello tonnato", "13.50"],
          ["Soup of the day", "6.90"],
        ],
      ],
      [
        "Pasta",
        [
          ["Tagliatelle al ragu", "15.00"],
          ["Ravioli, ricotta and spinach", "14.50"],
          ["Spaghetti alle vongole", "18.00"],
          ["Gnocchi, gorgonzola, walnuts", "14.00"],
        ],
      ],
      [
        "Dolci",
        [
          ["Tiramisu", "7.00"],
          ["Panna cotta, berries", "6.50"],
          ["Affogato", "5.50"],
        ],
      ],
    ],
  },
  {
    title: "THE HARBOUR",
    titleFont: sans,
    textFont: sans,
    paper: "#20262b",
    ink: "#e9e4d8",
    tilt: 2,
    sections: [
      [
        "BREAKFAST",
        [
          ["Eggs Benedict", "11"],
          ["Smashed avocado on sourdough", "10"],
          ["Porridge, honey, banana", "7"],
          ["Full breakfast", "14"],
        ],
      ],
      [
        "LUNCH",
        [
          ["Fish and chips, mushy peas", "16"],
          ["Chicken club sandwich", "13"],
          ["Caesar salad", "12"],
          ["Beef burger, cheddar, fries", "15"],
        ],
      ],
      [
        "DRINKS",
        [
          ["Flat white", "3.6"],
          ["Fresh orange juice", "4.2"],
          ["Pale ale, pint", "6.0"],
          ["House red, glass", "6.5"],
        ],
      ],
    ],
  },
];
