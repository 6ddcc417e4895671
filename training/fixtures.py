"""What the tests draw for themselves, and the one folder of work that they share. All of them: python -m unittest, in this folder."""

import atexit
import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageDraw

from detector import Detector
from menus import render
from net import MaitredNet

# threads that wait in a loop take the cores from those that work, here and in all that is begun here
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
torch.set_num_threads(1)
HERE = Path(__file__).parent
SIDE = 64


def draw_scene(rng: Random, kind: str) -> tuple[Image.Image, list | None]:
    """A dish on a table, or a room, perhaps with a person in it; and the person's box."""
    width, height = rng.choice([(120, 90), (90, 120), (100, 100)])
    photo = Image.new("RGB", (width, height), tuple(rng.randint(40, 220) for _ in range(3)))
    pen = ImageDraw.Draw(photo)
    if kind == "food":
        pen.ellipse((10, 10, width - 10, height - 10), fill=(245, 245, 240))
        for _ in range(12):
            x, y = rng.randint(25, width - 35), rng.randint(25, height - 35)
            pen.ellipse((x, y, x + 14, y + 14), fill=(rng.randint(120, 255), rng.randint(40, 160), 30))
        return photo, None
    pen.rectangle((0, height * 0.6, width, height), fill=(110, 80, 50))
    for x in range(5, width, 30):
        pen.rectangle((x, height * 0.5, x + 20, height * 0.55), fill=(60, 40, 30))
    if kind == "room":
        return photo, None
    x, y = rng.randint(10, width - 40), rng.randint(5, 20)
    pen.ellipse((x + 5, y, x + 20, y + 18), fill=(224, 172, 140))
    pen.rectangle((x, y + 18, x + 25, y + 60), fill=(40, 60, 160))
    return photo, [[x, y, x + 25, y + 60]]


def draw_photos(root: Path, sources: int = 9) -> None:
    """A labelled folder: of each source a dish, a room, a person in a room, a menu and a document."""
    root.mkdir()
    lines = []
    for source in range(sources):
        for kind, category, human in (("food", "food", False), ("room", "ambience", False), ("person", "ambience", True),
                                      ("menu", "menu", False), ("document", "other", False)):
            rng, boxes = Random(f"{source} {kind}"), None
            if kind in ("menu", "document"):
                photo = render(rng, kind, None)[0]
            else:
                photo, boxes = draw_scene(rng, kind)
            file = f"{source}-{kind}.jpg"
            photo.save(root / file, quality=90)
            lines.append({"file": file, "category": category, "human": human, "source": f"place{source}", "persons": boxes})
    write_labels(root, lines)


def write_labels(root: Path, lines: list) -> None:
    (root / "labels.jsonl").write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))


def draw_weights(file: Path, trunk: str = "lite0") -> None:
    """Random weights of a trunk, such that signals neither fade nor explode on their way."""
    torch.manual_seed(0)
    net = MaitredNet(4, trunk)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias, std=0.1)  # a graph keeps equal ones once
    torch.save({key: value for key, value in net.state_dict().items() if key.startswith("_")}, file)


def draw_detector(file: Path) -> None:
    """Random weights of the detector."""
    torch.manual_seed(0)
    np.concatenate([part.detach().half().numpy().ravel() for part in Detector().parameters()]).tofile(file)


def network(folder: Path) -> str:
    """A hash of the weights that a run ended with."""
    saved = torch.load(folder / "last.pt", weights_only=False)["average"]
    return hashlib.sha256(b"".join(saved[key].numpy().tobytes() for key in sorted(saved))).hexdigest()


def script(name: str, *arguments) -> list[str]:
    return [sys.executable, "-u", str(HERE / name), *map(str, arguments)]


def asked(module, *arguments) -> subprocess.CompletedProcess:
    """Runs a script here, without the seconds in which a process of its own would load PyTorch."""
    code, threads = 0, torch.get_num_threads()
    with mock.patch.object(sys, "argv", [module.__file__, *map(str, arguments)]), contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            module.main()
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else 1
            print(ending.code, file=sys.stderr)
        finally:
            torch.set_num_threads(threads)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def done(module, *arguments) -> str:
    """What a script that is `asked` prints, which has to do it."""
    answer = asked(module, *arguments)
    if answer.returncode:
        raise AssertionError(answer.stdout + answer.stderr)
    return answer.stdout


def stopped(command: list[str], line: str) -> int:
    """The exit code of a make.py that is told to stop once it says so."""
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for said in run.stdout:
        if said.startswith(line):
            run.send_signal(signal.SIGTERM)
    run.stdout.close()
    return run.wait()


class Made(unittest.TestCase):
    """With a folder of work that make.py was stopped in and went on in to the end: the same one for the tests of all files."""

    @classmethod
    def setUpClass(cls):
        for name, value in _made().items():
            setattr(cls, name, value)

    def train(self, out: str, *more) -> list:
        """Arguments of train.py."""
        return [*self.caches, "--out", self.root / out, "--weights", self.weights, "--draws", 72, "--recall", self.work / "recall-lite0", *more]


@functools.cache
def _made() -> dict:
    root = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, root)
    photos, weights, work, out, detector = (root / name for name in ("photos", "trunk.pth", "work", "tiny-1", "detector.bin"))
    caches = [work / f"features-{name}" for name in ("photos", "rendered", "mosaics", "turned-photos", "turned-rendered")]
    draw_photos(photos)
    draw_weights(weights)
    draw_detector(detector)
    options = [photos, out, "--work", work, "--weights", weights, "--detector", detector, "--side", SIDE, "--draws", 90,
               "--rendered", 6, "--mosaics", 24, "--turned", 60, "--samples", 72, "--jobs", 2]
    begun = stopped(script("make.py", *options), "features-photos: begins"), (work / "runs").exists()
    made = subprocess.run(script("make.py", *options), capture_output=True, text=True)
    if made.returncode:
        raise AssertionError(made.stdout + made.stderr)
    return {"root": root, "photos": photos, "weights": weights, "work": work, "out": out, "detector": detector, "caches": caches, "options": options, "stopped": begun, "made": made}
