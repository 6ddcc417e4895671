"""A graph of the network and one of the detector → one graph, in which both are asked and what they say of humans is added up.

The detector reads the photos as the network does, uint8 [N, S, S, 3]. Its logits [N, S/16, S/16], weighed as calibrate.py found, join the
network's: at their highest that of the human, and cell by cell those of the map.
"""

import copy
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from calibrate import Calibration
from detector import DEVIATION, MEAN, Detector
from graph import export_fp16, export_fp32, export_int8, open_graph
from measure import LEAST

VARIANTS = ("model.onnx", "model.fp16.onnx", "model.int8.onnx")


class Beside(nn.Module):
    """The detector of pixels as the network takes them, (photo - 127) / 128; at the frame's edge, where its nought was the mean
    colour, it is another grey."""

    def __init__(self, detector: Detector):
        super().__init__()
        self.detector = copy.deepcopy(detector)
        scale, offset = (torch.tensor(each).view(1, 3, 1, 1) for each in (
            [128 / each for each in DEVIATION], [(127 - mean) / each for mean, each in zip(MEAN, DEVIATION)]))
        stem = self.detector.stem
        stem.bias.data += (stem.weight * offset).sum((1, 2, 3))
        stem.weight.data *= scale

    def forward(self, photos):
        return self.detector.persons((photos.permute(0, 3, 1, 2).float() - 127.0) / 128.0)


def export_detector(detector: Detector, side: int, photos: np.ndarray, folder: Path) -> None:
    """Its three graphs, called as a model's are; `photos` (uint8 [n, S, S, 3]) set the ranges of int8."""
    folder.mkdir(parents=True, exist_ok=True)
    fp32, fp16, int8 = (folder / name for name in VARIANTS)
    export_fp32(Beside(detector), side, fp32, ("persons",))
    export_fp16(fp32, fp16)
    export_int8(fp32, photos, int8, ["Conv", "Add", "LeakyRelu", "Concat", "MaxPool", "AveragePool", "Resize"])


def add_detector(file: Path, detector: Path, out: Path, calibration: Calibration) -> None:
    """`file` was exported with the same calibration, which its logit of the human has and its map lacks."""
    model, other = onnx.load(str(file)), onnx.compose.add_prefix(onnx.load(str(detector)), "detector/")
    graph, theirs = model.graph, other.graph
    for node in theirs.node:
        node.input[:] = ["photos" if name == theirs.input[0].name else name for name in node.input]
    alone = _logit_of(graph, "human")
    for node in graph.node:
        node.output[:] = ["human_map_alone" if name == "human_map" else name for name in node.output]
    constants = {"seen": calibration.seen, "cells_own": calibration.slope, "cells_offset": calibration.offset,
                 "cells_least": LEAST, "cells_most": 1 - LEAST, "cells_one": 1}
    persons = theirs.output[0].name
    node = helper.make_node
    graph.node.extend([*theirs.node,
        node("ReduceMax", [persons], ["person"], axes=[1, 2], keepdims=0),
        node("Mul", ["person", "seen"], ["person_weighed"]),
        node("Add", [alone, "person_weighed"], ["human_sum"]),
        node("Sigmoid", ["human_sum"], ["human"]),
        node("Clip", ["human_map_alone", "cells_least", "cells_most"], ["cells_inside"]),
        node("Sub", ["cells_one", "cells_inside"], ["cells_outside"]),
        node("Div", ["cells_inside", "cells_outside"], ["cells_odds"]),
        node("Log", ["cells_odds"], ["cells_alone"]),
        node("Mul", ["cells_alone", "cells_own"], ["cells_alone_weighed"]),
        node("Mul", [persons, "seen"], ["cells_seen_weighed"]),
        node("Add", ["cells_alone_weighed", "cells_seen_weighed"], ["cells_both"]),
        node("Add", ["cells_both", "cells_offset"], ["cells_sum"]),
        node("Sigmoid", ["cells_sum"], ["human_map"])])
    graph.initializer.extend([*theirs.initializer, *(numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items())])
    known = {each.domain for each in model.opset_import}
    model.opset_import.extend(each for each in other.opset_import if each.domain not in known)
    onnx.save(model, str(out))
    open_graph(out)  # a graph that cannot be run ends it here


def _logit_of(graph: onnx.GraphProto, output: str) -> str:
    """What the sigmoid that an output comes from is of; the nodes from there on are taken out."""
    made = {name: node for node in graph.node for name in node.output}
    node = made[output]
    while node.op_type == "Cast":
        graph.node.remove(node)
        node = made[node.input[0]]
    if node.op_type != "Sigmoid":
        raise SystemExit(f"expected {output} to come from a sigmoid, got {node.op_type}: another model's graph?")
    graph.node.remove(node)
    return node.input[0]


def keep_in_16_bits(file: Path) -> None:
    """Keeps weights in half the room; they become 32 bits again as the graph is opened, and all arithmetic is in 32 bits."""
    model = onnx.load(str(file))
    graph, casts = model.graph, []
    for each in graph.initializer:
        values = numpy_helper.to_array(each)
        if values.dtype == np.float32 and values.size > 1000:
            casts.append(helper.make_node("Cast", [f"{each.name}_16"], [each.name], to=TensorProto.FLOAT))
            each.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{each.name}_16"))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
