"""What trained networks left in their folders, and the figures of folds together: each saw the photos of other sources only, and what is measured on
one fold is calibrated on the others."""

from pathlib import Path

import numpy as np
import torch

from augment import Photos
from calibrate import Calibration, calibrate
from data import CATEGORIES
from detector import Detector
from features import DETECTOR, read_about
from measure import measure, peak_of
from net import MaitredNet
from rounds import ROUNDS, closer, logit_of, together, where_asked

LOOKS = 32  # photos at a time


class Run:
    """What train.py left in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        saved = torch.load(folder / "last.pt", map_location="cpu", weights_only=False)
        self.args = saved["args"]
        net = MaitredNet(len(CATEGORIES), self.args["trunk"])
        average = torch.optim.swa_utils.AveragedModel(net)
        average.load_state_dict(saved["average"])
        self.net = average.module.eval()
        caches = [Path(cache) for cache in self.args["caches"]]
        self.sources = [read_about(cache) for cache in caches]
        self.data = Path(self.sources[0]["data"])
        self.detector = Detector().load(caches[0] / DETECTOR)
        held = folder / "held-out.pt"
        if held.exists():
            kept = torch.load(held, weights_only=False)
            self.scores, self.photos = kept["scores"], np.array([photo for _, photo in kept["photos"]])


def measured_runs(folders: list[Path]) -> list[Run]:
    """Raises SystemExit where one was not trained to its end, or without what is held out."""
    runs = [Run(folder) for folder in folders]
    missing = [str(run.folder) for run in runs if not hasattr(run, "photos") or "seen" not in run.scores]
    if missing:
        raise SystemExit(f"{', '.join(missing)}: no scores of what is held out, or of before there was a detector: run train.py with --fold to its end")
    return runs


def pooled(folds: list[Run], labels: list[dict]) -> tuple[dict, list[dict]]:
    """Figures of all folds together, and the labels of their photos in the same order."""
    category, human, peak, held = [], [], [], []
    for fold in folds:
        calibration = fit([other for other in folds if other is not fold] or [fold], labels)
        a, b, maps = calibration.apply(where_asked(fold.scores, calibration))
        look_again(fold, labels, calibration, b)
        category.append(a), human.append(b), peak.append(peak_of(maps).numpy())
        held += [labels[photo] for photo in fold.photos]
    return measure(*map(np.concatenate, (category, human, peak)), held), held


@torch.inference_mode()
def look_again(fold: Run, labels: list[dict], calibration: Calibration, human: np.ndarray) -> None:
    """Puts into `human` [N], probabilities of one look at the fold's photos, what more looks say, as the graphs do (looks.py)."""
    now, looks = torch.logit(torch.from_numpy(human)), 1
    mean = now.clone()
    for each in ROUNDS:
        low, high = map(logit_of, each.unsure)
        unsure = np.flatnonzero((now > low) & (now < high))
        for start in range(0, len(unsure), LOOKS):
            at = unsure[start:start + LOOKS]
            photos = read(fold.data, [labels[fold.photos[n]] for n in at], fold.args["side"])
            parts = closer(torch.from_numpy(photos).permute(0, 3, 1, 2), each.parts).float()
            said = calibration.human({"human": fold.net(parts)[1], "seen": fold.detector(parts)})
            now[at], mean[at] = together(now[at], mean[at], looks, said, each.unsure)
        human[unsure] = torch.sigmoid(now[unsure]).numpy()
        looks += len(each.parts)


def fit(folds: list[Run], labels: list[dict]) -> Calibration:
    scores = {key: torch.cat([fold.scores[key] for fold in folds]) for key in ("category", "human", "seen")}
    photos = np.concatenate([fold.photos for fold in folds])
    return calibrate(scores, *([labels[photo][key] for photo in photos] for key in ("category_id", "human_id")))


def spread(folds: list[Run], calibration: Calibration) -> dict[str, float]:
    """Standard deviations, over the photos held out, of what the network and the detector each add to the logit of a human."""
    added = {"network": [fold.scores["human"] * calibration.slope for fold in folds], "detector": [fold.scores["seen"].amax((1, 2)) * calibration.seen for fold in folds]}
    return {by: round(float(torch.cat(logits).std()), 2) for by, logits in added.items()}


def read(data: Path, labels: list[dict], side: int) -> np.ndarray:
    """uint8 [n, side, side, 3]."""
    photos = Photos(data, labels, side)
    return np.stack([photos[n][0].numpy().transpose(1, 2, 0) for n in range(len(labels))])
