"""How well a graph's map says where a human is. Example: python peak.py ../models/restaurant-6/model.int8.onnx ../photos

Of the photos with boxes of persons: on how many the peak lies inside of one, by the share of the frame that the largest
fills; of the map's highest cell and as peaks are read (measure.py). Then how far maps are displaced, in cells: half of the
distance from a photo's map to that of its mirror image, mirrored back; 0 where they are not, whatever the labels say.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from data import read_labels
from graph import open_graph, run
from measure import in_box, peak_of
from trained import read

SIZES = ((0.0, 0.02), (0.02, 0.05), (0.05, 0.15), (0.15, 1.01))


def highest_cells(maps: np.ndarray) -> np.ndarray:
    """The middles of the highest cells, [N, 2]."""
    height, width = maps.shape[1:]
    best = maps.reshape(len(maps), -1).argmax(1)
    return np.stack([(best % width + 0.5) / width, (best // width + 0.5) / height], 1)


def largest(label: dict) -> float:
    """The share of the frame that the largest person's box fills."""
    width, height = label["size"]
    return max((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in label["persons"]) / (width * height)


def displaced(maps: np.ndarray, mirrored: np.ndarray, axis: int) -> np.ndarray:
    """How many cells the maps [N, H, W] lie too far left (axis 2) or too high (axis 1), from the maps of mirrored photos."""
    count = maps.shape[axis]
    places = (np.arange(count) + 0.5).reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
    middle = [(each * places).sum((1, 2)) / each.sum((1, 2)) for each in (maps, mirrored)]
    return count / 2 - (middle[0] + middle[1]) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graph", type=Path, help="an ONNX graph of a model folder")
    parser.add_argument("photos", type=Path, help="labelled folder")
    args = parser.parse_args()
    labels = [label for label in read_labels(args.photos) if label.get("persons") and label["human_id"] == 1]
    if not labels:
        raise SystemExit(f"{args.photos}: expected photos with boxes of persons, got none")
    side = open_graph(args.graph).get_inputs()[0].shape[1]
    pixels = read(args.photos, labels, side)
    maps, beside, below = (run(args.graph, np.ascontiguousarray(each))[2].astype(np.float64)
                           for each in (pixels, pixels[:, :, ::-1], pixels[:, ::-1]))
    ways = {"highest cell": highest_cells(maps), "peak": peak_of(torch.from_numpy(maps)).numpy()}
    inside = {way: np.array([in_box(*pair) for pair in zip(peaks, labels)]) for way, peaks in ways.items()}
    shares = np.array([largest(label) for label in labels])
    print(f"{'largest person':16}{'photos':>8}" + "".join(f"{way:>14}" for way in ways))
    for low, high in (*SIZES, (0, 2)):
        at = (shares >= low) & (shares < high)
        name = "all" if high > 1.5 else f"{low:.0%} to {min(high, 1):.0%}"
        print(f"{name:16}{at.sum():8}" + "".join(f"{hits[at].mean() if at.any() else np.nan:14.3f}" for hits in inside.values()))
    left, high = np.median(displaced(maps, beside, 2)), np.median(displaced(maps, below, 1))
    print(f"maps lie {left:.2f} cells too far left and {high:.2f} too high, in the median")


if __name__ == "__main__":
    main()
