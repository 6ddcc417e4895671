"""What PyTorch makes of the network on a GPU, as the practical ceiling: photos a second by batch size, as JSON.

Usage: python bench/ceiling.py SIDE SECONDS SIZE...

fp16, channels_last, the whole of a batch one CUDA graph; pixels and scores stay on the GPU. Weights are random: they
do not change how long it takes.
"""

import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from beside import Beside
from calibrate import Calibration
from detector import Detector
from graph import Shipped
from net import MaitredNet


class Both(torch.nn.Module):
    """The network and the detector, of the same photos."""

    def __init__(self, *parts: torch.nn.Module):
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)

    def forward(self, photos):
        return [part(photos) for part in self.parts]


@torch.inference_mode()
def rate(network: torch.nn.Module, side: int, size: int, seconds: float) -> float:
    photos = torch.randint(0, 256, (size, side, side, 3), dtype=torch.uint8, device="cuda")
    with torch.autocast("cuda", torch.float16, cache_enabled=False):
        for _ in range(3):
            network(photos)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            network(photos)
    begun, runs = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        for _ in range(10):
            graph.replay()
        torch.cuda.synchronize()
        runs += 10
    return runs * size / (time.perf_counter() - begun)


def main() -> None:
    side, seconds, *sizes = sys.argv[1:]
    torch.backends.cudnn.benchmark = True
    network = Both(Shipped(MaitredNet(4), int(side), Calibration(1.0, [0.0] * 4, 1.0, 0.0, 0.0)), Beside(Detector())).eval()
    # the weights in 16 bits already, so that no run converts them; what turns logits into probabilities stays in 32
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.half()
    network = network.to("cuda", memory_format=torch.channels_last)
    print(json.dumps({size: round(rate(network, int(side), int(size), float(seconds))) for size in sizes}))


if __name__ == "__main__":
    main()
