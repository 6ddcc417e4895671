"""Logits of photos that a network was not trained on → the few numbers that make its scores mean what they say."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F


class Calibration(NamedTuple):
    """Category probabilities are softmax(logits / temperature + bias); the human's is sigmoid(logit * slope + offset)."""

    temperature: float
    bias: list[float]
    slope: float
    offset: float

    def apply(self, scores: dict) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities [N, K] and [N] of the logits `category` [N, K] and `human` [N]."""
        category = F.softmax(scores["category"] / self.temperature + torch.tensor(self.bias), 1)
        return category.numpy(), torch.sigmoid(scores["human"] * self.slope + self.offset).numpy()


def calibrate(scores: dict, category: np.ndarray, human: np.ndarray) -> Calibration:
    """By least log-loss over the photos with a label (ids; -1 where unknown). The biases give back the categories'
    shares, which training draws otherwise; they are held near nought, for a share is a trait of the collection."""
    category, human = torch.as_tensor(category).long(), torch.as_tensor(human).long()
    raw = torch.zeros(3 + scores["category"].shape[1], requires_grad=True)  # log temperature, log slope, offset, biases
    optimizer = torch.optim.LBFGS([raw], max_iter=200)

    def closure():
        optimizer.zero_grad()
        logits = scores["category"] / raw[0].exp() + raw[3:]
        loss = F.cross_entropy(logits[category >= 0], category[category >= 0]) + 0.03 * raw[3:].square().sum()
        logit = scores["human"] * raw[1].exp() + raw[2]
        loss = loss + F.binary_cross_entropy_with_logits(logit[human >= 0], human[human >= 0].float())
        loss.backward()
        return loss

    optimizer.step(closure)
    found = raw.detach()
    return Calibration(round(found[0].exp().item(), 4), [round(bias, 4) for bias in found[3:].tolist()],
                       round(found[1].exp().item(), 4), round(found[2].item(), 4))
