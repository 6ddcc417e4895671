"""Looks through a labelled folder before hours are spent on it. Example: python check.py ../photos

Errors are what training would crash on, learn wrongly, or could not measure: photos that cannot be read, labels (or corrections) that
mean nothing, boxes outside of the frame or in other units, parts without humans. Exit code 1 where there is one; warnings only say what to expect, such as
of one picture under several labels, of which one counts, or of two sources.
"""

import argparse
import hashlib
import json
import os
import threading
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
from PIL import Image

import data
from copies import contradictions, counting, near_copies, said_of, same_bytes
from data import CATEGORIES, FOLDS, assign_folds, group_of, lines_of, open_photo, read_labels

SHOWN = 10
FEW_PHOTOS, FEW_SOURCES = 100, 6
LARGE = 1024  # of the long side, in pixels
PLANNED = 400_000  # pixels of a photo: twice those of plan.py's, and from there on time goes with them


def check(root: Path, folds: int = FOLDS, jobs: int = 1) -> dict:
    """`photos`, `sources`, `counts`; `errors` and `warnings`, each {"kind", "where", "message"}."""
    errors, warnings = [], []
    lines = _read_labels(root / "labels.jsonl", errors)
    corrections = [correction for _, correction in _read_lines(data.CORRECTIONS, errors)]
    if not errors:
        looks = _look(root, [line["file"] for line in lines], jobs)
        readable = all("error" not in look for look in looks)
        labels = read_labels(root) if readable else lines
        _check_photos(labels, looks, errors, warnings)
        if readable:
            same = same_bytes([look["sha256"] for look in looks])
            counted = _check_copies(lines, same, warnings)
            wasted = [label["file"] for index, label in enumerate(labels) if index not in counted and label.get("corrected")]
            if wasted:
                warnings.append(_problem("copies", ", ".join(wasted), "corrections.jsonl corrects what does not count: correct the copy that does"))
            kept = read_labels(root, same=same)
            _check_near_copies(kept, [looks[index] for index in counted], warnings)
            _check_folds(kept, folds, errors, warnings)
    places = {(line["file"], line["source"]) for line in lines}
    return {"photos": len(lines), "sources": len({group_of(line["source"]) for line in lines}), "counts": _counts(lines),
            "corrections": {"apply": sum((each["file"], each["source"]) in places for each in corrections), "of": len(corrections)}, "errors": errors, "warnings": warnings}


def _problem(kind: str, where: str, message: str) -> dict:
    return {"kind": kind, "where": where, "message": message}


def _read_labels(file: Path, errors: list) -> list[dict]:
    if not file.exists():
        errors.append(_problem("labels", str(file), "there is no such file: a labelled folder has one line in it for each photo"))
        return []
    labels, seen = _read_lines(file, errors), {}
    for number, label in labels:
        first = seen.setdefault(label["file"], number)
        if first != number:
            errors.append(_problem("labels", f"{file.name}:{number}", f"{label['file']} has a label in line {first} already"))
    if not labels and not errors:
        errors.append(_problem("labels", str(file), "it is empty"))
    return [label for _, label in labels]


def _read_lines(file: Path, errors: list) -> list[tuple[int, dict]]:
    """The numbered lines that say what a label must say."""
    lines = []
    for number, text in lines_of(file.read_bytes()):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        wrong = _wrong(line)
        errors += [_problem(kind, f"{file.name}:{number}", message) for kind, message in wrong]
        if not wrong:
            lines.append((number, line))
    return lines


def _wrong(line) -> list[tuple[str, str]]:
    if not isinstance(line, dict):
        return [("labels", "expected a JSON object")]
    wrong = [("labels", f"expected a text for {key}, got {json.dumps(line.get(key))}")
             for key in ("file", "source") if not (isinstance(line.get(key), str) and line[key] and _is_unicode(line[key]))]
    if line.get("category") is not None and line["category"] not in CATEGORIES:
        wrong.append(("category", f"expected {', '.join(CATEGORIES)} or null for category, got {json.dumps(line['category'])}"))
    wrong += [("human", f"expected true, false or null for {key}, got {json.dumps(line[key])}")
              for key in ("human", "hands", "small") if not isinstance(line.get(key), bool | None)]
    if not isinstance(line.get("kind"), str | None):
        wrong.append(("labels", f"expected a text or null for kind, got {json.dumps(line['kind'])}"))
    boxes = line.get("persons")
    if boxes is not None and not (isinstance(boxes, list) and all(_is_box(box) for box in boxes)):
        wrong.append(("box", "expected boxes [x0, y0, x1, y1] for persons, with x0 < x1 and y0 < y1"))
    elif boxes and line.get("human") is False:
        wrong.append(("box", "human is false, but persons has boxes"))
    elif any(max(x1 - x0, y1 - y0) <= 1 for x0, y0, x1, y1 in boxes or []):
        # training takes a person that fills next to nothing of a crop for one that is not in it
        wrong.append(("box", "expected boxes in pixels for persons, got one of a pixel at most: write shares of the frame as pixels"))
    return wrong


def _is_unicode(text: str) -> bool:
    """JSON can hold half of a pair of surrogates, which is no character: opening a file of that name raises, and hashing it."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_box(box) -> bool:
    return (isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)
            and box[0] < box[2] and box[1] < box[3])


def _look(root: Path, files: list[str], jobs: int) -> list[dict]:
    paths = [root / file for file in files]
    if jobs == 1:
        return [_look_at(path) for path in paths]
    try:
        with ProcessPoolExecutor(jobs, initializer=_end_with_parent) as pool:
            return list(pool.map(_look_at, paths, chunksize=32))
    except BrokenProcessPool:
        raise SystemExit("one of the processes that look at photos was ended, perhaps for want of memory: try fewer --jobs")


def _end_with_parent() -> None:
    """Those that have nothing to do would wait for ever where the process that began them is ended, and hold the lock of make.py."""
    threading.Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()


def _look_at(path: Path) -> dict:
    """Reads all of a photo, at a small scale where its format can; `sha256`, `size`, whether EXIF `turns` it, and its `greys` (near_copies)."""
    try:
        with open(path, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        with Image.open(path) as photo:
            size, turns = photo.size, photo.getexif().get(0x0112, 1) != 1
        greys = open_photo(path, 64).convert("L").resize((16, 16), Image.Resampling.BOX)
        return {"sha256": digest, "size": size, "turns": turns, "greys": np.ravel(greys)}
    except Exception as error:  # Pillow's decoders raise of all kinds
        return {"error": str(error) or type(error).__name__}


def _check_photos(labels, looks, errors, warnings) -> None:
    turned, pixels = [], []
    for label, look in zip(labels, looks):
        if "error" in look:
            errors.append(_problem("unreadable", label["file"], f"{look['error']}: remove its line, or bring the photo"))
            continue
        width, height = look["size"]
        for box in label.get("persons") or []:
            # a pixel of rounding is nobody's mistake
            if box[0] < -1 or box[1] < -1 or box[2] > width + 1 or box[3] > height + 1:
                errors.append(_problem("box", label["file"], f"{box} leaves the frame of {width} x {height} pixels"))
        if look["turns"]:
            turned.append(label["file"])
        pixels.append((max(width, height), width * height))
    if turned:
        warnings.append(_problem("turned", turned[0], f"EXIF turns {len(turned)} photos, which training reads as they are stored: turn them"))
    longest, area = np.median(pixels, 0) if pixels else (0, 0)
    if longest > LARGE:
        warnings.append(_problem("large", "labels.jsonl", f"most photos are larger than {LARGE} pixels: samples of them take some {area / PLANNED:.0f} times as long to draw as planned: "
                                 "shrink them to 512, as `maitred labels export` does, and boxes of persons with them"))


def _check_copies(labels, same, warnings) -> dict[int, dict]:
    """The labels that count, by their places (counting)."""
    counted = counting(labels, same)
    for twins in same:
        counts = [counted[index] for index in twins if index in counted]
        for key, said in contradictions([labels[index] for index in twins]).items():
            warnings.append(_problem("contradiction", " = ".join(labels[index]["file"] for index in twins), f"the same picture, but {key} is {' and '.join(map(json.dumps, said))}: "
                                     + (f"{json.dumps(said_of(counts[0])[key])} counts" if counts else "none of them counts; remove the lines that are wrong")))
    if len(counted) < len(labels):
        warnings.append(_problem("copies", "labels.jsonl", f"{len(labels) - len(counted)} photos are copies of others, byte for byte, and do not count: each picture does once, by what was said of it last"))
    return counted


def _check_near_copies(labels, looks, warnings) -> None:
    for first, later in near_copies([group_of(label["source"]) for label in labels], np.array([look["greys"] for look in looks]).reshape(-1, 256)):
        warnings.append(_problem("near copies", f"{labels[first]['file']} ~ {labels[later]['file']}", f"look the same, of sources {labels[first]['source']} and {labels[later]['source']}: "
                                 "figures are too good where one is trained on and the other held out; give both one source, or remove a line"))


def _check_folds(labels, folds, errors, warnings) -> None:
    fold_of, sources = assign_folds(labels, folds), len({group_of(label["source"]) for label in labels})
    for fold in range(folds):
        held = [label for label, its in zip(labels, fold_of) if its == fold]
        lacks = [name for name, count in (
            ("photo with a human", sum(label["human_id"] == 1 for label in held)),
            ("food or ambience without a human", sum(label["human_id"] == 0 and label["category_id"] in (0, 1) for label in held)))
            if not count]
        if lacks:
            errors.append(_problem("folds", f"fold {fold} of {folds}", f"has no {' and no '.join(lacks)}, so nothing can be measured on it: "
                                   "add photos of more sources" + (", or ask for fewer --folds" if folds > 2 and sources > 1 else "")))
        for k, name in enumerate(CATEGORIES):
            if not any(label["category_id"] == k for label in held):
                warnings.append(_problem("folds", f"fold {fold} of {folds}", f"has no {name}: it says nothing of {name}"))
    kinds = {name: [label for label in labels if label["category_id"] == k] for k, name in enumerate(CATEGORIES)}
    kinds |= {"human": [label for label in labels if label["human_id"] == 1],
              "food and ambience without a human": [label for label in labels if label["human_id"] == 0 and label["category_id"] in (0, 1)]}
    for name, mine in kinds.items():
        its = len({group_of(label["source"]) for label in mine})
        if len(mine) < FEW_PHOTOS or its < max(FEW_SOURCES, folds):
            warnings.append(_problem("few", name, f"{len(mine)} photos of {its} sources: expect it to be weak, and its figures to be rough "
                                     f"(from {FEW_PHOTOS} photos of {max(FEW_SOURCES, folds)} sources on is better)"))


def _counts(lines: list[dict]) -> dict:
    """Photos by category and human, and of the largest sources."""
    table = {name: {"human": 0, "none": 0, "unknown": 0} for name in [*CATEGORIES, "unknown"]}
    for line in lines:
        human = None if line.get("hands") else line.get("human")
        table[line.get("category") or "unknown"]["unknown" if human is None else "human" if human else "none"] += 1
    return {"byCategory": table, "largestSources": dict(Counter(group_of(line["source"]) for line in lines).most_common(5)),
            "boxed": sum(bool(line.get("persons")) for line in lines), "small": sum(bool(line.get("small")) for line in lines)}


def printed(report: dict) -> list[str]:
    lines = [f"{report['photos']} photos of {report['sources']} sources", "",
             f"{'':10}{'human':>8}{'none':>8}{'unknown':>9}"]
    lines += [f"{name:10}{row['human']:8}{row['none']:8}{row['unknown']:9}" for name, row in report["counts"]["byCategory"].items()]
    largest = ", ".join(f"{name} {count}" for name, count in report["counts"]["largestSources"].items())
    lines += ["", f"largest sources: {largest or 'none'}", "{apply} of {of} corrections apply: their file and source are those of a photo".format(**report["corrections"])]
    for what in ("warnings", "errors"):  # make.py shows the end
        by_kind = defaultdict(list)
        for problem in report[what]:
            by_kind[problem["kind"]].append(problem)
        for kind, problems in by_kind.items():
            lines += ["", f"{what[:-1]}, {kind}:"]
            lines += [f"  {problem['where']}: {problem['message']}" for problem in problems[:SHOWN]]
            lines += [f"  and {len(problems) - SHOWN} more (--json lists all)"] if len(problems) > SHOWN else []
    return [*lines, "", f"{len(report['errors'])} errors, {len(report['warnings'])} warnings"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder with labels.jsonl")
    parser.add_argument("--folds", type=int, default=FOLDS, help=f"parts that the sources will be dealt into ({FOLDS})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that read photos (all cores)")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    args = parser.parse_args()
    report = check(args.photos, args.folds, args.jobs)
    print(json.dumps(report) if args.json else "\n".join(printed(report)))
    raise SystemExit(1 if report["errors"] else 0)


if __name__ == "__main__":
    main()
