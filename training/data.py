"""A labelled folder → its labels and photos, folds that never split a source, and which photos samples are made of."""

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from copies import counting

CATEGORIES = ["food", "ambience", "menu", "other"]
UNKNOWN = -1
FOLDS = 3
CORRECTIONS = Path(__file__).with_name("corrections.jsonl")


def read_labels(root: Path, corrected: bool = True, sha256: str | None = None, same: list[list[int]] = []) -> list[dict]:
    """labels.jsonl of `root`, of photos that are the `same` (same_bytes) the one that counts; every entry gets `category_id` and `human_id` (-1 where unknown). If `corrected`, what somebody saw
    to be wrong is put right by CORRECTIONS, and such an entry says so by `corrected`. Raises SystemExit where it is not the file of that `sha256`."""
    contents = (root / "labels.jsonl").read_bytes()
    if sha256 not in (None, hashlib.sha256(contents).hexdigest()):
        raise SystemExit(f"{root / 'labels.jsonl'}: has changed since features were made of these photos: run make.py again, or features.py into another folder")
    labels = list(counting([json.loads(text) for _, text in lines_of(contents)], same).values())
    corrections = {(entry["file"], entry["source"]): entry for _, text in lines_of(CORRECTIONS.read_bytes()) for entry in [json.loads(text)] if corrected}
    for label in labels:
        # folds are dealt by the labels as they came, so that a correction moves no photo from one to another
        label["dealt_by"] = label.get("category"), label.get("human") if not label.get("hands") else None
        label.pop("corrected", None)  # a field of the folder's own
        correction = corrections.get((label["file"], label["source"]))
        if correction:
            label |= correction | {"corrected": True, "persons": None}
        label["category_id"] = CATEGORIES.index(label["category"]) if label.get("category") else UNKNOWN
        # hands alone are neither a plain human nor plainly none
        known = label.get("human") is not None and not label.get("hands")
        label["human_id"] = int(label["human"]) if known else UNKNOWN
        if label.get("persons"):
            with Image.open(root / label["file"]) as photo:
                label["size"] = photo.size
    return labels


def lines_of(contents: bytes) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, numbered. Not by splitlines(), which ends a line at more than its feed."""
    for number, text in enumerate(contents.decode("utf-8-sig", "replace").split("\n"), 1):
        if text.strip():
            yield number, text


def open_photo(file: Path, least: int | None = None) -> Image.Image:
    """In RGB, as it is stored: EXIF is not looked at. Where only so many pixels are needed of each side, `least`, a JPEG is read at a smaller
    scale. What is transparent lies on white, or on black where it can only be seen there, as src/image/views.ts has it."""
    with Image.open(file) as photo:
        if least:
            photo.draft("RGB", (least, least))
        if photo.mode.startswith("I"):
            # grey of 16 bits, of which convert() clips all but the darkest
            return Image.fromarray(np.clip(np.asarray(photo) >> 8, 0, 255).astype(np.uint8)).convert("RGB")
        if not photo.has_transparency_data:
            return photo.convert("RGB")
        clear = photo.convert("RGBA")
    white, black = (Image.alpha_composite(Image.new("RGBA", clear.size, ground), clear).convert("RGB") for ground in ("white", "black"))
    return black if np.std(black) > 4 * np.std(white) else white


def assign_folds(labels: list[dict], folds: int) -> list[int]:
    """A fold for each label. Whole sources stay together; the largest are placed first, each where
    its categories and humans are scarcest, so that folds are alike in what they hold."""
    groups = defaultdict(list)
    for index, label in enumerate(labels):
        groups[group_of(label["source"])].append(index)
    totals = Counter(trait for label in labels for trait in _traits(label))
    held = [Counter() for _ in range(folds)]
    fold_of = [0] * len(labels)
    for _, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        traits = Counter(trait for index in members for trait in _traits(labels[index]))
        cost = [sum(((fold[t] + n) / totals[t]) ** 2 - (fold[t] / totals[t]) ** 2 for t, n in traits.items())
                for fold in held]
        best = cost.index(min(cost))
        held[best].update(traits)
        for index in members:
            fold_of[index] = best
    return fold_of


def group_of(source: str) -> str:
    return "COCO" if source.startswith("COCO") else source.replace("/", "-").lower()


def _traits(label: dict) -> list[tuple]:
    category, human = label["dealt_by"]
    return [("category", category), ("human", human), ("both", category, human), ("any",)]


def plan_draws(labels: list[dict], draws: int, seed: int) -> list[int]:
    """Which photo each of `draws` augmented samples is made of: scarce kinds more often, each further photo of one
    source less often, every photo at least once if there are draws enough, in random order."""
    kinds = {(1, 0): 2.5, (1, 1): 3.5, (2, 0): 2.0, (0, 1): 3.0, (3, 1): 1.5, (-1, -1): 0.4}
    sizes = Counter(group_of(label["source"]) for label in labels)
    weights = []
    for label in labels:
        weight = kinds.get((label["category_id"], label["human_id"]), 1.0)
        weight *= 2.0 if label.get("small") or label.get("kind") in HARD_KINDS else 1.0
        weights.append(weight * sizes[group_of(label["source"])] ** -0.15)
    rng, total = random.Random(seed), sum(weights)
    least = min(1, draws // max(1, len(labels)))
    counts = [max(least, int(draws * weight / total + rng.random())) for weight in weights]
    plan = [index for index, count in enumerate(counts) for _ in range(count)]
    rng.shuffle(plan)
    return plan


HARD_KINDS = {"statue", "doll", "poster", "lookalike", "menu-photo", "menu-board", "document", "sign",
              "nohuman-scene", "screenshot", "human-small"}


def plan_mosaics(labels: list[dict], draws: int, seed: int) -> list[list[int]]:
    """Four photos for each of `draws` mosaics: one with a human or, in two of five, none, and three without. All four
    come from one of FOLDS folds, so that few mosaics are lost when a fold is held out."""
    rng, plan = random.Random(seed), []
    fold_of = assign_folds(labels, FOLDS)
    weight = [5.0 if label.get("persons") else 2.0 if label["category_id"] in (0, 1) else 1.0 for label in labels]
    pools = [{human: [n for n, label in enumerate(labels) if fold_of[n] == fold and label["human_id"] == human and not label.get("small")]
              for human in (0, 1)} for fold in range(FOLDS)]
    for _ in range(draws):
        pool = pools[rng.choices(range(FOLDS), [len(pool[0]) for pool in pools])[0]]
        first = pool[1] if pool[1] and rng.random() < 0.6 else pool[0]
        chosen = rng.choices(first, [weight[n] for n in first]) + rng.choices(pool[0], [weight[n] for n in pool[0]], k=3)
        plan.append(chosen)
    return plan
