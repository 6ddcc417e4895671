"""What a set of scores is worth, with intervals that know that photos of one source are alike."""

import numpy as np
import torch
import torch.nn.functional as F

from data import CATEGORIES, group_of
from net import in_place

LEAST = 1e-4  # of a map, so that it has a logit


@torch.inference_mode()
def predict(net, features, at: np.ndarray, device="cpu", batch=48):
    """Of the cached photos `at`: category logits [N, K], human logits [N], and logits of the map and of what the detector sees [N, S/16, S/16]."""
    net.eval()
    categories, humans, maps = [], [], []
    for start in range(0, len(at), batch):
        kept = features.batch(at[start:start + batch])[0].to(device).float().contiguous(memory_format=torch.channels_last)
        category, human, human_map, _ = net.rest(net.stem(kept) if features.pixels else kept)
        categories.append(category.float().cpu())
        humans.append(human.float().cpu())
        maps.append(torch.logit(in_place(torch.sigmoid(human_map.float().cpu())), LEAST))
    return {"category": torch.cat(categories), "human": torch.cat(humans), "map": torch.cat(maps),
            "seen": torch.from_numpy(features.targets["seen"][at]).float()}


def peak_of(maps: torch.Tensor) -> torch.Tensor:
    """Where maps [N, H, W] of 0..1 are highest when every cell is weighed together with those about it: the middle of a cell, [N, 2]
    (x, y in 0..1). src/image/peak.ts reads maps in the same way; NOTES.md, 21, says why."""
    height, width = maps.shape[1:]
    weights = torch.tensor([1, 4, 6, 4, 1], dtype=torch.float64)
    around = F.pad(maps.double()[:, None], (2, 2, 2, 2), mode="replicate")
    best = F.conv2d(around, torch.outer(weights, weights)[None, None]).flatten(1).argmax(1)
    return torch.stack([(best % width + 0.5) / width, (best // width + 0.5) / height], 1).float()


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """As src/evaluate/statistics.ts has it: photos of equal score stand on the same side of every threshold. NaN where none is true."""
    order = np.argsort(-score, kind="stable")
    last = np.append(score[order][1:] != score[order][:-1], len(order) > 0)
    called = np.flatnonzero(last) + 1
    right = np.cumsum(truth[order])[called - 1]
    return _ratio((right / called * np.diff(right, prepend=0)).sum(), truth.sum())


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins that are as equally filled as equal scores, which lie in one bin, allow; NaN where there is nothing."""
    if not len(confidence):
        return np.nan
    order = np.argsort(confidence)
    ends = np.arange(1, bins) * len(order) // bins
    parts = np.split(order, np.unique(np.searchsorted(confidence[order], confidence[order][ends])))
    return float(sum(abs(confidence[p].mean() - right[p].mean()) * len(p) for p in parts if len(p)) / len(confidence))


def f1_of(truth: np.ndarray, guess: np.ndarray, category: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of one category, as src/evaluate/evaluation.ts has them: NaN where none is called so, and where none is."""
    right, called, there = (int(each.sum()) for each in ((guess == category) & (truth == category), guess == category, truth == category))
    return _ratio(right, called), _ratio(right, there), _ratio(2 * right, called + there) if there else np.nan


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan


def measure(category_p: np.ndarray, human_p: np.ndarray, peak: np.ndarray, labels: list[dict], rounds: int = 400) -> dict:
    """Figures of probabilities [N, K] and [N] and map peaks [N, 2]; each `[value, low, high]` with the interval that
    95 % of `rounds` draws of whole sources, with replacement, fall into. Those of `thresholds` have theirs in `intervals`."""
    truth = np.array([label["category_id"] for label in labels])
    human = np.array([label["human_id"] for label in labels])
    small = np.array([bool(label.get("small")) for label in labels])
    likeness = np.array([label.get("kind") in ("statue", "doll", "poster", "sculpture", "lookalike") for label in labels])
    guess = category_p.argmax(1)
    boxed = np.array([bool(label.get("persons")) and label["human_id"] == 1 for label in labels])
    inside = np.array([boxed[n] and in_box(peak[n], label) for n, label in enumerate(labels)])
    # what is held back is counted where it hurts: human-free food and ambience
    free = (human == 0) & ((truth == 0) | (truth == 1))

    def figures(at: np.ndarray) -> dict:
        t, g, h, p = truth[at], guess[at], human[at], human_p[at]
        known, judged = t >= 0, h >= 0
        each = [f1_of(t[known], g[known], k) for k in range(len(CATEGORIES))]
        out = {"categoryAccuracy": (g[known] == t[known]).mean() if known.any() else np.nan,
               "macroF1": np.nanmean([f1 for _, _, f1 in each]) if known.any() else np.nan,
               "categoryCalibrationError": calibration_error(category_p[at][known].max(1), g[known] == t[known]),
               "humanAveragePrecision": average_precision(h[judged], p[judged]),
               "humanCalibrationError": calibration_error(p[judged], h[judged]),
               "peakInBox": inside[at][boxed[at]].mean() if boxed[at].any() else np.nan}
        for k, name in enumerate(CATEGORIES):
            out |= {f"{name}.{what}": value for what, value in zip(("precision", "recall", "f1"), each[k])}
        for held in (0.02, 0.03, 0.04, 0.06):
            threshold = np.quantile(p[free[at]], 1 - held) if free[at].any() else np.nan
            for name, which in (("shownAt", h == 1), ("smallShownAt", (h == 1) & small[at])):
                out[f"{name}{held}"] = (p[which] < threshold).mean() if which.any() and free[at].any() else np.nan
        return out

    groups: dict[str, list[int]] = {}
    for n, label in enumerate(labels):
        groups.setdefault(group_of(label["source"]), []).append(n)
    sources, rng = [np.array(each) for each in groups.values()], np.random.default_rng(0)
    point = figures(np.arange(len(labels)))
    with np.errstate(all="ignore"):
        drawn = [rng.integers(0, len(sources), len(sources)) for _ in range(rounds)]
        draws = [figures(np.concatenate([sources[k] for k in each])) for each in drawn]
    report = {"photos": len(labels), "sources": len(sources),
              "counts": {name: int((truth == k).sum()) for k, name in enumerate(CATEGORIES)} | {
                  "human": int((human == 1).sum()), "humanFree": int((human == 0).sum()), "freeFoodAndAmbience": int(free.sum()),
                  "small": int((small & (human == 1)).sum()), "boxed": int(boxed.sum()), "likenesses": int((likeness & (human == 0)).sum())}}
    for key, value in point.items():
        spread = np.array([draw[key] for draw in draws], float)
        spread = spread[~np.isnan(spread)]
        # what had no value in most draws could be anything
        interval = np.quantile(spread, [0.025, 0.975]) if len(spread) >= max(rounds / 2, 1) else (0.0, 1.0)
        report[key] = None if np.isnan(value) else [round(float(v), 4) for v in (value, *interval)]
    report["confusion"] = [[int(((truth == t) & (guess == g)).sum()) for g in range(len(CATEGORIES))] for t in range(len(CATEGORIES))]
    report["thresholds"] = []
    for threshold in THRESHOLDS:
        below = human_p < threshold
        shares = {name: _share(hits, of, sources, drawn) for name, hits, of in (
            ("shown", below, human == 1), ("smallShown", below, (human == 1) & small),
            ("freeFoodAndAmbienceHeld", ~below, free), ("likenessesHeld", ~below, likeness & (human == 0)))}
        report["thresholds"].append({"human": threshold, **{name: value for name, (value, _) in shares.items()}, "intervals": {name: interval for name, (_, interval) in shares.items()}})
    return report


def _share(hits: np.ndarray, of: np.ndarray, sources: list[np.ndarray], drawn: list[np.ndarray]) -> tuple[float | None, list[float] | None]:
    """With the wider of two intervals, as clusteredProportion in src/evaluate/statistics.ts: Wilson's, for nothing seen in few photos is not nothing, and
    that of the sources drawn."""
    if not of.any():
        return None, None
    hit, count = (np.array([each[source].sum() for source in sources]) for each in (hits & of, of))
    share, n, z = hit.sum() / count.sum(), count.sum(), 1.96
    middle, half = (share + z ** 2 / (2 * n)) / (1 + z ** 2 / n), z * (share * (1 - share) / n + z ** 2 / (4 * n ** 2)) ** 0.5 / (1 + z ** 2 / n)
    spread = np.quantile([hit[each].sum() / count[each].sum() for each in drawn if count[each].any()] or [share], [0.025, 0.975])
    low, high = min(middle - half, spread[0]), max(middle + half, spread[1])
    return round(float(share), 4), [round(float(min(max(each, 0), 1)), 4) for each in (low, high)]


def in_box(peak, label) -> bool:
    width, height = label["size"]
    return any(x0 <= peak[0] * width <= x1 and y0 <= peak[1] * height <= y1 for x0, y0, x1, y1 in label["persons"])


THRESHOLDS = (0.02, 0.03, 0.05, 0.07, 0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
