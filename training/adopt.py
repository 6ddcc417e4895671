"""Adds the detector to a model that was made without it. Example: python adopt.py ../models/old-1 ../models/new-1 \\
  --detector weights/nanodet-g.bin --folds runs/f0 runs/f1 runs/f2

Categories stay what they are. How much the detector counts beside the model's own logit is what is best for the networks of --folds, on
photos of sources that they were not trained on: of the model's own folds no scores are needed. So the figures of humans are
those networks', and the card says so; the figures of categories stay the model's.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from beside import VARIANTS, add_detector, export_detector, keep_in_16_bits
from calibrate import Calibration
from card import card
from detector import Detector
from export import Run, compare_int8, fit, int8_options, licences, measured_runs, pooled, read, shipping, spread, weigh_int8
from features import labels_of
from weights import detector_text, sha256

OF_HUMANS = ("humanAveragePrecision", "humanCalibrationError", "peakInBox", "shownAt0.02", "shownAt0.03", "shownAt0.04", "shownAt0.06",
             "smallShownAt0.02", "smallShownAt0.03", "smallShownAt0.04", "smallShownAt0.06", "thresholds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder, made without the detector")
    parser.add_argument("out", type=Path, help="model folder to make, such as ../models/restaurant-5")
    parser.add_argument("--detector", type=Path, required=True, help="its weights (weights.py --detector)")
    parser.add_argument("--folds", type=Path, nargs="+", required=True, help="runs of one recipe, a fold each, on the photos that the model was made of")
    int8_options(parser)
    args = parser.parse_args()
    name, _, version = args.out.name.rpartition("-")
    if not name or args.out.exists():
        raise SystemExit(f"{args.out}: expected the name and version of a folder that is not there yet, such as restaurant-5")
    about = json.loads((args.model / "model.json").read_text())
    folds, side = measured_runs(args.folds), about["input"]["side"]
    refuse(args.model, about, folds)

    labels = labels_of(folds[0].sources[0])
    calibration = second_opinion(folds, labels, about["calibration"])
    print(json.dumps({"calibration": calibration._asdict()}), flush=True)
    own = calibration.slope / about["calibration"]["slope"]
    human = own, calibration.offset - own * about["calibration"]["offset"]

    sample = read(folds[0].data, [labels[n] for n in np.random.default_rng(1).permutation(len(labels))[:args.sample]], side)
    with tempfile.TemporaryDirectory() as work:
        seers, made = Path(work) / "detector", Path(work) / args.out.name
        made.mkdir()
        export_detector(Detector().load(args.detector), side, sample, seers)
        for variant in VARIANTS:
            add_detector(args.model / variant, seers / variant, made / variant, calibration.seen, human, (calibration.slope, calibration.offset))
        keep_in_16_bits(made / VARIANTS[0])
        int8 = weigh_int8(compare_int8(folds, labels, sample, seers, Path(work), args.limit, args.threshold), made, sample)
        measured = pooled(folds, labels)[0]
        description = about | {
            "name": name, "version": version, **shipping(int8, made),
            "calibration": calibration._asdict(),
            "trainedFrom": {"licences": licences(labels)} | about["trainedFrom"] | {"detector": detector_text(sha256(args.detector)), "adopted": args.model.name},
            "measured": about["measured"] | {key: measured[key] for key in OF_HUMANS} | {"humanSpread": spread(folds, fit(folds, labels)), "int8": int8, "humansBy": humans_by(folds)}}
        (made / "model.json").write_text(json.dumps(description, indent=1) + "\n")
        (made / "card.md").write_text(card(description))
        shutil.copytree(made, args.out)
    print(json.dumps({key: description["measured"][key] for key in (*OF_HUMANS, "int8")}, indent=1))


def refuse(model: Path, about: dict, folds: list[Run]) -> None:
    """Raises SystemExit where a model cannot be given the detector, or not by these runs."""
    if "detector" in about["trainedFrom"]:
        raise SystemExit(f"{model}: has a detector already: name a model that was made without")
    lacking = [variant for variant in VARIANTS if not (model / variant).exists()]
    if lacking:
        raise SystemExit(f"{model}: expected {', '.join(VARIANTS)}, there is no {', '.join(lacking)}")
    for fold in folds:
        if (fold.args["side"], fold.sources[0]["labels"]) != (about["input"]["side"], about["trainedFrom"]["labelsSha256"]):
            raise SystemExit(f"{fold.folder}: was trained on photos of another size or with other labels than {model}")


def second_opinion(folds: list[Run], labels: list[dict], alone: dict) -> Calibration:
    """A model's calibration, `alone`, as it becomes with the detector: as that of the networks of `folds` does."""
    both, before = fit(folds, labels), fit([Alone(fold) for fold in folds], labels)
    own = both.slope / before.slope
    return Calibration(alone["temperature"], alone["bias"], round(own * alone["slope"], 4), both.seen,
                       round(own * (alone["offset"] - before.offset) + both.offset, 4))


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
