"""Labels of one picture, byte for byte → the one that counts."""

from collections import defaultdict


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
