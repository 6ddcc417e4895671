"""Logits of photos that a network was not trained on, and of the detector → the few numbers that make its scores mean what they say."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F


class Calibration(NamedTuple):
    """Category probabilities are softmax(logits / temperature + bias); the human's is sigmoid(logit * slope + seen * the most that the
    detector says anywhere + offset), and the map's the same of what each says of a cell. Where the detector is not asked (rounds.py) `nobody` is what it
    says: its mean over photos without a human."""

    temperature: float
    bias: list[float]
    slope: float
    seen: float
    offset: float
    nobody: float = -1.85  # NanoDet-g's, where it was not measured

    def apply(self, scores: dict) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """Probabilities [N, K] and [N], and maps [N, H, W], of the logits `category` [N, K], `human` [N], `map` and `seen` [N, H, W]."""
        category = F.softmax(scores["category"] / self.temperature + torch.tensor(self.bias), 1)
        human_map = scores["map"] * self.slope + scores["seen"] * self.seen + self.offset
        return category.numpy(), torch.sigmoid(self.human(scores)).numpy(), torch.sigmoid(human_map)

    def human(self, scores: dict) -> torch.Tensor:
        """Logits [N] of one look, of its `human` [N] and `seen` [N, H, W]."""
        return scores["human"] * self.slope + scores["seen"].amax((1, 2)) * self.seen + self.offset


def calibrate(scores: dict, category: np.ndarray, human: np.ndarray) -> Calibration:
    """By least log-loss over the photos with a label (ids; -1 where unknown). The biases give back the categories'
    shares, which training draws otherwise; they are held near nought, for a share is a trait of the collection. Few photos are often
    told apart without a fault, and would make logits endless: labels are believed as far as Platt believes them (`_believed`)."""
    category, human = np.asarray(category, int), np.asarray(human, int)
    known, judged = category >= 0, human >= 0
    categories, humans = _believed(category[known], scores["category"].shape[1]), _believed(human[judged], 2)[:, 1]
    most = scores["seen"].amax((1, 2))
    # a detector that says next to the same of every photo, as one of random weights does, must not count
    middle, spread = most.mean(), most.std() + 0.1
    raw = torch.zeros(4 + scores["category"].shape[1], requires_grad=True)  # log temperature, log slope, seen, offset, biases
    optimizer = torch.optim.LBFGS([raw], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        logits = scores["category"] / raw[0].exp() + raw[4:]
        loss = F.cross_entropy(logits[known], categories) + 0.03 * raw[4:].square().sum()
        logit = scores["human"] * raw[1].exp() + (most - middle) / spread * raw[2] + raw[3]
        # the last term: what logits that tell nothing are divided by would have no end
        loss = loss + F.binary_cross_entropy_with_logits(logit[judged], humans) + 1e-5 * raw[:3].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = raw.detach()
    if found[2] < 0:
        # it speaks for humans: on few photos it can seem to speak against them
        return calibrate(scores | {"seen": torch.zeros_like(scores["seen"])}, category, human)
    found[2] /= spread
    found[3] -= found[2] * middle
    temperature, slope, seen, offset, *bias = (round(each, 4) for each in (*found[:2].exp().tolist(), *found[2:].tolist()))
    free = most[torch.from_numpy(human == 0)]
    return Calibration(temperature, bias, slope, seen, offset, round(float((free if len(free) else most).mean()), 4))


def _believed(ids: np.ndarray, classes: int) -> torch.Tensor:
    """Targets [N, classes]: of n photos of a class each belongs to it by (n + 1) / (n + 2), and evenly to the others by what is left. J. Platt,
    Probabilistic Outputs for Support Vector Machines, 1999, section 2.2; there are two classes there."""
    doubt = torch.from_numpy(1 / (np.bincount(ids, minlength=classes)[ids] + 2.0)).float()[:, None]
    own = F.one_hot(torch.from_numpy(ids).long(), classes)
    return own * (1 - doubt) + (1 - own) * doubt / (classes - 1)
