import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number } from "../words.ts";
import { alone, type Series } from "./series.ts";

type Unit = "count" | "share" | "score";

export interface PlotOptions {
  /** Milliseconds, or with `plain` numbers. */
  x: readonly number[];
  series: readonly Series[];
  /** x is a number, and not a time. */
  plain?: boolean;
  /** What values are: shares 0 to 1 are written in per cent. */
  as?: Unit;
  /** Steps from each x to the next, as of counts within bounds. */
  steps?: boolean;
}

/** Draws into the element, in the colours of the page as they are now, and as wide as it is. @returns what ends it. */
export function plot(element: HTMLElement, options: PlotOptions): () => void {
  const { x, series, plain = false, as = "count", steps = false } = options;
  const [ink, soft, edge] = ["--ink", "--soft", "--edge"].map((name) => colourOf(element, name));
  const colours = series.map((_, index) => colourOf(element, `--series-${(index % COLOURS) + 1}`));
  // told apart without colours too
  const dashes = series.map((_, index) => DASHES[index % DASHES.length]!);
  const value = (each: number | null): string => (each === null ? "–" : written(each, as));
  const xAs = (each: number): string => (plain ? each.toFixed(2) : time(each));
  // as in the tables: of UTC, and the same everywhere
  const time = (seconds: number): string =>
    new Date(seconds * 1_000).toISOString().slice(0, 16).replace("T", " ");
  const short = (seconds: number): string =>
    time(seconds).endsWith("00:00") ? time(seconds).slice(5, 10) : time(seconds).slice(11);
  const axis = { stroke: soft!, grid: { stroke: edge!, width: 1 }, ticks: { stroke: edge!, width: 1 } };
  const chart = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      // hours and days are of UTC, as in the tables
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), "Etc/UTC"),
      scales: {
        // around a single x there would be years
        x: { time: !plain, range: (_chart, low, high) => (low < high ? [low, high] : [low - 1, high + 1]) },
        y: { range: (_chart, _low, high) => [0, Math.max(high, as === "count" ? 1 : 0.01) * 1.05] },
      },
      axes: [
        {
          ...axis,
          size: 32,
          values: (_chart, values) => values.map((each) => (plain ? each.toFixed(1) : short(each))),
          ...(x.length === 1 && { splits: (chart) => [chart.data[0][0]!] }),
        },
        {
          ...axis,
          size: besides,
          values: (_chart, values) => values.map((each) => onAxis(each, as)),
        },
      ],
      series: [
        {
          label: plain ? "from" : "UTC",
          value: (_chart, each, _series, at) => (at === null ? "" : xAs(each)),
        },
        ...series.map(({ name, values }, index) => ({
          label: name,
          stroke: colours[index]!,
          width: 2,
          dash: dashes[index]!,
          // a line needs two points
          points: {
            show: false,
            filter: () => alone(values),
            size: 7,
            fill: colours[index]!,
          },
          // nobody points at the chart
          value: (_chart: uPlot, each: number | null, _series: number, at: number | null) =>
            at === null ? "" : value(each),
          ...(steps && { paths: uPlot.paths.stepped!({ align: 1 }) }),
        })),
      ],
      legend: {
        markers: { width: 0, fill: (_chart, index) => sample(colours[index - 1]!, dashes[index - 1]!) },
      },
      cursor: { points: { stroke: ink! }, drag: { x: false, y: false } },
    },
    [plain ? [...x] : x.map((ms) => ms / 1_000), ...series.map(({ values }) => [...values])],
    element,
  );
  const resized = new ResizeObserver(() => {
    chart.setSize({ width: element.clientWidth, height: HEIGHT });
  });
  resized.observe(element);
  return () => {
    resized.disconnect();
    chart.destroy();
  };
}

/** A number as legends and tables write it. */
export function written(value: number, as: Unit): string {
  if (as === "score") return value.toFixed(2);
  if (as === "share") return `${(value * 100).toFixed(1)} %`;
  return number(Math.round(value * 10) / 10);
}

/** Pixels beside the axis of values: what the longest of them takes, and what its ticks do. */
function besides(chart: uPlot, values: string[] | null): number {
  // uPlot keeps the font in an array, in pixels of the screen
  chart.ctx.font = chart.axes[1]!.font![0]!;
  const widths = (values ?? []).map((each) => chart.ctx.measureText(each).width / devicePixelRatio);
  return Math.max(LEAST_BESIDES, ...widths.map((width) => Math.ceil(width) + 16));
}

/** Without digits that say nothing. */
function onAxis(value: number, as: Unit): string {
  return as === "share" ? `${Number((value * 100).toFixed(1))} %` : written(value, as);
}

/** A canvas knows nothing of custom properties, and those know nothing of the theme until something has the colour. */
function colourOf(element: HTMLElement, name: string): string {
  const probe = element.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** The line as the chart draws it, as a background. */
function sample(colour: string, dash: readonly number[]): string {
  let at = 0;
  const stops = dash.map((length, index) => {
    at += length;
    return `${index % 2 === 0 ? colour : "transparent"} ${at - length}px ${at}px`;
  });
  return stops.length > 0 ? `repeating-linear-gradient(90deg, ${stops.join(", ")})` : colour;
}

const HEIGHT = 220;
/** So that charts below each other begin at the same place. */
const LEAST_BESIDES = 56;
const COLOURS = 5;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5]];
