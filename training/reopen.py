"""A model folder → weights that training begins with instead of ImageNet's, heads included.

Example: python reopen.py ../models/restaurant-6 --out weights/restaurant-6.pth
         python make.py ../photos ../models/ours-1 --weights weights/restaurant-6.pth

Sources that the model was trained on already are not held out by any fold: figures of folds mean something for new sources only. In a graph, normalisation is
folded into its convolution; here it is what ImageNet's weights have, and the convolution such that both together are the same.
"""

import argparse
import json
import re
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

import weights
from beside import VARIANTS
from net import MODEL, MaitredNet


def reopen(model: Path, imagenet: Path, trunk: str) -> MaitredNet:
    """Raises SystemExit where the graph is none that export.py wrote."""
    kept = {each.name.removesuffix("_16"): torch.from_numpy(numpy_helper.to_array(each).copy()).float()
            for each in onnx.load(str(model / VARIANTS[0])).graph.initializer}
    net = MaitredNet(kept["net.category.bias"].numel() if "net.category.bias" in kept else 4, trunk)
    net.load_imagenet(str(imagenet))
    folded = {"stem": (net._conv_stem, net._bn0), "head": (net._conv_head, net._bn1)}
    for number, block in enumerate(net._blocks):
        layers = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}
        folded |= {f"layers.{number}.{name}": (getattr(block, conv), getattr(block, norm)) for name, (conv, norm) in layers.items() if hasattr(block, conv)}
    try:
        with torch.no_grad():
            for name, (conv, norm) in folded.items():
                spread = torch.sqrt(norm.running_var + norm.eps)
                scale = norm.weight / spread
                # a channel that ImageNet left out could not be given back otherwise
                scale = torch.where(scale.abs() < LEAST, LEAST, scale)
                norm.weight.copy_(scale * spread)
                norm.bias.copy_(kept[f"{name}.conv.bias"] + norm.running_mean * scale)
                conv.weight.copy_(kept[f"{name}.conv.weight"] / scale[:, None, None, None])
            for name, value in net.named_parameters():
                if not name.startswith("_"):
                    value.copy_(kept[f"net.{name}"])
    except (KeyError, RuntimeError) as fault:
        raise SystemExit(f"{model / VARIANTS[0]}: expected a graph of efficientnet-{trunk} that export.py wrote ({fault})") from fault
    return net


LEAST = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--out", type=Path, required=True, help="file to write (.pth)")
    parser.add_argument("--imagenet", type=Path, help="ImageNet's weights of its trunk (.pth); left out, weights.py fetches them beside --out")
    args = parser.parse_args()
    lacking = [name for name in ("model.json", VARIANTS[0]) if not (args.model / name).exists()]
    if lacking:
        raise SystemExit(f"{args.model}: expected a model folder, there is no {lacking[0]}")
    about = json.loads((args.model / "model.json").read_text())
    trunk = re.search(r"lite\d", about["trainedFrom"]["trunk"])[0]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    net = reopen(args.model, args.imagenet or weights.fetch(args.out.parent, trunk), trunk)
    of = {"name": f"{about['name']}-{about['version']}", "trainedFrom": about["trainedFrom"]}
    torch.save(net.state_dict() | {MODEL: of}, args.out)
    print(args.out)


if __name__ == "__main__":
    main()
