"""When the detector is asked and which photos are looked at closer, where, and what counts then: what the graphs of looks.py do, of logits and pixels in
PyTorch. NOTES.md, 35 and 38, say what it gives.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

from calibrate import Calibration

ASKED = 0.003  # of a human's probability, were the detector to say what it says where nobody is: it is asked of what is above, and says that of the rest
# next to the bounds of what is unsure the mean of all looks counts for less, and in full from half a logit inside: what differs by next to nothing,
# as the same photo does in 8 bits, is to be judged as if by next to nothing
STEEP = 2.0
SHARE = 0.75  # of either edge, that a closer look sees


class Round(NamedTuple):
    """Probabilities of a human between which a photo is looked at closer, and where: (down, across), of what a closer look leaves out."""

    unsure: tuple[float, float]
    parts: tuple[tuple[float, float], ...]


# upper right and lower left; of what is unsure even then, the other corners and the middle
ROUNDS = (Round((0.03, 0.5), ((0, 1), (1, 0))), Round((0.03, 0.3), ((0, 0), (1, 1), (0.5, 0.5))))


def where_asked(scores: dict, calibration: Calibration) -> dict:
    """`scores`, as `calibration` takes them, with `seen` as it is in a graph."""
    silence = torch.full_like(scores["seen"], calibration.nobody)
    asked = calibration.human(scores | {"seen": silence}) > logit_of(ASKED)
    return scores | {"seen": torch.where(asked[:, None, None], scores["seen"], silence)}


def closer(photos: torch.Tensor, parts: tuple[tuple[float, float], ...]) -> torch.Tensor:
    """uint8 [N, 3, S, S] → [parts * N, 3, S, S]: the first part of each, enlarged, then the second."""
    side = photos.shape[-1]
    kept = round(side * SHARE)
    cut = [photos[..., top:top + kept, left:left + kept] for top, left in offsets(side, parts)]
    return F.interpolate(torch.cat(cut).float(), size=(side, side), mode="bilinear", align_corners=False).round().byte()


def together(now: torch.Tensor, mean: torch.Tensor, looks: int, said: torch.Tensor, unsure: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that count so far [N], the `mean` of so many `looks` [N], and those of closer ones [parts * N] → what counts now, and the mean of all."""
    low, high = map(logit_of, unsure)
    rows = said.view(-1, len(now))
    mean = (mean * looks + rows.sum(0)) / (looks + len(rows))
    share = (STEEP * torch.minimum(now - low, high - now)).clamp(0, 1)
    return now + share * (mean - now), mean


def logit_of(probability: float) -> float:
    return math.log(probability / (1 - probability))


def offsets(side: int, parts: tuple[tuple[float, float], ...]) -> list[tuple[int, int]]:
    rest = side - round(side * SHARE)
    return [(round(rest * down), round(rest * across)) for down, across in parts]


def described() -> dict:
    """For model.json."""
    return {"detectorFrom": ASKED, "closer": [{"unsure": each.unsure, "parts": len(each.parts)} for each in ROUNDS]}
