"""What make.py has to do, step by step, and about how long that takes on CPUs."""

import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import weights
from steps import HERE, Step, code_digest

# measured on one core at 288 pixels (AVX-512 with products in bfloat16): samples a second
CHECK, RENDER, DRAW, PLAIN, MOSAIC, TRAIN, WHOLE, TELL = 500, 28, 85, 110, 45, 62, 28, 290
# how many times as long as with lite0
WORK = {"lite0": 1, "lite1": 1.63, "lite2": 1.8}
CACHES = ["features-photos", "features-rendered", "features-mosaics", "features-turned-photos", "features-turned-rendered"]
ROOT = HERE.parent


def plan(args: argparse.Namespace, work: Path) -> list[list[Step]]:
    """The stages in order; the steps of one stage run side by side."""
    python, photos, jobs = [sys.executable, "-u"], args.photos.resolve(), str(args.jobs)
    allocator = {"LD_PRELOAD": " ".join(filter(None, [os.environ.get("LD_PRELOAD"), args.malloc]))} if args.malloc else {}
    count, known = fingerprint(photos)
    corrections = {"corrections": corrections_digest()}
    net = code_digest("features.py", "copies.py", "data.py", "augment.py", "net.py", "depthwise.py", "detector.py")
    scale = (args.side / 288) ** 2

    check = Step("check", [*python, "check.py", str(photos), "--folds", str(args.folds), "--jobs", jobs], work / "checked",
                 {"photos": known, "folds": args.folds, "code": code_digest("check.py", "copies.py", "data.py")} | corrections,
                 count / CHECK / args.jobs / 60)
    fetch: list[list[Step]] = []

    def weights_of(trunk: str, given: str, name: str) -> tuple[Path, str]:
        """The file, which a step of its own fetches where none is given, and its hash."""
        if given != "auto":
            return Path(given).resolve(), weights.sha256(Path(given))
        file, digest = work / name / f"efficientnet-{trunk}.pth", weights.SHA256[trunk]
        fetch.append([Step(name, [*python, "weights.py", "--out", str(file.parent), "--trunk", trunk], file.parent, {"sha256": digest}, 0.2)])
        return file, digest

    starts = {args.trunk: weights_of(args.trunk, args.weights, "weights")}
    if args.detector == "auto":
        detector, seen = work / "detector-weights" / weights.DETECTOR, weights.DETECTOR_SHA256
        fetch.append([Step("detector-weights", [*python, "weights.py", "--out", str(detector.parent), "--detector"], detector.parent, {"sha256": seen}, 0.3)])
    else:
        detector, seen = Path(args.detector).resolve(), weights.sha256(Path(args.detector))
    if args.teacher and args.teacher not in starts:
        starts[args.teacher] = weights_of(args.teacher, args.teacher_weights, "teacher-weights")
    # pixels are the same for every network
    frozen = [{"pixels": True}] if args.pixels else [{"trunk": trunk, "weights": digest} for trunk, (_, digest) in starts.items()]
    frozen = [how | {"detector": seen} for how in frozen]
    cached: dict[str, list[Step]] = dict.fromkeys(starts, []) if args.pixels else {trunk: [] for trunk in starts}

    def features(name: str, folder: Path, draws: int, after: list[Step], minutes: float, *more: str) -> None:
        # the n-th samples of two caches must not be augmented alike; those of two trunks must
        seed = args.seed + 1000 * CACHES.index(name)
        settings = {"photos": str(photos), "content": known, "side": args.side, "draws": draws, "seed": seed, "more": more, "code": net}
        for trunk, how in zip(starts, frozen):
            out = work / (name if trunk == args.trunk else f"{name}-{trunk}")
            command = [*python, "features.py", str(folder), "--out", str(out), "--side", str(args.side), "--draws", str(draws), "--seed", str(seed),
                       "--detector", str(detector), "--jobs", jobs, *more, *(["--pixels"] if args.pixels else ["--weights", str(starts[trunk][0]), "--trunk", trunk])]
            step = Step(out.name, command, out, settings | how, minutes * scale / args.jobs, after, env=allocator, on_gpu=not args.pixels)
            caches.append([step])
            cached[trunk].append(step)

    caches: list[list[Step]] = []
    renders: list[list[Step]] = []
    features("features-photos", photos, args.draws, [], (args.draws / DRAW + count / PLAIN) / 60)
    if args.rendered:
        half = str(args.rendered // 2)
        made = work / "rendered"
        render = Step("render", [*python, "menus.py", str(made), "--menus", half, "--documents", half, "--seed", str(args.seed), "--photos",
                                 str(photos)], made, {"photos": known, "count": args.rendered, "seed": args.seed, "code": code_digest(
                                     "menus.py", "copies.py", "data.py", "cards.py", "documents.py", "receipts.py", "screens.py", "page.py", "scene.py", "fonts.py", "words.txt")} | corrections,
                      args.rendered / RENDER / 60)
        renders = [[render]]
        features("features-rendered", made, 3 * args.rendered, [render], args.rendered * (3 / DRAW + 1 / PLAIN) / 60)
    if args.mosaics:
        features("features-mosaics", photos, args.mosaics, [], args.mosaics / MOSAIC / 60, "--mosaic")
    kinds = [("photos", photos, []), *(("rendered", step.makes, [step]) for stage in renders for step in stage)]
    for kind, folder, after in kinds if args.turned else []:
        draws = args.turned // len(kinds)
        features(f"features-turned-{kind}", folder, draws, after, draws / DRAW / 60, "--turned", "1")

    def tell(name: str, network: Path, trunk: str, settings: dict, after: list[Step], threads: int) -> Step:
        out = work / name
        command = [*python, "tell.py", str(network), *(str(step.makes) for step in cached[trunk]), "--out", str(out), "--trunk", trunk, "--threads", str(threads)]
        samples = args.draws + 3 * args.rendered + args.mosaics + args.turned
        minutes = samples / TELL * WORK[trunk] * scale / threads / 60
        return Step(name, command, out, settings | {"code": code_digest("tell.py", "samples.py")}, minutes, [*after, *cached[trunk]], env=allocator, on_gpu=True)

    recalls = {trunk: tell(f"recall-{trunk}", file, trunk, {"weights": digest}, [], args.jobs) for trunk, (file, digest) in starts.items() if args.recall}

    def train(name: str, fold: int, samples: int, threads: int, trunk: str, told: list[Step]) -> Step:
        file, digest = starts[trunk]
        recall = [recalls[trunk]] if args.recall else []
        command = [*python, "train.py", *(str(step.makes) for step in cached[trunk]), "--out", str(work / "runs" / name), "--weights", str(file),
                   "--folds", str(args.folds), "--fold", str(fold), "--draws", str(samples), "--seed", str(args.seed), "--threads", str(threads)]
        how = ["--batch", str(min(args.batch, samples)), *(["--lr", "6e-4"] if args.pixels or trunk != args.trunk else [])]
        command += ["--told", *(str(step.makes) for step in told)] if told else []
        how += [each for step in recall for each in ("--recall-weight", str(args.recall))]
        command += [*how, *(["--trunk", trunk] if args.pixels else []), *(each for step in recall for each in ("--recall", str(step.makes)))]
        settings = {"folds": args.folds, "fold": fold, "samples": samples, "seed": args.seed, "weights": digest, "trunk": trunk, "how": how,
                    "code": [net, code_digest("train.py", "samples.py", "measure.py")]} | corrections
        # a second thread on one network brings half of what a second network would
        rate = (WHOLE if args.pixels else TRAIN) / WORK[trunk] / scale * (1 + 0.5 * (threads - 1)) * (1 if args.malloc else 0.62)
        return Step(name, command, work / "runs" / name, settings, samples / rate / 60, [*cached[trunk], *recall, *told], env=allocator, on_gpu=True)

    def tell_of(teacher: Step) -> Step:
        threads = max(1, min(8, args.jobs // min(args.jobs, args.folds + 1)))
        return tell(teacher.name.replace("teacher", "told"), teacher.makes, args.teacher, {}, [teacher], threads)

    stages: list[list[Step]] = [[step] for step in recalls.values()]
    # a network on everything has more to learn from than those of the folds had, in the same proportion
    more = args.folds / (args.folds - 1)
    told: dict[int, list[Step]] = {}

    def each(name: str, samples: int, trunk: str) -> list[Step]:
        """A network for each fold, in stages of as many as there are cores for."""
        made: list[Step] = []
        for begin in range(0, args.folds, args.jobs):
            together = range(begin, min(begin + args.jobs, args.folds))
            threads = min(8, max(1, args.jobs // len(together)))
            stages.append([train(f"{name}{fold}", fold, samples, threads, trunk, told.get(fold, [])) for fold in together])
            made += stages[-1]
        return made

    def whole(name: str, samples: int, trunk: str) -> Step:
        return train(name, -1, round(samples * more), min(8, args.jobs), trunk, told.get(-1, []))

    if args.teacher:
        of_folds, of_all = each("teacher", args.teacher_samples, args.teacher), whole("teacher-final", args.teacher_samples, args.teacher)
        stages.append([of_all])
        told = {fold: [tell_of(step)] for fold, step in enumerate(of_folds)} | {-1: [tell_of(of_all)]}
        said = [step for steps in told.values() for step in steps]
        stages += [said[begin:begin + args.jobs] for begin in range(0, len(said), args.jobs)]
    folds, final = each("fold", args.samples, args.trunk), whole("final", args.samples, args.trunk)
    exported = work / "export" / args.out.name
    export = Step("export", [*python, "export.py", str(final.makes), str(exported), "--folds", *(str(step.makes) for step in folds)], exported,
                  {"name": args.out.name, "code": code_digest("export.py", "trained.py", "looks.py", "rounds.py", "graph.py", "beside.py", "calibrate.py", "card.py", "measure.py", "data.py", "sources.py", "augment.py", "net.py")},
                  1 + 4 * args.folds / 3 * scale, [final, *folds], env=allocator)
    ends = [[export]]
    if shutil.which("node") and (ROOT / "node_modules").is_dir():
        ends.append([Step("verify", ["node", str(ROOT / "bin" / "maitred.js"), "model", "verify", str(exported), "--photos", str(photos)],
                          work / "verified", {}, 0.3, [export])])
    return [[check], *fetch, *renders, *caches, *stages, [final], *ends]


def corrections_digest() -> str:
    return hashlib.sha256((HERE / "corrections.jsonl").read_bytes()).hexdigest()


def fingerprint(photos: Path) -> tuple[int, str]:
    """How many labels there are, and a hash of them and of their photos' sizes and times, for reading all photos would take long. A copy of the
    folder that does not keep the times is of other photos."""
    labels, digest, count = photos / "labels.jsonl", hashlib.sha256(), 0
    for line in labels.read_bytes().splitlines():
        digest.update(line)
        try:
            file = photos / json.loads(line)["file"]
            about = file.stat()
            digest.update(f"{about.st_size} {about.st_mtime_ns} ".encode())
            count += 1
        except (OSError, ValueError, KeyError, TypeError):
            continue  # check.py says what is wrong with it
    return count, digest.hexdigest()


def disk_bytes(args: argparse.Namespace, photos: int) -> int:
    samples = args.draws + photos + 4 * args.rendered + args.mosaics + args.turned
    channels = sum(48 if trunk == "lite2" else 40 for trunk in {args.trunk, args.teacher} - {None})
    each = args.side ** 2 * 3 if args.pixels else (args.side // 8) ** 2 * channels * 2
    told = (args.folds + 1) * (args.side // 16) ** 2 * 2 if args.teacher else 0
    return round(samples * (each * 1.05 + told) + 60e6 * (args.folds + 1) * (2 if args.teacher else 1) + 100e6)
