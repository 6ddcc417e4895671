"""A graph → one that asks the detector, and looks closer, only where that can tell: export.py makes such graphs; for a model that was made without:
python looks.py ../models/old-1 ../models/old-2

The detector is asked of photos of which the network alone is not sure that nobody is there. Where both are unsure they are asked of parts of the photo as
well, enlarged. All looks are the same network and detector, so that the weights are there once. rounds.py says the same in PyTorch.
NOTES.md, 35 and 38, say what it gives.
"""

import argparse
import copy
import json
import math
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from beside import VARIANTS
from calibrate import Calibration
from graph import open_graph
from rounds import ASKED, ROUNDS, SHARE, STEEP, Round, described, logit_of, offsets
from weights import sha256


def look_closer(file: Path, side: int, nobody: float, even: bool) -> None:
    """Changes a graph that beside.py made, whose `human` is a sigmoid of a sum of logits [N]. `nobody`: see Calibration. `even`: so many photos as a power of
    two are asked and looked at, one of them again and again: a GPU tries out how to compute each new size of a batch. Raises SystemExit where it is no such
    graph."""
    model = onnx.load(str(file))
    graph, node, constants = model.graph, helper.make_node, Constants()
    nodes = _in_order(graph)
    made = {name: each for each in nodes for name in each.output}
    if "person" not in made or "human" not in made or made["human"].op_type != "Sigmoid":
        raise SystemExit(f"{file}: expected human to come from a sigmoid, and from a detector: another model's graph?")
    total, persons = made["human"].input[0], made["person"].input[0]
    theirs = [each for each in _between(nodes, "photos", persons) if each.output[0].startswith("detector/")]
    after = _dependent(nodes, persons)
    before = [each for each in nodes if each not in theirs and each not in after]
    silent = _copied(_between(nodes, "person", total), {"person": constants.of(nobody)}, "alone/")
    asked = node("Greater", [f"alone/{total}", constants.of(logit_of(ASKED))], ["asked"])
    ordered = [*before, *silent, asked, *_asking(theirs, persons, nobody, side // 16, even, constants), *(each for each in after if each is not made["human"])]
    now, mean, looks = total, total, 1
    for number, each in enumerate(ROUNDS):
        prefix = f"closer{number}/"
        ordered += _round(_between(nodes, "photos", total), total, each, (now, mean, looks), side, even, prefix, constants)
        now, mean, looks = f"{prefix}now", f"{prefix}mean", looks + len(each.parts)
    made["human"].input[0] = now
    del graph.node[:]
    graph.node.extend([*ordered, made["human"]])
    graph.initializer.extend(constants.made())
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
    open_graph(file)  # a graph that cannot be run ends it here


class Constants:
    """Initializers by what they are, each there once."""

    def __init__(self):
        self.values: dict[str, np.ndarray] = {}

    def of(self, value, kind=np.float32) -> str:
        value = np.asarray(value, kind)
        name = f"looks/{value.dtype}_{'_'.join(map(str, value.ravel().tolist()))}_{value.ndim}"
        self.values[name] = value
        return name

    def made(self) -> list[onnx.TensorProto]:
        return [numpy_helper.from_array(value, name) for name, value in self.values.items()]


def _asking(theirs: list[onnx.NodeProto], persons: str, nobody: float, cells: int, even: bool, constants: Constants) -> list[onnx.NodeProto]:
    """What makes `persons` [N, cells, cells] of `photos` and `asked` [N], by the nodes of the detector."""
    node, shape = helper.make_node, constants.of([cells, cells], np.int64)
    silence = [node("Shape", ["photos"], ["asked/shape"]), node("Gather", ["asked/shape", constants.of([0], np.int64)], ["asked/all"]),
               node("Concat", ["asked/all", shape], ["asked/cells"], axis=0), node("Expand", [constants.of(nobody), "asked/cells"], ["asked/silence"])]
    some = [*_copied(theirs, {"photos": "asked/photos"}, "asked/"), node("Unsqueeze", ["asked/at", constants.of([1], np.int64)], ["asked/rows"]),
            node("ScatterND", ["asked/silence", "asked/rows", f"asked/{persons}"], ["asked/some"])]
    return [*silence, *_where("asked", "asked/", ["photos"], some, ["asked/some"], ["asked/silence"], [persons], ["N", cells, cells], even, constants)]


def _round(network: list[onnx.NodeProto], total: str, each: Round, before: tuple[str, str, int], side: int, even: bool, prefix: str, constants: Constants) -> list[onnx.NodeProto]:
    """What counts [N], the mean of so many looks [N] → the same after the closer looks of this round, named `now` and `mean`; as `closer` and `together` have it."""
    node, name = helper.make_node, lambda what: f"{prefix}{what}"
    (now, mean, looks), kept, (low, high) = before, round(side * SHARE), (constants.of(logit_of(bound)) for bound in each.unsure)
    photos, first, told = map(name, ("photos", now, mean))
    edges = constants.of([2, 3], np.int64)
    cut = [node("Slice", [name("planes"), constants.of(at, np.int64), constants.of([edge + kept for edge in at], np.int64), edges], [name(f"part{number}")])
           for number, at in enumerate(offsets(side, each.parts))]
    made = name("some_now"), name("some_mean")
    looked = [
        node("Transpose", [photos], [name("planes")], perm=[0, 3, 1, 2]), *cut, node("Concat", [part.output[0] for part in cut], [name("parts")], axis=0),
        node("Cast", [name("parts")], [name("float")], to=TensorProto.FLOAT),
        node("Resize", [name("float"), "", constants.of([1, 1, side / kept, side / kept])], [name("large")], mode="linear", coordinate_transformation_mode="half_pixel"),
        node("Round", [name("large")], [name("round")]), node("Cast", [name("round")], [name("bytes")], to=TensorProto.UINT8),
        node("Transpose", [name("bytes")], [name("look/photos")], perm=[0, 2, 3, 1]),
        *_copied(network, {"photos": name("look/photos")}, name("look/")),
        node("Reshape", [name(f"look/{total}"), constants.of([len(cut), -1], np.int64)], [name("said")]),
        node("ReduceMean", [name("said")], [name("said_mean")], axes=[0], keepdims=0),
        node("Mul", [name("said_mean"), constants.of(len(cut) / (looks + len(cut)))], [name("said_share")]),
        node("Mul", [told, constants.of(looks / (looks + len(cut)))], [name("told_share")]), node("Add", [name("told_share"), name("said_share")], [made[1]]),
        node("Sub", [first, low], [name("above")]), node("Sub", [high, first], [name("below")]), node("Min", [name("above"), name("below")], [name("inside")]),
        node("Mul", [name("inside"), constants.of(STEEP)], [name("steep")]), node("Clip", [name("steep"), constants.of(0), constants.of(1)], [name("share")]),
        node("Sub", [made[1], first], [name("change")]), node("Mul", [name("change"), name("share")], [name("added")]), node("Add", [first, name("added")], [made[0]])]
    scattered = [node("ScatterElements", [old, name("at"), new], [name(f"all_{number}")]) for number, (old, new) in enumerate(zip((now, mean), made))]
    unsure = [node("Greater", [now, low], [name("above_low")]), node("Less", [now, high], [name("below_high")]), node("And", [name("above_low"), name("below_high")], [name("unsure")])]
    # what both are twice where nothing is looked at again are two names
    return [*unsure, *_where(name("unsure"), prefix, list(dict.fromkeys(["photos", now, mean])), [*looked, *scattered], [part.output[0] for part in scattered], [now, mean],
                             [name("now"), name("mean")], ["N"], even, constants)]


def _where(mask: str, prefix: str, rows: list[str], some: list[onnx.NodeProto], made: list[str], otherwise: list[str], outputs: list[str], shape: list, even: bool, constants: Constants) -> list[onnx.NodeProto]:
    """`outputs` of this shape: what `some` have `made` if `mask` [N] is true anywhere, of such `rows` alone (named prefix + name, and their numbers `at`); else
    what is there `otherwise`."""
    node, name = helper.make_node, lambda what: f"{prefix}{what}"
    told = lambda names: [helper.make_tensor_value_info(each, TensorProto.FLOAT, shape) for each in names]
    found = [node("NonZero", [mask], [name("row")]), node("Squeeze", [name("row"), constants.of([0], np.int64)], [name("true" if even else "at")])]
    gathered = [*found, *(_evened(name, constants) if even else []), *(node("Gather", [each, name("at")], [name(each)]) for each in rows)]
    same = [node("Identity", [each], [name(f"same_{number}")]) for number, each in enumerate(otherwise)]
    return [node("Cast", [mask], [name("numbers")], to=TensorProto.INT32), node("ReduceMax", [name("numbers")], [name("most")], keepdims=0),
            node("Cast", [name("most")], [name("any")], to=TensorProto.BOOL),
            node("If", [name("any")], outputs, then_branch=helper.make_graph([*gathered, *some], name("then"), [], told(made)),
                 else_branch=helper.make_graph(same, name("else"), [], told([each.output[0] for each in same])))]


def _evened(name, constants: Constants) -> list[onnx.NodeProto]:
    """The numbers `true` → `at`, as many as the next power of two, by the first of them."""
    node, one = helper.make_node, constants.of([1], np.int64)
    # half less, so that no rounding makes the next power of what is one
    return [node("Shape", [name("true")], [name("count")]), node("Cast", [name("count")], [name("count_float")], to=TensorProto.FLOAT),
            node("Sub", [name("count_float"), constants.of(0.5)], [name("less")]), node("Log", [name("less")], [name("log")]),
            node("Div", [name("log"), constants.of(math.log(2))], [name("log_2")]), node("Ceil", [name("log_2")], [name("up")]),
            node("Max", [name("up"), constants.of(0)], [name("power")]), node("Pow", [constants.of(2), name("power")], [name("even_float")]),
            node("Cast", [name("even_float")], [name("even")], to=TensorProto.INT64), node("Sub", [name("even"), name("count")], [name("more")]),
            node("Slice", [name("true"), constants.of([0], np.int64), one], [name("first")]), node("Expand", [name("first"), name("more")], [name("again")]),
            node("Concat", [name("true"), name("again")], [name("at")], axis=0)]


def _in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Copies of the nodes, each behind those that it depends on, which not every tool keeps to."""
    known, ordered, waiting = {"", *(each.name for each in [*graph.input, *graph.initializer])}, [], list(graph.node)
    while waiting:
        ready = [each for each in waiting if known.issuperset(each.input)]
        waiting = [each for each in waiting if not known.issuperset(each.input)]
        known.update(name for each in ready for name in each.output)
        ordered += ready
    return [copy.deepcopy(each) for each in ordered]


def _dependent(nodes: list[onnx.NodeProto], source: str) -> list[onnx.NodeProto]:
    varies, found = {source}, []
    for each in nodes:
        if varies.intersection(each.input):
            varies.update(each.output)
            found.append(each)
    return found


def _between(nodes: list[onnx.NodeProto], source: str, output: str) -> list[onnx.NodeProto]:
    """Those that make `output` of `source`; what does not depend on it is there for all looks."""
    needed, found = {output}, []
    for each in reversed(_dependent(nodes, source)):
        if needed.intersection(each.output):
            needed.update(each.input)
            found.insert(0, each)
    return found


def _copied(nodes: list[onnx.NodeProto], given: dict[str, str], prefix: str) -> list[onnx.NodeProto]:
    """Copies, whose names begin with `prefix`, and which read what is `given` for what they read."""
    named = {name: f"{prefix}{name}" for each in nodes for name in each.output} | given
    copies = [copy.deepcopy(each) for each in nodes]
    for number, each in enumerate(copies):
        each.name = f"{prefix}{number}"
        each.input[:] = [named.get(name, name) for name in each.input]
        each.output[:] = [named[name] for name in each.output]
    return copies


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model folder that export.py made before there were closer looks")
    parser.add_argument("out", type=Path, help="model folder to make, such as ../models/ours-2; what was measured, and its card, stay what they were, of one look, and `measured` says so")
    args = parser.parse_args()
    name, _, version = args.out.name.rpartition("-")
    if not name or args.out.exists():
        raise SystemExit(f"{args.out}: expected the name and version of a folder that is not there yet, such as ours-2")
    about = json.loads((args.model / "model.json").read_text())
    if "looks" in about or "looksTwice" in about:
        raise SystemExit(f"{args.model}: looks closer already")
    partial = args.out.with_name(f".{args.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(args.model, partial)
    for file in about["files"]:
        look_closer(partial / file, about["input"]["side"], Calibration(**about["calibration"]).nobody, even=file == VARIANTS[1])
        about["files"][file] = {"sha256": sha256(partial / file)}
    about |= {"name": name, "version": version, "looks": described()}
    about["measured"] = {"of": f"{args.model.name}, which looks once"} | about["measured"]
    (partial / "model.json").write_text(json.dumps(about, indent=1) + "\n")
    partial.rename(args.out)


if __name__ == "__main__":
    main()
