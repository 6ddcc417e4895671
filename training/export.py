"""A trained network → a model folder. Example: python export.py runs/final ../models/restaurant-7 --folds runs/f0 runs/f1 runs/f2

Figures and calibration come from the fold runs: each saw the photos of other sources only. What is measured on one
fold is calibrated on the others; what ships is calibrated on all. int8 ships where it keeps up with fp32 on the
photos held out and is faster by enough; otherwise the folder has no int8, and says why.
"""

import argparse
import hashlib
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from beside import VARIANTS, add_detector, export_detector, keep_in_16_bits
from calibrate import Calibration
from card import card
from data import CATEGORIES, UNKNOWN, group_of
from features import labels_of
from graph import Shipped, export_fp16, export_fp32, export_int8, open_graph, run as graph_outputs
from looks import look_closer
from measure import measure
from rounds import described
from sources import source_hashes
from trained import Run, fit, measured_runs, pooled, read, spread
from weights import detector_text

LOSS, GAIN = 0.005, 1.5
BESIDE = 0.05  # of a human's probability: the detector in a graph sees another grey at the frame's edge


def write_graphs(run: Run, calibration: Calibration, sample: np.ndarray, seers: Path, folder: Path) -> float:
    """Writes all three into `folder`, each with the one of the detector in `seers` (export_detector); returns the largest difference
    between PyTorch and fp32 of the network alone. Raises SystemExit where what both say is not what was calibrated."""
    folder.mkdir(parents=True, exist_ok=True)
    side = run.args["side"]
    shipped = Shipped(run.net, side, calibration).eval()
    fp32, fp16, int8 = (folder / name for name in VARIANTS)
    export_fp32(shipped, side, fp32)
    export_fp16(fp32, fp16)
    export_int8(fp32, sample, int8)
    some = torch.from_numpy(sample[:16])
    with torch.inference_mode():
        alone, seen = shipped(some), run.detector(some.permute(0, 3, 1, 2).float())
    worst = max(float(np.abs(a.numpy() - b).max()) for a, b in zip(alone, graph_outputs(fp32, sample[:16])))
    for name in VARIANTS:
        add_detector(folder / name, seers / name, folder / name, calibration)
    expected = torch.sigmoid(torch.logit(alone[1]) + calibration.seen * seen.amax((1, 2))).numpy()
    apart = float(np.abs(expected - graph_outputs(fp32, sample[:16])[1]).max())
    if apart > BESIDE:
        raise SystemExit(f"{fp32}: with the detector it differs from PyTorch by {apart} in humans: not exported")
    for name in VARIANTS:
        look_closer(folder / name, side, calibration.nobody, even=name == VARIANTS[1])
    keep_in_16_bits(fp32)
    return worst


def compare_int8(folds: list[Run], labels: list[dict], sample: np.ndarray, seers: Path, work: Path, limit: int, threshold: float) -> dict:
    """The same held-out photos through fp32 and int8 of the fold networks: what int8 loses, as shares; None where no photo tells."""
    fp32, int8, truth = [], [], []
    for number, fold in enumerate(folds):
        write_graphs(fold, fit(folds, labels), sample, seers, work / f"fold{number}")
        at = drawn_for_int8(fold.photos, labels, limit)
        pixels = read(fold.data, [labels[photo] for photo in at], fold.args["side"])
        for name, kept in (("model.onnx", fp32), ("model.int8.onnx", int8)):
            kept.append(graph_outputs(work / f"fold{number}" / name, pixels)[:2])
        truth += [labels[photo] for photo in at]
        print(json.dumps({"int8": number + 1, "of": len(folds)}), flush=True)
    figures = {}
    for name, parts in (("fp32", fp32), ("int8", int8)):
        category, human = (np.concatenate(each) for each in zip(*parts))
        figures[name] = measure(category, human, np.zeros((len(human), 2)), truth, rounds=1)
    at = [entry["human"] for entry in figures["fp32"]["thresholds"]].index(threshold)
    rows = {name: figures[name]["thresholds"][at] for name in figures}
    return {"photos": len(truth), "threshold": threshold,
            **{f"{key}Lost": _difference(*(figures[name][key] and figures[name][key][0] for name in ("fp32", "int8"))) for key in ("categoryAccuracy", "humanAveragePrecision")},
            "moreHumansShown": _difference(rows["int8"]["shown"], rows["fp32"]["shown"]),
            "thresholds": figures["int8"]["thresholds"],
            "moreHeld": _difference(rows["int8"]["freeFoodAndAmbienceHeld"], rows["fp32"]["freeFoodAndAmbienceHeld"])}


def drawn_for_int8(photos: np.ndarray, labels: list[dict], limit: int) -> np.ndarray:
    """At most `limit` of the photos: half of them, as far as there are so many, tell of humans, which few may do."""
    drawn = np.random.default_rng(0).permutation(photos).tolist()
    known = [photo for photo in drawn if labels[photo]["human_id"] != UNKNOWN]
    return np.sort(list(dict.fromkeys([*known[:limit // 2], *drawn]))[:limit])


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else round(one - other, 4)


def weigh_int8(losses: dict, folder: Path, sample: np.ndarray) -> dict:
    """`losses` (compare_int8), with the times of the graphs in `folder`, and whether int8 ships."""
    # in a process of its own: the threads that made the graphs would take part of the core
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        speed = alone.submit(milliseconds, {"fp32": folder / VARIANTS[0], "int8": folder / VARIANTS[2]}, sample[:8]).result()
    gain = round(speed["fp32"] / speed["int8"], 2)
    # thresholds are set for a model and may move; what no threshold gives back is a loss
    lost = None if None in losses.values() else max(losses["categoryAccuracyLost"], losses["humanAveragePrecisionLost"])
    return losses | {"msPerPhoto": speed, "gain": gain, "lost": lost, "ships": lost is not None and lost < LOSS and gain >= GAIN}


def shipping(int8: dict, folder: Path) -> dict:
    """`files` and `variants` of model.json; int8 is taken out of the folder where it does not ship (weigh_int8)."""
    variants = {"cuda": VARIANTS[1]} | ({"cpu": VARIANTS[2]} if int8["ships"] else {})
    if not int8["ships"]:
        (folder / VARIANTS[2]).unlink()
        loses = f"it loses {int8['lost']:.4f} (less than {LOSS} may be)" if int8["lost"] is not None else "what it loses was not measured: too few of the photos held out tell"
        print(f"int8 does not ship: {loses}, and it is {int8['gain']} times as fast ({GAIN} is the least)")
    return {"files": {file.name: {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()} for file in sorted(folder.glob("*.onnx"))}, "variants": variants}


def licences(labels: list[dict]) -> dict[str, int]:
    return dict(Counter(str(label.get("licence") or "") for label in labels).most_common())


def milliseconds(files: dict[str, Path], sample: np.ndarray) -> dict[str, float]:
    """Of one core for a photo, in batches of 8: the median of 40 runs, in turns, for others may use the machine too."""
    graphs, batch = {name: open_graph(file, threads=1) for name, file in files.items()}, {"photos": sample}
    times = {name: [] for name in files}
    for _ in range(41):
        for name, graph in graphs.items():
            begun = time.thread_time()
            graph.run(None, batch)
            times[name].append((time.thread_time() - begun) / len(sample) * 1000)
    # the first run makes room for what the others reuse
    return {name: round(float(np.median(taken[1:])), 2) for name, taken in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the network that ships, trained with --fold -1")
    parser.add_argument("out", type=Path, help="model folder, such as ../models/restaurant-7")
    parser.add_argument("--folds", type=Path, nargs="+", required=True, help="runs of the same recipe, a fold each")
    parser.add_argument("--sample", type=int, default=160, help="training photos that set the ranges of int8")
    parser.add_argument("--limit", type=int, default=1200, help="held-out photos of each fold that int8 is compared on")
    parser.add_argument("--threshold", type=float, default=0.1, help="human threshold that int8 is compared at; one of those in measure.py")
    args = parser.parse_args()
    name, _, version = args.out.name.rpartition("-")
    if not name:
        raise SystemExit(f"{args.out}: expected a name and a version, such as restaurant-7")

    final, folds = Run(args.run), measured_runs(args.folds)
    begun = final.args["begunWith"]
    labels, side = labels_of(final.sources[0]), final.args["side"]
    others = [str(run.folder) for run in folds if any(run.sources[0][key] != final.sources[0][key] for key in ("labels", "same"))]
    if others:
        raise SystemExit(f"{', '.join(others)}: trained with other labels than {args.run}")
    print("measuring the folds", flush=True)
    measured, held = pooled(folds, labels)
    sample = read(final.data, [labels[n] for n in np.random.default_rng(1).permutation(len(labels))[:args.sample]], side)
    calibration = fit(folds, labels)

    args.out.mkdir(parents=True, exist_ok=True)
    seers = args.run / "detector"
    export_detector(final.detector, side, sample, seers)
    worst = write_graphs(final, calibration, sample, seers, args.out)
    if worst > 1e-3:
        raise SystemExit(f"model.onnx differs from PyTorch by {worst}: not exported")
    int8 = weigh_int8(compare_int8(folds, labels, sample, seers, args.run / "int8", args.limit, args.threshold), args.out, sample)
    graphs = shipping(int8, args.out)
    description = {
        "name": name, "version": version, **graphs,
        "input": {"side": side, "fit": "squash", "layout": "uint8 NHWC RGB"},
        "categories": CATEGORIES,
        "calibration": calibration._asdict(), "looks": described(),
        "trainedFrom": {
            "trunk": f"efficientnet-{final.args['trunk']}, {begun['weights']}", "detector": detector_text(final.sources[0]["detector"]), "photos": len(labels),
            "sources": len({group_of(label["source"]) for label in labels}), "rendered": sum({about["data"]: about["photos"] for about in final.sources if about["data"] != str(final.data)}.values()),
            "licences": licences(labels), "draws": final.args["draws"], "taughtBy": final.args["taughtBy"],
            "recall": final.args["recall_weight"] if final.args.get("recall") else 0, "seed": final.args["seed"], "code": "training/train.py",
            "begunWith": begun, "sourceHashes": source_hashes(labels),
            "labelsSha256": final.sources[0]["labels"]},
        "measured": {"folds": len(folds), **measured, "humanSpread": spread(folds, calibration), "int8": int8},
    }
    (args.out / "model.json").write_text(json.dumps(description, indent=1) + "\n")
    (args.out / "card.md").write_text(card(description))
    print(json.dumps(description["measured"], indent=1))
    megabytes = sum((args.out / file).stat().st_size for file in graphs["files"]) / 1e6
    print(f"{args.out}: {', '.join(graphs['files'])}, {megabytes:.1f} MB; fp32 differs from PyTorch by at most {worst:.1e}")


if __name__ == "__main__":
    main()
