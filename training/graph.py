"""A trained network → ONNX graphs: fp32, fp16 for CUDA, int8 for CPUs, all with the same inputs and outputs.

uint8 [N, S, S, 3], RGB → category probabilities [N, K], human probability [N], human_map [N, S/16, S/16] in 0..1. Of humans they say what the
network alone does: beside.py adds what the detector sees.
"""

import copy
import math
import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read once, as it is imported; it would tell Microsoft of the machine and the model

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import nn

from calibrate import Calibration
from net import MaitredNet, in_place


class Padded(nn.Module):
    """A convolution with its normalisation folded in, and padding that is known beforehand."""

    def __init__(self, conv, norm, size):
        super().__init__()
        total = max((math.ceil(size / conv.stride[0]) - 1) * conv.stride[0] + conv.kernel_size[0] - size, 0)
        before, after = total // 2, total - total // 2
        self.pads = (before, after, before, after) if before != after else None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        self.conv = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,
                              0 if self.pads else before, groups=conv.groups)
        self.conv.weight.data = (conv.weight * scale[:, None, None, None]).detach()
        self.conv.bias.data = (norm.bias - norm.running_mean * scale).detach()

    def forward(self, x):
        return self.conv(F.pad(x, self.pads) if self.pads else x)


class Shipped(nn.Module):
    """A network with what was calibrated (calibrate.py) in its last layers."""

    def __init__(self, net: MaitredNet, side: int, calibration: Calibration):
        super().__init__()
        self.net, self.calibration = copy.deepcopy(net).eval(), calibration
        self.bias = nn.Parameter(torch.tensor(calibration.bias), requires_grad=False)
        self.layers, size = nn.ModuleList(), side
        self.stem, size = Padded(net._conv_stem, net._bn0, size), math.ceil(size / 2)
        for block in net._blocks:
            layers = nn.ModuleDict()
            if hasattr(block, "_expand_conv"):
                layers["expand"] = Padded(block._expand_conv, block._bn0, size)
            layers["depthwise"] = Padded(block._depthwise_conv, block._bn1, size)
            size = math.ceil(size / block._depthwise_conv.stride[0])
            layers["project"] = Padded(block._project_conv, block._bn2, size)
            self.layers.append(layers)
        self.head = Padded(net._conv_head, net._bn1, size)

    def forward(self, photos):
        net, fitted = self.net, self.calibration
        x = F.relu6(self.stem((photos.permute(0, 3, 1, 2).float() - 127.0) / 128.0))
        for index, (block, layers) in enumerate(zip(net._blocks, self.layers)):
            y = F.relu6(layers["expand"](x)) if "expand" in layers else x
            y = layers["project"](F.relu6(layers["depthwise"](y)))
            x = x + y if block.skip else y
            if index == net._stride16:
                middle = x
        pooled = F.adaptive_avg_pool2d(F.relu6(self.head(x)), 1).flatten(1)
        coarse = F.interpolate(net.lateral32(x), scale_factor=2.0, mode="nearest")
        fused = F.relu6(net.lateral16(middle) + coarse)
        fused = F.relu6(net.human_mix(F.relu6(net.human_depth(fused))))
        human_map = net.human_point(fused).squeeze(1)
        flat = human_map.flatten(1) * net.sharpness
        # less the maximum, so that no exponential leaves the range of 16 bits
        most = flat.amax(1, keepdim=True)
        peak = (torch.log(torch.exp(flat - most).mean(1)) + most.squeeze(1)) / net.sharpness
        human = net.human_gain * peak + net.human_bias + net.human_frame(pooled).squeeze(1)
        return (F.softmax(net.category(pooled) / fitted.temperature + self.bias, 1),
                torch.sigmoid(human * fitted.slope + fitted.offset), in_place(torch.sigmoid(human_map)))


def export_fp32(module: nn.Module, side: int, file: Path, outputs: tuple = ("category", "human", "human_map")) -> None:
    example = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    torch.onnx.export(module.eval(), (example,), str(file), input_names=["photos"], dynamo=False, opset_version=17,
                      output_names=list(outputs), dynamic_axes={name: {0: "n"} for name in ("photos", *outputs)})
    # folds constants
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    model = onnx.load(str(file))
    _fuse_pads(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def _fuse_pads(graph: onnx.GraphProto) -> None:
    """Pad followed by Conv → Conv with uneven pads, which is quantized as one, and computed without a copy."""
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    for node in graph.node:
        pad = pads.get(node.input[0])
        if pad is None or node.op_type != "Conv":
            continue
        _, _, top, left, _, _, bottom, right = constants[pad.input[1]].tolist()
        kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("pads", [top, left, bottom, right])])
        node.input[0] = pad.input[0]
        graph.node.remove(pad)


def export_fp16(fp32: Path, file: Path) -> None:
    """Weights and arithmetic in 16 bits; what turns logits into probabilities stays in 32."""
    model = convert_float_to_float16(onnx.load(str(fp32)), keep_io_types=True,
                                     op_block_list=["Softmax", "Exp", "Log", "ReduceMean", "ReduceMax", "Sigmoid", "Resize", "Pad", "AveragePool"])
    onnx.save(model, str(file))


QUANTIZED = ["Conv", "Add", "Clip", "GlobalAveragePool", "Resize"]


def export_int8(fp32: Path, photos: np.ndarray, file: Path, kinds: list[str] = QUANTIZED) -> None:
    """Static, weights per channel, activations by the range that `photos` (uint8 [n, S, S, 3]) take in training data.

    Weights use 7 bits: on CPUs without VNNI, sums of two products of 8 bits overflow 16 and are cut off, and scores
    would depend on the machine. Those of a channel of its own use all 8, for onnxruntime multiplies them in 32 bits; they
    are where bits matter most.
    """
    class Photos(CalibrationDataReader):
        def __init__(self):
            self.batches = iter(np.array_split(photos, max(1, len(photos) // 8)))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"photos": batch}

    whole = {weight: [{"axis": 0, "reduce_range": False}] for weight in _depthwise_weights(onnx.load(str(fp32)).graph)}
    quantize_static(str(fp32), str(file), Photos(), quant_format=QuantFormat.QOperator, per_channel=True, reduce_range=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=kinds,
                    extra_options={"TensorQuantOverrides": whole})
    model = onnx.load(str(file))
    _take_bytes_as_they_are(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def _depthwise_weights(graph: onnx.GraphProto) -> list[str]:
    return [node.input[1] for node in graph.node if node.op_type == "Conv" and any(each.name == "group" and each.i > 1 for each in node.attribute)]


def _take_bytes_as_they_are(graph: onnx.GraphProto) -> None:
    """(photo - 127) / 128, quantized by 1/128 around 127, is the photo's own bytes: a tenth of the time is saved."""
    made = {node.output[0]: node for node in graph.node}
    quantize = next(node for node in graph.node if node.op_type == "QuantizeLinear")
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    if [float(constants[name]) for name in quantize.input[1:]] != [1 / 128, 127.0]:
        return  # the sample had neither black nor white
    chain, source = [quantize], quantize.input[0]
    while made[source].op_type != "Transpose":
        chain.append(made[source])
        source = made[source].input[0]
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == quantize.output[0]:
                node.input[index] = source
    for node in chain:
        graph.node.remove(node)


def open_graph(file: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def run(file: Path, photos: np.ndarray, batch: int = 16) -> list[np.ndarray]:
    """The graph's outputs for uint8 [n, S, S, 3], on the CPU."""
    session = open_graph(file)
    parts = [session.run(None, {"photos": photos[at:at + batch]}) for at in range(0, len(photos), batch)]
    return [np.concatenate(each) for each in zip(*parts)]
