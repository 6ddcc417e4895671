"""Checkpoint → model folder. Example: python export.py runs/a ../models/restaurant-1

Calibrates both heads on the held-out sources, bakes normalisation and calibration into one ONNX graph, checks it
against PyTorch, and writes model.json and card.md with what was measured. The figures come from photos of sources
that the network was not trained on; two numbers of calibration per head were fitted on them.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from data import CATEGORIES, Photos, assign_folds, read_labels
from measure import measure, predict
from net import MaitredNet


class Shipped(nn.Module):
    """uint8 [N, S, S, 3] → category probabilities [N, K], human probability [N], human_map [N, S/16, S/16]."""

    def __init__(self, net, temperature, slope, offset):
        super().__init__()
        self.net, self.temperature, self.slope, self.offset = net, temperature, slope, offset

    def forward(self, photos):
        category, human, human_map = self.net(photos.permute(0, 3, 1, 2).float())
        return (F.softmax(category / self.temperature, 1), torch.sigmoid(human * self.slope + self.offset),
                torch.sigmoid(human_map))


def calibrate(scores, labels):
    """Temperature of the category logits; slope and offset of the human logit. By least log-loss."""
    category = torch.tensor([label["category_id"] for label in labels])
    human = torch.tensor([label["human_id"] for label in labels])
    raw = torch.zeros(3, requires_grad=True)  # log temperature, log slope, offset
    optimizer = torch.optim.LBFGS([raw], max_iter=200)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(scores["category"][category >= 0] / raw[0].exp(), category[category >= 0])
        logit = scores["human"][human >= 0] * raw[1].exp() + raw[2]
        loss = loss + F.binary_cross_entropy_with_logits(logit, human[human >= 0].float())
        loss.backward()
        return loss

    optimizer.step(closure)
    return raw[0].exp().item(), raw[1].exp().item(), raw[2].item()


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over equally filled bins."""
    order = np.argsort(confidence)
    parts = np.array_split(order, bins)
    return float(sum(abs(confidence[p].mean() - right[p].mean()) * len(p) for p in parts if len(p)) / len(order))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that train.py wrote")
    parser.add_argument("out", type=Path, help="model folder, such as ../models/restaurant-1")
    parser.add_argument("--side", type=int, default=256)
    args = parser.parse_args()

    saved = torch.load(args.run / "last.pt", map_location="cpu", weights_only=False)
    how = saved["args"]
    net = MaitredNet(len(CATEGORIES), how["trunk"])
    average = torch.optim.swa_utils.AveragedModel(net, use_buffers=True)
    average.load_state_dict(saved["average"])
    net = average.module.eval()
    labels = read_labels(how["data"])
    folds = assign_folds(labels, how["folds"])
    held = [label for label, fold in zip(labels, folds) if fold == how["fold"]]
    trained = len(labels) - len(held)
    photos = Photos(how["data"], held, args.side, augment=False)
    scores = predict(net, photos)
    temperature, slope, offset = calibrate(scores, held)
    shipped = Shipped(net, temperature, slope, offset).eval()

    args.out.mkdir(parents=True, exist_ok=True)
    graph = args.out / "model.onnx"
    example = torch.randint(0, 256, (2, args.side, args.side, 3), dtype=torch.uint8)
    torch.onnx.export(shipped, (example,), str(graph), input_names=["photos"], dynamo=True, external_data=False,
                      output_names=["category", "human", "human_map"], dynamic_shapes=({0: torch.export.Dim("n")},),
                      optimize=True)
    onnx.checker.check_model(str(graph))
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    batch = torch.stack([photos[i][0] for i in range(0, min(len(photos), 320), 10)]).permute(0, 2, 3, 1).contiguous()
    with torch.inference_mode():
        expected = [value.numpy() for value in shipped(batch)]
    worst = max(np.abs(a - b).max() for a, b in zip(expected, session.run(None, {"photos": batch.numpy()})))
    if worst > 1e-3:
        raise SystemExit(f"the graph differs from PyTorch by {worst}")

    report = measure(scores, held)
    probability = torch.sigmoid(scores["human"] * slope + offset).numpy()
    softmax = F.softmax(scores["category"] / temperature, 1).numpy()
    category = np.array([label["category_id"] for label in held])
    human = np.array([label["human_id"] for label in held])
    known = category >= 0
    report["categoryCalibrationError"] = round(calibration_error(softmax[known].max(1), (softmax[known].argmax(1) == category[known])), 4)
    report["humanCalibrationError"] = round(calibration_error(probability[human >= 0], human[human >= 0]), 4)
    free = (human == 0) & ((category == 0) | (category == 1))
    small = np.array([bool(label.get("small")) for label in held])
    report["policy"] = []
    for threshold in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        report["policy"].append({
            "human": threshold,
            "humansBelow": round(float((probability[human == 1] < threshold).mean()), 4),
            "smallHumansBelow": round(float((probability[(human == 1) & small] < threshold).mean()), 4),
            "humanFreeFoodAndAmbienceAtOrAbove": round(float((probability[free] >= threshold).mean()), 4)})
    name, version = args.out.name.rsplit("-", 1)
    sources = len({label["source"] for label in held})
    description = {
        "name": name, "version": version, "created": "", "files": {"model.onnx": {"sha256": hashlib.sha256(graph.read_bytes()).hexdigest()}},
        "input": {"side": args.side, "fit": "squash", "layout": "uint8 NHWC RGB"},
        "categories": CATEGORIES,
        "calibration": {"categoryTemperature": round(temperature, 4), "humanSlope": round(slope, 4), "humanOffset": round(offset, 4)},
        "trainedFrom": {"trunk": f"efficientnet-{how['trunk']}, ImageNet weights (Apache-2.0)", "photos": trained,
                        "draws": how["draws"], "seed": how["seed"], "heldOutFold": how["fold"],
                        "labelsSha256": hashlib.sha256((Path(how["data"]) / "labels.jsonl").read_bytes()).hexdigest(),
                        "code": "training/train.py"},
        "measured": {"heldOutSources": sources, **report},
    }
    description.pop("created")
    (args.out / "model.json").write_text(json.dumps(description, indent=1) + "\n")
    (args.out / "card.md").write_text(card(description))
    print(json.dumps(description["measured"], indent=1))
    print(f"{graph}: {graph.stat().st_size / 1e6:.1f} MB, differs from PyTorch by at most {worst:.1e}")


def card(model) -> str:
    measured = model["measured"]
    rows = "\n".join(f"| {name} | {c['photos']} | {c['precision']:.3f} | {c['recall']:.3f} | {c['f1']:.3f} |"
                     for name, c in measured["perCategory"].items())
    policy = "\n".join(f"| {p['human']} | {p['humansBelow']:.1%} | {p['humanFreeFoodAndAmbienceAtOrAbove']:.1%} |" for p in measured["policy"])
    return f"""# {model['name']}-{model['version']}

Sorts photos of restaurants into food, ambience, menu and other, and tells whether any human is visible. One network
({model['trainedFrom']['trunk']}), {model['input']['side']} x {model['input']['side']} pixels, two heads: a photo has a category and may show a human as well.

## What it was trained on

{model['trainedFrom']['photos']} labelled photos that were gathered for internal use from public collections and websites; their licences are mostly
unstated, so **retrain on photos of your own before you rely on this model commercially** (training/README.md). Menus,
and ambience photos with people in them, are few. Labels were checked by eye; a few in a hundred are arguable.

## What was measured

On {measured['photos']} photos of {measured['heldOutSources']} sources that it was not trained on (of {measured['categoryPhotos']} the category is known, {measured['humanPhotos']} show a human,
{measured['humanFreePhotos']} do not). Two numbers of calibration per head were fitted on the same photos.

| category | photos | precision | recall | F1 |
| --- | --- | --- | --- | --- |
{rows}

Category accuracy {measured['categoryAccuracy']:.3f}, macro-F1 {measured['macroF1']:.3f}, expected calibration error {measured['categoryCalibrationError']:.3f}.
Human: average precision {measured['humanAveragePrecision']:.4f}, expected calibration error {measured['humanCalibrationError']:.3f}.

| human threshold | photos with a human below it | human-free food and ambience at or above it |
| --- | --- | --- |
{policy}

## What it cannot do

- See people that fill less than about 1 % of the frame, or only a hand: hands and forearms are neither taught nor counted.
- Tell a statue, a mannequin, a poster or a doll from a human reliably.
- Judge what the photo is worth, whether it is this restaurant, or whether it is decent.
- Read menus; it only knows what they look like. Menus on screens, and in scripts that it saw little of, are weak.
- Tell who anybody is. It was not made to, and must not be used to.
"""


if __name__ == "__main__":
    main()
