"""Labels of one picture → the one that counts; and pictures that only look the same."""

from collections import defaultdict

import numpy as np

from data import group_of

ALIKE, CONTRAST, ROWS = 0.98, 10, 256


def copies_of(labels: list[dict], hashes: list[str]) -> list[int]:
    """Places of the labels that do not count, because others are of the same bytes. What a moderator said counts before a claim, and
    the newest of those by `at`; none, where they contradict each other and nothing tells which is the newest."""
    same = defaultdict(list)
    for index, digest in enumerate(hashes):
        same[digest].append(index)
    left_out = []
    for twins in same.values():
        ranks = [(labels[index].get("origin") != "claim", str(labels[index].get("at") or "")) for index in twins]
        newest = [index for index, rank in zip(twins, ranks) if rank == max(ranks)]
        counts = None if contradictions([labels[index] for index in newest]) else newest[0]
        left_out += [index for index in twins if index != counts]
    return sorted(left_out)


def contradictions(labels: list[dict]) -> dict[str, list]:
    """What they say of `category` and `human`, where that is more than one thing."""
    said = {key: {label[key] for label in labels if label.get(key) is not None} for key in ("category", "human")}
    return {key: sorted(each) for key, each in said.items() if len(each) > 1}


def near_copies(labels: list[dict], greys: np.ndarray) -> list[tuple[int, int]]:
    """Each photo that looks like an earlier one of another source: places of the first such, and its own. `greys` [N, 256] are photos of 16 x 16
    pixels, 0..255. Saved again at another size, 99 of 100 correlate by more than 0.98; of 52 million pairs of photos of ours none did by 0.96 that
    was not one picture. Of flat ones noise decides, and they are left out."""
    deviation = greys - greys.mean(1, keepdims=True, dtype=np.float32)
    unit = deviation / np.maximum(np.linalg.norm(deviation, axis=1, keepdims=True), 1e-6)
    unit[greys.std(1) < CONTRAST] = 0
    groups, first = np.array([group_of(label["source"]) for label in labels]), {}
    for begin in range(0, len(unit), ROWS):
        pairs = np.argwhere(unit[begin:begin + ROWS] @ unit[:begin + ROWS].T > ALIKE) + [begin, 0]
        for later, earlier in pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]].tolist():
            if earlier < later:
                first.setdefault(later, earlier)
    return [(earlier, later) for later, earlier in first.items()]
