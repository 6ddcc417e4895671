"""Labelled folder → what the frozen blocks make of it, once for all folds and runs.

Example: python features.py ../photos --out cache/photos --weights weights/efficientnet-lite0.pth --detector weights/nanodet-g.bin

`draws` holds augmented samples (plan_draws says of which photos), `plain` every photo as it is, and what the detector sees in it. Features are float16
[samples, S/8, S/8, C], memory-mapped: 104 kB a sample at 288 pixels. With --pixels nothing is frozen, and what is kept is the pixels,
uint8 [samples, S, S, 3], for any trunk: 249 kB a sample. Stop it at any time and run it again.
"""

import argparse
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch.multiprocessing import spawn

from augment import Photos
from copies import same_bytes
from data import UNKNOWN, plan_draws, plan_mosaics, read_labels
from detector import Detector
from net import MaitredNet, in_16_bits
from weights import sha256

CHUNK = 64
DETECTOR = "detector.bin"  # its weights, beside what it saw


class Features:
    """The samples of one cache folder, opened for reading."""

    def __init__(self, folder: Path, part: str):
        about = read_about(folder)
        count = len(about["plan"]) if part == "draws" else about["photos"]
        self.folder, self.data, self.pixels, self.trunk = folder.name, Path(about["data"]), about["pixels"], about["trunk"]
        self.labels = labels_of(about)
        self.photos = np.array(about["plan"]).reshape(count, -1) if part == "draws" else np.arange(count)[:, None]
        self.features = _open(folder, part, about, count, "r")
        gathered = folder / f"{part}.npz"
        self.targets = dict(np.load(gathered)) if gathered.exists() else _gather(folder, part, count)
        self._correct()

    def _correct(self):
        """Takes in corrections, of which the features know nothing; where a human was cannot be known then."""
        corrected = np.array([bool(label.get("corrected")) for label in self.labels])
        human, category = (np.array([label[key] for label in self.labels]) for key in ("human_id", "category_id"))
        rows = corrected[self.photos].any(1)
        alone = self.photos.shape[1] == 1
        self.targets["human"][rows] = human[self.photos[rows, 0]] if alone else UNKNOWN
        self.targets["category"][rows] = category[self.photos[rows, 0]] if alone else UNKNOWN
        self.targets["map"][rows] = np.where(self.targets["human"][rows] == 0, 0, UNKNOWN)[:, None, None]

    def batch(self, at: np.ndarray):
        """Features [N, C, S/8, S/8] or pixels [N, 3, S, S] as they are kept, category [N], human [N], map target
        [N, S/16, S/16] (-1 where unknown)."""
        features = torch.from_numpy(self.features[at]).permute(0, 3, 1, 2)
        category, human, target = (torch.from_numpy(self.targets[key][at]) for key in ("category", "human", "map"))
        return features, category.long(), human.long(), target.float()


def drawn(folder: Path) -> str:
    """A hash of which samples a cache holds, whatever was made of them."""
    about = json.loads((folder / "about.json").read_text())
    return hashlib.sha256(json.dumps([about[key] for key in ("data", "labels", "same", "photos", "side", "seed", "turned", "plan")]).encode()).hexdigest()


def read_about(folder: Path) -> dict:
    about = json.loads((folder / "about.json").read_text())
    if "same" not in about:
        raise SystemExit(f"{folder}: was made by an earlier version: run features.py anew, into another folder")
    return about


def labels_of(about: dict, corrected: bool = True) -> list[dict]:
    """Of a cache's photos, in their order, as read_labels has them. Raises SystemExit where labels.jsonl has changed since: places in it
    mean other photos then, and folds would be dealt otherwise."""
    return read_labels(Path(about["data"]), corrected, about["labels"], about["same"])


def _open(folder: Path, part: str, about: dict, count: int, mode: str) -> np.memmap:
    side, kind = (about["side"], np.uint8) if about["pixels"] else (about["side"] // 8, np.float16)
    return np.memmap(folder / f"{part}.raw", kind, mode, shape=(count, side, side, about["channels"]))


def _gather(folder: Path, part: str, count: int):
    done = [np.load(file) for file in sorted(folder.glob(f"{part}-*.npz"), key=lambda f: int(f.stem.split("-")[1]))]
    joined = {key: np.concatenate([each[key] for each in done]) for key in done[0]}
    if len(joined["category"]) != count:
        raise SystemExit(f"{folder}: {len(joined['category'])} of {count} samples of {part} are there: run features.py again")
    # several networks are trained from one cache side by side
    partial = folder / f"{part}.{os.getpid()}.tmp.npz"
    np.savez(partial, **joined)
    os.replace(partial, folder / f"{part}.npz")
    return joined


def _work(job: int, jobs: int, folder: Path, parts: list[str], weights: str, device: str) -> None:
    torch.set_num_threads(1)
    for part in parts:
        _make(job, jobs, folder, part, weights, device)


def _make(job: int, jobs: int, folder: Path, part: str, weights: str, device: str) -> None:
    about = json.loads((folder / "about.json").read_text())
    data, side = Path(about["data"]), about["side"]
    plan = about["plan"] if part == "draws" else None
    photos = Photos(data, labels_of(about, corrected=False), side, plan, about["seed"], about.get("turned", 0))
    out = _open(folder, part, about, len(photos), "r+")
    # pixels are for a GPU that other processes do not share
    looks = "cpu" if about["pixels"] else device
    detector = Detector().load(folder / DETECTOR).to(looks, memory_format=torch.channels_last) if part == "plain" else None
    if not about["pixels"]:
        net = MaitredNet(4, about["trunk"]).eval()
        if weights != "none":
            net.load_imagenet(weights)
        net = net.to(device, memory_format=torch.channels_last)
    for chunk in range(job, (len(photos) + CHUNK - 1) // CHUNK, jobs):
        marker = folder / f"{part}-{chunk}.npz"
        if marker.exists():
            continue
        at = range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(photos)))
        pixels, category, human, target = zip(*(photos[index] for index in at))
        found = {"category": np.int8(category), "human": np.int8(human), "map": torch.stack(target).numpy().astype(np.int8)}
        with torch.inference_mode():
            for start in range(0, len(at), 16):
                batch = torch.stack(pixels[start:start + 16])
                if not about["pixels"]:
                    batch = net.stem(batch.to(device, memory_format=torch.channels_last).float()).half().cpu()
                out[at[start]:at[start] + len(batch)] = batch.permute(0, 2, 3, 1).numpy()
            if detector:
                found["seen"] = _seen(detector, pixels, looks)
        partial = marker.with_suffix(".tmp.npz")
        np.savez(partial, **found)
        os.replace(partial, marker)
        if job == 0 and chunk % (jobs * 10) == 0:
            print(json.dumps({part: at[-1] + 1, "of": len(photos)}), flush=True)


def _seen(detector: Detector, pixels: tuple, device: str) -> np.ndarray:
    """float16 [n, S/16, S/16]."""
    parts = []
    for start in range(0, len(pixels), 16):
        batch = torch.stack(pixels[start:start + 16]).to(device, memory_format=torch.channels_last)
        with in_16_bits(device):
            parts.append(detector(batch.float()).half().cpu().numpy())
    return np.concatenate(parts)


def reserve(file: Path, size: int) -> None:
    """Makes a file of so many bytes, all of which the disk has room for: where it filled up later, writing to mapped memory would end in SIGBUS.
    Raises SystemExit where there is no room."""
    with open(file, "wb") as empty:
        try:
            if hasattr(os, "posix_fallocate"):  # macOS has none
                os.posix_fallocate(empty.fileno(), 0, size)
            empty.truncate(size)
        except OSError as fault:
            file.unlink()
            raise SystemExit(f"{file}: expected room for {size / 1e9:.2f} GB there: {fault.strerror}: name another folder, or fewer --draws")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with labels.jsonl")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", help="ImageNet weights of the trunk (.pth), unless --pixels; none: random ones, for tests")
    parser.add_argument("--detector", type=Path, required=True, help="weights of the detector (nanodet-g.bin)")
    parser.add_argument("--trunk", default="lite0", choices=["lite0", "lite1", "lite2"])
    parser.add_argument("--pixels", action="store_true", help="keep the pixels, to train every layer: for a GPU")
    parser.add_argument("--side", type=int, default=288, help="pixels, both edges; a multiple of 32")
    parser.add_argument("--draws", type=int, default=45_000)
    parser.add_argument("--mosaic", action="store_true", help="draw mosaics of four photos, without `plain`")
    parser.add_argument("--turned", type=float, default=0, help="share of the samples that lie on their sides or heads; above 0 without `plain`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()

    if not args.weights and not args.pixels:
        parser.error("expected --weights, or --pixels, which needs none")
    Detector().load(args.detector)  # other weights end it here
    weights = args.detector.read_bytes()
    args.out.mkdir(parents=True, exist_ok=True)
    of = {"data": str(args.data.resolve()), "labels": sha256(args.data / "labels.jsonl")}
    every = read_labels(args.data, corrected=False, sha256=of["labels"])
    of["same"] = same_bytes([sha256(args.data / label["file"]) for label in every])
    labels = labels_of(of, corrected=False)
    channels = 3 if args.pixels else MaitredNet(4, args.trunk)._blocks[5]._expand_conv.in_channels
    about = of | {"photos": len(labels), "side": args.side, "trunk": args.trunk, "pixels": args.pixels,
             "channels": channels, "detector": hashlib.sha256(weights).hexdigest(), "seed": args.seed, "turned": args.turned, "plan": (plan_mosaics if args.mosaic else plan_draws)(labels, args.draws, args.seed)}
    known = args.out / "about.json"
    if known.exists() and json.loads(known.read_text()) != about:
        raise SystemExit(f"{args.out}: holds features of other photos or settings: name another folder")
    (args.out / DETECTOR).write_bytes(weights)
    partial = known.with_suffix(".tmp")
    partial.write_text(json.dumps(about))
    partial.replace(known)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    jobs = 1 if device == "cuda" and not args.pixels else args.jobs
    parts = {"draws": len(about["plan"])} | ({} if args.mosaic or args.turned else {"plain": len(labels)})
    for part, count in parts.items():
        file = args.out / f"{part}.raw"
        cells, width = (args.side, 1) if args.pixels else (args.side // 8, 2)
        size = count * cells ** 2 * channels * width
        if not file.exists() or file.stat().st_size != size:
            reserve(file, size)
    if jobs == 1:
        _work(0, 1, args.out, list(parts), args.weights, device)
    else:
        spawn(_work, (jobs, args.out, list(parts), args.weights, device), jobs)


if __name__ == "__main__":
    main()
