"""What a network says of the samples of its caches, for another to learn from (train.py --told) or not to forget (train.py --recall).

Example: python tell.py runs/teacher0 cache2/photos cache2/menus --out told/teacher0
         python tell.py weights/efficientnet-lite0.pth cache/photos cache/menus --out told/imagenet

One file a cache, in their order. Of a run: category logits [samples, K], human logits [samples] and map logits [samples, S/16, S/16]; of ImageNet's
weights: `pooled` features [samples, 1280]; float16. The caches of who learns may be of another trunk, and hold the same samples. It takes minutes, and begins
anew when it is run again.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from data import CATEGORIES
from features import Features, drawn
from net import WIDTH_DEPTH, MaitredNet, Recall, in_16_bits
from samples import SPOKEN
from train import load_run
from weights import sha256

BATCH = 48


@torch.inference_mode()
def tell(say: Callable, samples: Features, device: str) -> dict[str, np.ndarray]:
    """`say` makes of a batch of what was kept a tensor [N, ...] for each key."""
    count, said = len(samples.photos), {}
    for start in range(0, count, BATCH):
        at = np.arange(start, min(start + BATCH, count))
        kept = samples.batch(at)[0].to(device).float().contiguous(memory_format=torch.channels_last)
        with in_16_bits(device):
            outputs = say(kept)
        for key, output in outputs.items():
            if key not in said:
                said[key] = np.empty((count, *output.shape[1:]), np.float16)
            said[key][at] = output.half().cpu().numpy()
        if start // BATCH % 20 == 0:
            print(json.dumps({samples.folder: at[-1].item() + 1, "of": count}), flush=True)
    return said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="folder that train.py wrote; or a trunk's weights (.pth), whose features are what is told then")
    parser.add_argument("caches", type=Path, nargs="+", help="folders that features.py wrote, of the network's trunk or of pixels")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trunk", default="lite0", choices=list(WIDTH_DEPTH), help="what weights are of (lite0)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.network.is_file():
        net, how, about = MaitredNet(len(CATEGORIES), args.trunk), {"trunk": args.trunk}, {"trunk": args.trunk, "weights": sha256(args.network)}
        net.load_imagenet(str(args.network))
    else:
        if not (args.network / "last.pt").exists():
            raise SystemExit(f"{args.network}: expected a folder that train.py wrote, or a file of weights")
        net, how = load_run(args.network)
        about = {"by": f"efficientnet-{how['trunk']}, {how['draws']} draws", "folds": how["folds"], "fold": how["fold"]}
    net = net.to(device, memory_format=torch.channels_last).eval()
    pool = Recall(net)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "told.json").unlink(missing_ok=True)
    for number, cache in enumerate(args.caches):
        samples = Features(cache, "draws")
        if not samples.pixels and samples.trunk != how["trunk"]:
            raise SystemExit(f"{cache}: holds features of {samples.trunk}, and {args.network} is of {how['trunk']}: name its caches")

        def say(kept: torch.Tensor) -> dict[str, torch.Tensor]:
            middle, last = net.blocks(net.stem(kept) if samples.pixels else kept)
            return dict(zip(SPOKEN, net.heads(middle, last))) if "fold" in about else {"pooled": pool(last)}

        np.savez(args.out / f"{number}.npz", **tell(say, samples, device))
    (args.out / "told.json").write_text(json.dumps(about | {"drawn": [drawn(cache) for cache in args.caches]}))


if __name__ == "__main__":
    main()
