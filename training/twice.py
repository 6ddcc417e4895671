"""A graph → one that looks closer where it is unsure whether a photo shows a human: at two corners, enlarged. export.py makes such graphs; for a
model that was made without: python twice.py ../models/old-1 ../models/old-2

All looks are the same network and detector, so that the weights are there once. Photos that the first look is sure of cost nothing more. NOTES.md,
35, says what it gives.
"""

import argparse
import copy
import json
import math
import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from beside import VARIANTS
from graph import open_graph
from weights import sha256

# probabilities of a human between which a photo is looked at again. Next to them the mean of all looks counts for less, and in full from half a
# logit inside: what differs by next to nothing, as the same photo does in 8 bits, is to be judged as if by next to nothing
UNSURE, STEEP = (0.02, 0.5), 2.0
# upper right and lower left, of so much of either edge
SHARE = 0.75
CLOSER = "closer/"  # before the names of what the second look computes


def corners(photos: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 3, S, S] → [2 N, 3, S, S]: all that is seen closer of the first corner, then of the second."""
    side = photos.shape[-1]
    kept = round(side * SHARE)
    parts = torch.cat([photos[..., :kept, side - kept:], photos[..., side - kept:, :kept]]).float()
    return F.interpolate(parts, size=(side, side), mode="bilinear", align_corners=False).round().byte()


def together(first: torch.Tensor, closer: torch.Tensor) -> torch.Tensor:
    """Logits of the first look [N] and of the closer ones [2 N] → those that count [N]."""
    low, high = map(logit_of, UNSURE)
    share = (STEEP * torch.minimum(first - low, high - first)).clamp(0, 1)
    return first + share * (torch.cat([first[None], closer.view(2, -1)]).mean(0) - first)


def logit_of(probability: float) -> float:
    return math.log(probability / (1 - probability))


def look_twice(file: Path, side: int, at_all: bool) -> None:
    """Changes `human` alone of a graph whose output it is, a sigmoid of a sum of logits [N]. Looks closer `at_all` photos, whatever the first look
    says: a GPU tries out how to compute each new size of a batch, and has time to spare. Raises SystemExit where it is no such graph."""
    model = onnx.load(str(file))
    graph, node = model.graph, helper.make_node
    nodes = _in_order(graph)
    last = next((each for each in nodes if "human" in each.output), None)
    if last is None or last.op_type != "Sigmoid":
        raise SystemExit(f"{file}: expected human to come from a sigmoid: another model's graph?")
    first = last.input[0]
    if at_all:
        again = _closer(nodes, first, "photos", first, "human_looked")
    else:
        some = helper.make_graph([
            node("NonZero", ["unsure"], ["unsure_row"]),
            node("Squeeze", ["unsure_row", "rows"], ["unsure_at"]),
            node("Gather", ["photos", "unsure_at"], ["unsure_photos"]),
            node("Gather", [first, "unsure_at"], ["unsure_first"]),
            *_closer(nodes, first, "unsure_photos", "unsure_first", "unsure_looked"),
            node("ScatterElements", [first, "unsure_at", "unsure_looked"], ["human_again"])], "some", [], [_logits("human_again")])
        none = helper.make_graph([node("Identity", [first], ["human_once"])], "none", [], [_logits("human_once")])
        again = [node("Greater", [first, "unsure_low"], ["above_low"]), node("Less", [first, "unsure_high"], ["below_high"]),
                 node("And", ["above_low", "below_high"], ["unsure"]),
                 node("Cast", ["unsure"], ["unsure_numbers"], to=TensorProto.INT32),
                 node("ReduceMax", ["unsure_numbers"], ["unsure_most"], keepdims=0),
                 node("Cast", ["unsure_most"], ["unsure_any"], to=TensorProto.BOOL),
                 node("If", ["unsure_any"], ["human_looked"], then_branch=some, else_branch=none)]
    low, high = (np.float32(logit_of(bound)) for bound in UNSURE)
    kept = round(side * SHARE)
    constants = {"unsure_low": low, "unsure_high": high, "steep": np.float32(STEEP), "nothing": np.float32(0), "everything": np.float32(1), "rows": [0], "edges": [2, 3], "two_rows": [2, -1],
                 "right_from": [0, side - kept], "right_to": [kept, side], "left_from": [side - kept, 0], "left_to": [side, kept],
                 "enlarged": np.float32([1, 1, side / kept, side / kept])}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    last.input[0] = "human_looked"
    del graph.node[:]
    graph.node.extend([*(each for each in nodes if each is not last), *again, last])
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    open_graph(file)  # a graph that cannot be run ends it here


def _closer(nodes: list[onnx.NodeProto], output: str, photos: str, first: str, looked: str) -> list[onnx.NodeProto]:
    """`photos` [n, S, S, 3] and what the `first` look said of them [n] → `looked` [n]; as corners and together have it."""
    node = helper.make_node
    return [
        node("Transpose", [photos], ["planes"], perm=[0, 3, 1, 2]),
        node("Slice", ["planes", "right_from", "right_to", "edges"], ["right_corner"]),
        node("Slice", ["planes", "left_from", "left_to", "edges"], ["left_corner"]),
        node("Concat", ["right_corner", "left_corner"], ["corners"], axis=0),
        node("Cast", ["corners"], ["corners_float"], to=TensorProto.FLOAT),
        node("Resize", ["corners_float", "", "enlarged"], ["corners_large"], mode="linear", coordinate_transformation_mode="half_pixel"),
        node("Round", ["corners_large"], ["corners_round"]),
        node("Cast", ["corners_round"], ["corners_bytes"], to=TensorProto.UINT8),
        node("Transpose", ["corners_bytes"], [f"{CLOSER}photos"], perm=[0, 2, 3, 1]),
        *_copied(nodes, output),
        node("Reshape", [f"{CLOSER}{output}", "two_rows"], ["closer_rows"]),
        node("Unsqueeze", [first, "rows"], ["first_row"]),
        node("Concat", ["first_row", "closer_rows"], ["all_rows"], axis=0),
        node("ReduceMean", ["all_rows"], ["mean_looks"], axes=[0], keepdims=0),
        node("Sub", [first, "unsure_low"], ["above"]), node("Sub", ["unsure_high", first], ["below"]),
        node("Min", ["above", "below"], ["inside"]), node("Mul", ["inside", "steep"], ["inside_steep"]),
        node("Clip", ["inside_steep", "nothing", "everything"], ["looks_share"]),
        node("Sub", ["mean_looks", first], ["looks_change"]), node("Mul", ["looks_change", "looks_share"], ["looks_added"]),
        node("Add", [first, "looks_added"], [looked])]


def _in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Copies of the nodes, each behind those that it depends on, which not every tool keeps to."""
    known, ordered, waiting = {"", *(each.name for each in [*graph.input, *graph.initializer])}, [], list(graph.node)
    while waiting:
        ready = [each for each in waiting if known.issuperset(each.input)]
        waiting = [each for each in waiting if not known.issuperset(each.input)]
        known.update(name for each in ready for name in each.output)
        ordered += ready
    return [copy.deepcopy(each) for each in ordered]


def _copied(nodes: list[onnx.NodeProto], output: str) -> list[onnx.NodeProto]:
    """Copies of those that make `output` of the photos; what depends on no photo is read from the first look."""
    varies, needed = {"photos"}, {output}
    for each in nodes:
        if varies.intersection(each.input):
            varies.update(each.output)
    for each in reversed(nodes):
        if needed.intersection(each.output):
            needed.update(each.input)
    copies = [copy.deepcopy(each) for each in nodes if varies.intersection(each.output) and needed.intersection(each.output)]
    for number, each in enumerate(copies):
        each.name = f"{CLOSER}{number}"
        each.input[:] = [f"{CLOSER}{name}" if name in varies else name for name in each.input]
        each.output[:] = [f"{CLOSER}{name}" for name in each.output]
    return copies


def _logits(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder that export.py made before it looked twice")
    parser.add_argument("out", type=Path, help="model folder to make, such as ../models/ours-2; what was measured, and its card, stay what they were, of one look, and `measured` says so")
    args = parser.parse_args()
    name, _, version = args.out.name.rpartition("-")
    if not name or args.out.exists():
        raise SystemExit(f"{args.out}: expected the name and version of a folder that is not there yet, such as ours-2")
    about = json.loads((args.model / "model.json").read_text())
    if "looksTwice" in about:
        raise SystemExit(f"{args.model}: looks twice already")
    partial = args.out.with_name(f".{args.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(args.model, partial)
    for file in about["files"]:
        look_twice(partial / file, about["input"]["side"], at_all=file == VARIANTS[1])
        about["files"][file] = {"sha256": sha256(partial / file)}
    about |= {"name": name, "version": version, "looksTwice": UNSURE}
    about["measured"] = {"of": f"{args.model.name}, which looks once"} | about["measured"]
    (partial / "model.json").write_text(json.dumps(about, indent=1) + "\n")
    partial.rename(args.out)


if __name__ == "__main__":
    main()
