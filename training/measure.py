"""What a set of scores is worth: accuracy, F1, average precision, and what thresholds would show and hold."""

import numpy as np
import torch
from torch.utils.data import DataLoader

from data import CATEGORIES


@torch.inference_mode()
def predict(net, photos, device="cpu", batch=64):
    """Category logits [N, K] and human logits [N], float32, in the order of `photos`."""
    net.eval()
    categories, humans = [], []
    for pixels, *_ in DataLoader(photos, batch):
        pixels = pixels.to(device, memory_format=torch.channels_last).float()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            category, human, _ = net(pixels)
        categories.append(category.float().cpu())
        humans.append(human.float().cpu())
    return {"category": torch.cat(categories), "human": torch.cat(humans)}


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    order = np.argsort(-score, kind="stable")
    hits = truth[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / max(hits.sum(), 1))


def measure(scores: dict, labels: list[dict]) -> dict:
    category = np.array([label["category_id"] for label in labels])
    human = np.array([label["human_id"] for label in labels])
    small = np.array([bool(label.get("small")) for label in labels])
    guess = scores["category"].argmax(1).numpy()
    known = category >= 0
    report = {"photos": len(labels), "categoryPhotos": int(known.sum()),
              "categoryAccuracy": round(float((guess[known] == category[known]).mean()), 4), "perCategory": {}}
    for index, name in enumerate(CATEGORIES):
        right = int(((guess == index) & (category == index)).sum())
        said, true = int((known & (guess == index)).sum()), int((category == index).sum())
        precision, recall = right / max(said, 1), right / max(true, 1)
        report["perCategory"][name] = {
            "photos": true, "precision": round(precision, 4), "recall": round(recall, 4),
            "f1": round(2 * precision * recall / max(precision + recall, 1e-9), 4)}
    report["macroF1"] = round(float(np.mean([c["f1"] for c in report["perCategory"].values()])), 4)
    judged = human >= 0
    score = scores["human"].numpy()
    report |= {"humanPhotos": int((human == 1).sum()), "humanFreePhotos": int((human == 0).sum()),
               "humanAveragePrecision": round(average_precision(human[judged], score[judged]), 4)}
    # what is held back is counted where it hurts: human-free food and ambience
    free = (human == 0) & ((category == 0) | (category == 1))
    report["atThreshold"] = []
    for held in (0.01, 0.02, 0.038, 0.06, 0.1):
        threshold = float(np.quantile(score[free], 1 - held))
        report["atThreshold"].append({
            "heldBack": held, "logit": round(threshold, 3),
            "shown": round(float((score[human == 1] < threshold).mean()), 4),
            "shownSmall": round(float((score[(human == 1) & small] < threshold).mean()), 4) if (small & (human == 1)).any() else None})
    return report
