"""Adds the detector to a model that was made without it. Example: python adopt.py ../models/restaurant-3 ../models/restaurant-4 \\
  --detector weights/nanodet-g.bin --folds runs/f0 runs/f1 runs/f2

Categories stay what they are. How much the detector counts beside the model's own logit is what is best for the networks of --folds, on
photos of sources that they were not trained on: of the model's own folds no scores are needed. So the figures of humans are
those networks', and the card says so; the figures of categories stay the model's.
"""

import argparse
import hashlib
import json
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from beside import VARIANTS, add_detector, export_detector, keep_in_16_bits
from card import card
from data import read_labels
from detector import Detector
from export import Run, compare_int8, fit, licences, milliseconds, pooled, read

OF_HUMANS = ("humanAveragePrecision", "humanCalibrationError", "peakInBox", "shownAt0.02", "shownAt0.03", "shownAt0.04", "shownAt0.06",
             "smallShownAt0.02", "smallShownAt0.03", "smallShownAt0.04", "smallShownAt0.06", "thresholds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder, made without the detector")
    parser.add_argument("out", type=Path, help="model folder to make, such as ../models/restaurant-4")
    parser.add_argument("--detector", type=Path, required=True, help="its weights (weights.py --detector)")
    parser.add_argument("--folds", type=Path, nargs="+", required=True, help="runs of one recipe, a fold each")
    parser.add_argument("--sample", type=int, default=160, help="photos that set the detector's ranges of int8")
    parser.add_argument("--limit", type=int, default=1200, help="held-out photos of each fold that int8 is compared on")
    parser.add_argument("--threshold", type=float, default=0.1, help="human threshold that int8 is compared at; one of those in measure.py")
    args = parser.parse_args()
    name, _, version = args.out.name.rpartition("-")
    if not name or args.out.exists():
        raise SystemExit(f"{args.out}: expected the name and version of a folder that is not there yet, such as restaurant-4")
    about = json.loads((args.model / "model.json").read_text())
    if "detector" in about["trainedFrom"]:
        raise SystemExit(f"{args.model}: has a detector already: name a model that was made without")

    folds = [Run(folder) for folder in args.folds]
    labels, side = read_labels(folds[0].data), about["input"]["side"]
    both, alone = fit(folds, labels), fit([Alone(fold) for fold in folds], labels)
    # of the networks of the folds: how their own logit, calibrated alone, and the detector's make the logit of both
    own = both.slope / alone.slope
    human = own, both.offset - own * alone.offset
    print(json.dumps({"ownLogit": own, "detectorsLogit": both.seen, "added": human[1]}), flush=True)

    sample = read(folds[0].data, [labels[n] for n in np.random.default_rng(1).permutation(len(labels))[:args.sample]], side)
    with tempfile.TemporaryDirectory() as work:
        detector, made = Path(work) / "detector", Path(work) / args.out.name
        made.mkdir()
        export_detector(Detector().load(args.detector), side, sample, detector)
        for variant in VARIANTS:
            add_detector(args.model / variant, detector / variant, made / variant, both.seen, human, (both.slope, both.offset))
        keep_in_16_bits(made / VARIANTS[0])
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            speed = process.submit(milliseconds, {"fp32": made / VARIANTS[0], "int8": made / VARIANTS[2]}, sample[:8]).result()
        measured = pooled(folds, labels)[0]
        int8 = compare_int8(folds, labels, sample, detector, Path(work), args.limit, args.threshold)
        int8 |= {"msPerPhoto": speed, "gain": round(speed["fp32"] / speed["int8"], 2), "ships": True}
        description = about | {
            "name": name, "version": version, "files": {file: {"sha256": hashlib.sha256((made / file).read_bytes()).hexdigest()} for file in VARIANTS},
            "calibration": about["calibration"] | {"detector": {
                "human": {"own": round(own, 4), "seen": both.seen, "offset": round(human[1], 4)},
                "map": {"own": both.slope, "seen": both.seen, "offset": both.offset}}},
            "trainedFrom": {"licences": licences(labels)} | about["trainedFrom"] | {"detector": "NanoDet-g, COCO weights (Apache-2.0)", "adopted": args.model.name},
            "measured": about["measured"] | {key: measured[key] for key in OF_HUMANS} | {"int8": int8, "humansBy": humans_by(folds)}}
        (made / "model.json").write_text(json.dumps(description, indent=1) + "\n")
        (made / "card.md").write_text(card(description))
        shutil.copytree(made, args.out)
    print(json.dumps({key: description["measured"][key] for key in (*OF_HUMANS, "int8")}, indent=1))


class Alone:
    """A run as if there were no detector."""

    def __init__(self, run: Run):
        self.photos, self.scores = run.photos, run.scores | {"seen": torch.zeros_like(run.scores["seen"])}


def humans_by(folds: list[Run]) -> str:
    how = folds[0].args
    taught = f", taught by {how['taughtBy'][0]}" if how["taughtBy"] else ""
    return f"efficientnet-{how['trunk']}, {how['draws']} draws{taught}"


if __name__ == "__main__":
    main()
