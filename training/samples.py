"""Augmented samples of several caches, with what others said of them: what training reads, batch by batch."""

import json
from pathlib import Path

import numpy as np
import torch

from data import assign_folds
from features import Features, drawn

SPOKEN = ("category", "human", "map")


class Samples:
    """The augmented samples of several caches that may be trained on, and the labels of their photos."""

    def __init__(self, caches: list[Path], folds: int, fold: int, told: list[Path] = [], recall: Path | None = None):
        self.parts = [Features(cache, "draws") for cache in caches]
        if len({part.pixels for part in self.parts}) > 1:
            raise SystemExit("some caches hold pixels and others features: name those of one kind")
        real = self.parts[0]
        held = np.flatnonzero(np.array(assign_folds(real.labels, folds)) == fold)
        # the photos of the first folder are the measure; rendered ones have no source that could leak
        self.held = [held if part.data == real.data else np.array([], int) for part in self.parts]
        self.index = np.concatenate([
            np.stack([np.full(len(kept), n), kept], 1)
            for n, part in enumerate(self.parts)
            for kept in [np.flatnonzero(~np.isin(part.photos, self.held[n]).any(1))]])
        self.taught_by, self.told = [], []
        for folder in told:
            about, said = read_told(folder, caches)
            if "fold" not in about:
                raise SystemExit(f"{folder}: tells what features of ImageNet are, which is for --recall")
            refuse_leak(folder, about, folds, fold)
            self.taught_by.append(about["by"])
            self.told.append(said)
        self.pooled, self.recalls = None, None
        if recall:
            about, said = read_told(recall, caches)
            if "fold" in about:
                raise SystemExit(f"{recall}: tells what a teacher says, which is for --told")
            self.pooled, self.recalls = [part["pooled"] for part in said], about["trunk"]

    def batch(self, rows: np.ndarray):
        """Features, category, human and map targets of the rows; where there are teachers, the mean of their logits of each; and, where
        it is to be recalled, ImageNet's features of them [N, 1280]."""
        parts = [part.batch(at) + self._told(n, at) for n, part in enumerate(self.parts) for at in [rows[rows[:, 0] == n, 1]] if len(at)]
        return [torch.cat(each) for each in zip(*parts)]

    def _told(self, cache: int, at: np.ndarray) -> tuple:
        said = [np.mean([each[cache][key][at] for each in self.told], 0, np.float32) for key in SPOKEN] if self.told else []
        if self.pooled:
            said.append(self.pooled[cache][at].astype(np.float32))
        return tuple(map(torch.from_numpy, said))

    def spread(self) -> torch.Tensor:
        """Variance of each of ImageNet's features [1280] over what is trained on."""
        count, total, squares = 0, 0.0, 0.0
        for n, pooled in enumerate(self.pooled):
            at = self.index[self.index[:, 0] == n, 1]
            for start in range(0, len(at), 1000):
                some = pooled[at[start:start + 1000]].astype(np.float64)
                count, total, squares = count + len(some), total + some.sum(0), squares + (some ** 2).sum(0)
        return torch.from_numpy((squares / count - (total / count) ** 2).astype(np.float32)).clamp_min(0) + 1e-4


def read_told(folder: Path, caches: list[Path]) -> tuple[dict, list[dict]]:
    """What tell.py wrote, and of each cache what was said of its samples. Raises SystemExit where they are not the samples of these caches."""
    if not (folder / "told.json").exists():
        raise SystemExit(f"{folder}: nothing was told there to its end: run tell.py again")
    about = json.loads((folder / "told.json").read_text())
    if about["drawn"] != [drawn(cache) for cache in caches]:
        raise SystemExit(f"{folder}: tells of other samples than those of these caches, or in another order: run tell.py on caches made with the same --draws, --seed and labels, named alike")
    return about, [dict(np.load(folder / f"{n}.npz")) for n in range(len(caches))]


def refuse_leak(folder: Path, how: dict, folds: int, fold: int) -> None:
    """Raises SystemExit where a network was trained on what is held out here."""
    if fold >= 0 and (how["folds"], how["fold"]) != (folds, fold):
        raise SystemExit(f"{folder}: held out part {how['fold']} of {how['folds']}, not part {fold} of {folds}")
