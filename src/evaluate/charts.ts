/** Charts as inline SVG: axes 0..1 both ways, coloured by the classes of the page's style, with no script and no font. */
import type { CalibrationBin } from "./reliability.ts";
import type { CurvePoint } from "./statistics.ts";

interface Series {
  name: string;
  curve: readonly CurvePoint[];
}

/** Precision over recall, a line for each series. `label`: what a screen reader says of the whole. */
export function precisionRecallChart(label: string, series: readonly Series[]): string {
  const lines = series.map(({ curve }, index) => {
    // from the first point straight up to the axis, as the area is counted
    const points = curve.map(({ recall, precision }, at) => `${at ? "L" : "M"}${x(recall)} ${y(precision)}`);
    const start = curve[0] ? `M${x(0)} ${y(curve[0].precision)}L` : "";
    return `<path class="line s${index}" d="${start}${points.join("").slice(start ? 1 : 0)}"/>`;
  });
  return frame(label, "recall", "precision", lines.join(""));
}

/** What is true over what the model says: on the diagonal, its probabilities mean what they say. */
export function reliabilityChart(label: string, bins: readonly CalibrationBin[]): string {
  const marks = bins.map(({ score, share }) => {
    const whisker = `<line class="whisker" x1="${x(score)}" x2="${x(score)}" y1="${y(share.low)}" y2="${y(share.high)}"/>`;
    return `${whisker}<circle class="dot" cx="${x(score)}" cy="${y(share.value ?? 0)}" r="3.5"/>`;
  });
  const diagonal = `<line class="diagonal" x1="${x(0)}" y1="${y(0)}" x2="${x(1)}" y2="${y(1)}"/>`;
  return frame(label, "probability that the model gives", "share that is true", diagonal + marks.join(""));
}

function frame(label: string, across: string, up: string, content: string): string {
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((at) => {
    const grid = `<line class="grid" x1="${x(at)}" x2="${x(at)}" y1="${y(0)}" y2="${y(1)}"/><line class="grid" x1="${x(0)}" x2="${x(1)}" y1="${y(at)}" y2="${y(at)}"/>`;
    const text = `<text x="${x(at)}" y="${y(0) + 16}" text-anchor="middle">${at}</text><text x="${x(0) - 7}" y="${y(at) + 4}" text-anchor="end">${at}</text>`;
    return grid + text;
  });
  const axes = `<text x="${x(0.5)}" y="${HEIGHT - 4}" text-anchor="middle">${across}</text><text transform="translate(11 ${y(0.5)}) rotate(-90)" text-anchor="middle">${up}</text>`;
  return `<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">${ticks.join("")}${axes}${content}</svg>`;
}

function x(share: number): number {
  return round(LEFT + share * (WIDTH - LEFT - RIGHT));
}

function y(share: number): number {
  return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

const [WIDTH, HEIGHT] = [360, 320];
const [LEFT, RIGHT, TOP, BOTTOM] = [46, 14, 12, 42];
