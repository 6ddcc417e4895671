"""What a trained network says of the samples of its caches, for another to learn from (train.py --told).

Example: python tell.py runs/teacher0 cache2/photos cache2/menus --out told/teacher0

One file a cache, in their order: category logits [samples, K], human logits [samples] and map logits [samples, S/16, S/16], float16. The caches
of who learns may be of another trunk, and hold the same samples. It takes minutes, and begins anew when it is run again.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from data import CATEGORIES
from features import Features, drawn
from net import in_16_bits
from train import load_run

SPOKEN = ("category", "human", "map")
BATCH = 48


@torch.inference_mode()
def tell(net, samples: Features, device: str) -> dict[str, np.ndarray]:
    count, cells = len(samples.photos), samples.targets["map"].shape[1]
    said = {"category": np.empty((count, len(CATEGORIES)), np.float16), "human": np.empty(count, np.float16),
            "map": np.empty((count, cells, cells), np.float16)}
    for start in range(0, count, BATCH):
        at = np.arange(start, min(start + BATCH, count))
        kept = samples.batch(at)[0].to(device).float().contiguous(memory_format=torch.channels_last)
        with in_16_bits(device):
            outputs = net.rest(net.stem(kept) if samples.pixels else kept)
        for key, output in zip(SPOKEN, outputs):
            said[key][at] = output.half().cpu().numpy()
        if start // BATCH % 20 == 0:
            print(json.dumps({samples.folder: at[-1].item() + 1, "of": count}), flush=True)
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train.py wrote")
    parser.add_argument("caches", type=Path, nargs="+", help="folders that features.py wrote, of the run's trunk or of pixels")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net, how = load_run(args.run)
    net = net.to(device, memory_format=torch.channels_last).eval()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "told.json").unlink(missing_ok=True)
    for number, cache in enumerate(args.caches):
        samples = Features(cache, "draws")
        if not samples.pixels and samples.trunk != how["trunk"]:
            raise SystemExit(f"{cache}: holds features of {samples.trunk}, and {args.run} was trained on those of {how['trunk']}: name its caches")
        np.savez(args.out / f"{number}.npz", **tell(net, samples, device))
    (args.out / "told.json").write_text(json.dumps({
        "by": f"efficientnet-{how['trunk']}, {how['draws']} draws", "folds": how["folds"], "fold": how["fold"], "drawn": [drawn(cache) for cache in args.caches]}))


if __name__ == "__main__":
    main()
