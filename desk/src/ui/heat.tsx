import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { get, Refused, wordsOf } from "../api.ts";
import type { HeatMap, Photo } from "../types.ts";
import { score } from "../words.ts";
import { Problem } from "./problem.tsx";
import { useLink } from "./use-link.ts";

interface HeatProps {
  photo: Photo;
  /** Width / height of the photo, which lies in the middle of its frame, as large as it fits. */
  ratio: number;
  reachable: boolean;
  onStale(): Promise<void> | void;
}

/** Where the model sees a human, over the photo: yellow to red, a ring around a clear peak, and the photo's score beside it. */
export function Heat({ photo, ratio, reachable, onStale }: HeatProps) {
  const link = photo.links.heat;
  const { came: map, failed, problem, onCome, onFail, again } = useLink<HeatMap>(photo.id, link, onStale);
  const waits = !map && !failed;
  useEffect(() => {
    if (!waits) return;
    const gone = new AbortController();
    get<HeatMap>(link.replace(API, ""), {}, gone.signal).then(onCome, (thrown: unknown) => {
      if (gone.signal.aborted) return;
      const status = thrown instanceof Refused ? thrown.status : 0;
      void onFail(Promise.resolve({ status, problem: wordsOf(thrown) }));
    });
    return () => gone.abort();
  }, [link, waits]);
  if (problem) {
    return (
      <Problem reachable={reachable} onAgain={again}>
        {`no heat map: ${problem}`}
      </Problem>
    );
  }
  if (!map) {
    return (
      <div class="picture-wait" aria-hidden="true">
        <span class="heat-said">looking for a human …</span>
      </div>
    );
  }
  const { x, y } = map.peak;
  const nowhere = map.nobody ? "nobody seen" : "no clear place";
  const said = map.clear ? score(map.human) : `${score(map.human)}, ${nowhere}`;
  return (
    <div
      class="heat"
      role="img"
      aria-label={`Heat map of where a human is seen, ${said}`}
      style={{ "--ratio": ratio, "--x": x, "--y": y }}
    >
      <Cells map={map} />
      {map.clear && <i class="heat-peak" />}
      <span class={`heat-said number ${!map.clear ? "" : x > 0.5 ? "at-peak before" : "at-peak"}`}>
        {said}
      </span>
    </div>
  );
}

/** One pixel for each cell: the browser draws them as large as the photo, and smooth. */
function Cells({ map: { width, height, values } }: { map: HeatMap }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const image = new ImageData(width, height);
    for (const [cell, value] of values.entries()) {
      image.data.set([255, 225 * (1 - value), 40 * (1 - value), 170 * value], cell * 4);
    }
    canvas.current!.getContext("2d")!.putImageData(image, 0, 0);
  }, [values]);
  return <canvas ref={canvas} width={width} height={height} />;
}

/** What links begin with, and `get` adds itself. */
const API = "/desk/api/";
