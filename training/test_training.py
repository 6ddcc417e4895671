"""python -m unittest test_training, in this folder. Trains a tiny network on photos that it draws itself: two minutes on two cores."""

import argparse
import contextlib
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from random import Random

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image, ImageDraw

import curves
import data
import features
from beside import VARIANTS, add_detector, export_detector
from calibrate import Calibration, calibrate
from card import card
from check import check, printed
from data import CATEGORIES, assign_folds, group_of, open_photo, read_labels
from detector import Detector
from export import compare_int8, drawn_for_int8, measured_runs, shipping, weigh_int8
from features import Features, labels_of
from graph import Shipped, export_fp16, export_fp32, export_int8, run
from make import describe, place
from measure import average_precision, measure, peak_of
from menus import _backgrounds, render
from net import MaitredNet, Recall, SameConv, in_place
from peak import displaced
from plan import fingerprint
from steps import Step, Work
from samples import Samples
from train import begun_with, distance_to, load_run

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


def write_variants(shipped: Shipped, pixels: np.ndarray, folder: Path) -> None:
    """The graphs of a network alone."""
    fp32, fp16, int8 = (folder / name for name in VARIANTS)
    export_fp32(shipped, SIDE, fp32)
    export_fp16(fp32, fp16)
    export_int8(fp32, pixels, int8)


def network(folder: Path) -> str:
    """A hash of the weights that a run ended with."""
    saved = torch.load(folder / "last.pt", weights_only=False)["average"]
    return hashlib.sha256(b"".join(saved[key].numpy().tobytes() for key in sorted(saved))).hexdigest()


def script(name: str, *arguments) -> list[str]:
    return [sys.executable, "-u", str(HERE / name), *map(str, arguments)]


class Make(unittest.TestCase):
    """One folder of work for all tests: made once, interrupted once on the way."""

    @classmethod
    def setUpClass(cls):
        cls.root = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.root)
        cls.photos, cls.weights, cls.work, cls.out = (cls.root / name for name in ("photos", "trunk.pth", "work", "tiny-1"))
        cls.caches = [cls.work / f"features-{name}" for name in ("photos", "rendered", "mosaics", "turned-photos", "turned-rendered")]
        draw_photos(cls.photos)
        draw_weights(cls.weights)
        cls.detector = cls.root / "detector.bin"
        draw_detector(cls.detector)
        cls.command = script("make.py", cls.photos, cls.out, "--work", cls.work, "--weights", cls.weights, "--detector", cls.detector, "--side", SIDE, "--draws", 90,
                             "--rendered", 6, "--mosaics", 24, "--turned", 60, "--samples", 72, "--jobs", 2)
        stopped = subprocess.Popen(cls.command, stdout=subprocess.PIPE, text=True)
        for line in stopped.stdout:
            if line.startswith("features-photos: begins"):
                stopped.send_signal(signal.SIGTERM)
        cls.stopped = stopped.wait(), (cls.work / "runs").exists()
        stopped.stdout.close()
        cls.made = subprocess.run(cls.command, capture_output=True, text=True)
        if cls.made.returncode:
            raise AssertionError(cls.made.stdout + cls.made.stderr)

    def train(self, out: str, *more) -> list[str]:
        return script("train.py", *self.caches, "--out", self.root / out, "--weights", self.weights, "--draws", 72, "--recall", self.work / "recall-lite0", *more)

    def test_stops_when_told_and_goes_on_from_there(self):
        self.assertEqual(self.stopped, (130, False))
        self.assertIn("check: done before", self.made.stdout)
        self.assertIn("render: done before", self.made.stdout)
        self.assertIn("features-photos: goes on", self.made.stdout)

    def test_makes_a_model_folder_whose_graph_gives_probabilities(self):
        model = json.loads((self.out / "model.json").read_text(), parse_constant=self.fail)
        self.assertEqual((model["name"], model["version"], model["measured"]["photos"]), ("tiny", "1", 45))
        self.assertEqual(model["trainedFrom"]["recall"], 2)
        self.assertEqual(len(model["trainedFrom"]["sourceHashes"]), model["trainedFrom"]["sources"])
        for name, file in model["files"].items():
            self.assertEqual(file["sha256"], hashlib.sha256((self.out / name).read_bytes()).hexdigest())
        graph = onnxruntime.InferenceSession(str(self.out / "model.onnx"))
        pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
        category, human, human_map = graph.run(None, {"photos": pixels})
        np.testing.assert_allclose(category.sum(1), 1, atol=1e-5)
        self.assertEqual((human.shape, human_map.shape), ((3,), (3, SIDE // 16, SIDE // 16)))

    def test_adds_what_the_detector_sees_to_what_the_network_says_of_humans(self):
        model = json.loads((self.out / "model.json").read_text())
        calibration = Calibration(**model["calibration"])
        net, detector = load_run(self.work / "runs" / "final")[0].eval(), Detector().load(self.detector)
        pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
        with torch.inference_mode():
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            category, human, human_map, _ = net.rest(net.stem(x))
            scores = {"category": category, "human": human, "map": torch.logit(in_place(torch.sigmoid(human_map)), 1e-4), "seen": detector(x)}
            said = calibration.apply(scores)
        for name, close in (("model.onnx", 2e-2), ("model.fp16.onnx", 3e-2)):  # at the frame's edge the graph's detector sees another grey
            for ours, theirs in zip(said, run(self.out / name, pixels)):
                np.testing.assert_allclose(theirs, ours, atol=close)

    def test_adds_it_up_in_each_graph_as_it_was_told_to(self):
        calibration, before, seers = Calibration(1.0, [0.0] * 4, 1.0, 0.0, 0.0), self.root / "before", self.root / "seers"
        net, detector = load_run(self.work / "runs" / "final")[0].eval(), Detector().load(self.detector)
        pixels = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
        before.mkdir()
        alone = Shipped(net, SIDE, calibration).eval()
        write_variants(alone, pixels, before)
        export_detector(detector, SIDE, pixels, seers)
        with torch.inference_mode():
            _, human, human_map = (np.log(part.numpy() / (1 - part.numpy())) for part in alone(torch.from_numpy(pixels)))
            persons = detector(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()).numpy()
        share = 6 / float(persons.max() - persons.min())  # what random weights see is made to matter
        offset = -share * float(persons.mean())

        def both(logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-(logits + share * seen + offset)))

        for name, part in (("model.onnx", 0.1), ("model.int8.onnx", 0.2)):  # the frame's edge is another grey, and much of so small a frame
            add_detector(before / name, seers / name, self.root / name, share, (0.5, offset), (0.25, offset))
            _, ours, cells = run(self.root / name, pixels)
            for found, logits, seen in ((ours, human / 2, persons.max((1, 2))), (cells, human_map / 4, persons)):
                unseen = both(logits, np.full_like(seen, persons.mean()))
                self.assertLess(np.abs(found - both(logits, seen)).mean(), part * np.abs(unseen - both(logits, seen)).mean())

    def test_gives_a_model_that_was_made_without_the_detector_the_same_categories_and_another_opinion_of_humans(self):
        about = json.loads((self.out / "model.json").read_text())
        old, new = self.root / "old-1", self.root / "old-2"
        old.mkdir()
        pixels = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), np.uint8)
        net = load_run(self.work / "runs" / "final")[0].eval()
        write_variants(Shipped(net, SIDE, Calibration(**about["calibration"])).eval(), pixels, old)

        def adopt(**changed) -> subprocess.CompletedProcess:
            trained = {key: value for key, value in about["trainedFrom"].items() if key != "detector"} | changed
            (old / "model.json").write_text(json.dumps(about | {"trainedFrom": trained, "measured": about["measured"] | {"categoryAccuracy": [0.5, 0.4, 0.6]}}))
            runs = [self.work / "runs" / f"fold{number}" for number in range(3)]
            return subprocess.run(script("adopt.py", old, new, "--detector", self.detector, "--folds", *runs, "--sample", 16), capture_output=True, text=True)

        self.assertIn("has a detector already", adopt(detector="NanoDet").stderr)
        self.assertIn("with other labels than", adopt(labelsSha256="0").stderr)
        done = adopt()
        self.assertEqual(done.returncode, 0, done.stderr)
        made = json.loads((new / "model.json").read_text())
        for name, file in made["files"].items():
            self.assertEqual(file["sha256"], hashlib.sha256((new / name).read_bytes()).hexdigest())
            np.testing.assert_allclose(run(new / name, pixels)[0], run(old / name, pixels)[0], atol=2e-3)
        self.assertEqual(made["measured"]["categoryAccuracy"], [0.5, 0.4, 0.6])
        self.assertNotEqual(made["measured"]["humanAveragePrecision"], [0.5, 0.4, 0.6])
        self.assertIn("Figures of humans are those of other networks (efficientnet-lite0, 72 draws)", (new / "card.md").read_text())

    def test_keeps_to_7_bits_where_8_could_overflow_and_takes_8_where_they_cannot(self):
        graph = onnx.load(str(self.work / "runs" / "final" / "int8" / "fold0" / "model.int8.onnx")).graph
        weights = {each.name: np.abs(onnx.numpy_helper.to_array(each).astype(int)).max() for each in graph.initializer if each.data_type == onnx.TensorProto.INT8 and each.dims}
        largest = {True: set(), False: set()}
        for node in graph.node:
            if node.op_type == "QLinearConv":
                largest[any(each.name == "group" and each.i > 1 for each in node.attribute)].add(int(weights[node.input[3]]))
        self.assertEqual(max(largest[True]), 127)
        self.assertEqual(max(largest[False]), 64)

    def test_tells_on_how_many_photos_the_map_points_at_somebody(self):
        told = subprocess.run(script("peak.py", self.out / "model.onnx", self.photos), capture_output=True, text=True, check=True).stdout
        self.assertRegex(told, r"5% to 15% +5 +[01]\.\d+ +[01]\.\d+\n15% to 100% +4 ")
        self.assertRegex(told, r"all +9 +[01]\.\d+ +[01]\.\d+\nmaps lie -?\d\.\d+ cells too far left")

    def test_tells_the_licences_of_the_photos_it_was_made_of_and_of_no_others(self):
        told = (self.out / "card.md").read_text()
        self.assertIn("labels.jsonl says nothing", told)
        self.assertNotIn("internal use", told)
        self.assertNotRegex(told, "receipt|by eye")
        model = json.loads((self.out / "model.json").read_text())
        self.assertEqual(model["trainedFrom"]["licences"], {"": 45})
        self.assertIn("CC0 (40), MIT (3); none for 2.", card(model | {"trainedFrom": model["trainedFrom"] | {"licences": {"CC0": 40, "MIT": 3, "": 2}}}))

    def test_tells_how_much_the_network_and_the_detector_count(self):
        model = json.loads((self.out / "model.json").read_text())
        found, sources = model["calibration"], model["trainedFrom"]["sources"]
        self.assertIn(f"{found['slope']:g} x the network's logit + {found['seen']:g} x the most that the detector says anywhere {found['offset']:+g}", (self.out / "card.md").read_text())
        self.assertEqual((sources, model["measured"]["sources"]), (9, 9))
        for by, warned in (("network", "only the detector tells them"), ("detector", "only the network tells humans")):
            for spread in (0.01, 1):
                told = card(model | {"measured": model["measured"] | {"humanSpread": {"network": 1, "detector": 1} | {by: spread}}})
                self.assertEqual(warned in told, spread < 0.1)

    def test_ships_no_int8_of_which_no_photo_tells_what_it_loses_of_humans(self):
        runs, out = [self.work / "runs" / f"fold{number}" for number in range(3)], self.root / "few"
        folds, model = measured_runs(runs), json.loads((self.out / "model.json").read_text())
        labels = labels_of(folds[0].sources[0])
        for fold in folds:
            for photo in drawn_for_int8(fold.photos, labels, 3):
                labels[photo]["human_id"] = 0
        sample = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), np.uint8)
        losses = compare_int8(folds, labels, sample, self.work / "runs" / "final" / "detector", out, 3, 0.1)
        self.assertEqual((losses["photos"], losses["humanAveragePrecisionLost"], losses["moreHumansShown"]), (9, None, None))
        for name in VARIANTS:
            shutil.copy(self.out / VARIANTS[0], out / name)
        with contextlib.redirect_stdout(io.StringIO()) as told:
            int8 = weigh_int8(losses, out, sample)
            self.assertNotIn("cpu", shipping(int8, out)["variants"])
        self.assertIn("what it loses was not measured", told.getvalue())
        self.assertIn("human average precision not measured", card(model | {"measured": model["measured"] | {"int8": int8}}))

    def test_tells_what_it_began_with(self):
        model = json.loads((self.out / "model.json").read_text())
        trained = model["trainedFrom"]
        self.assertRegex(trained["trunk"], r"^efficientnet-lite0, weights of trunk.pth \(sha256 [0-9a-f]{12}\)$")
        self.assertNotIn("COCO", trained["detector"])
        self.assertIn("is not known here", (self.out / "card.md").read_text())
        begun = {"weights": "weights of restaurant-4", "trainedFrom": {"photos": 10199, "sources": 253, "trunk": "efficientnet-lite0, ImageNet weights (Apache-2.0)"}}
        told = card(model | {"trainedFrom": trained | {"begunWith": begun}})
        self.assertIn("It went on from weights of restaurant-4. These were trained on 10,199 photos of 253 sources", told)
        self.assertIn("the figures below mean nothing", told)
        self.assertNotIn("went on", card(model | {"trainedFrom": trained | {"begunWith": {"weights": "ImageNet weights (Apache-2.0)"}}}))

    def test_ends_where_labels_change_meanwhile_and_does_anew_what_depends_on_them(self):
        photos, work = shutil.copytree(self.photos, self.root / "nightly"), self.root / "nightly-work"
        command = script("make.py", photos, self.root / "nightly-1", "--work", work, "--weights", self.weights, "--detector", self.detector, "--side", SIDE, "--draws", 45, "--rendered", 0)
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = (photos / "labels.jsonl").read_text().splitlines(keepends=True)
        for line in run.stdout:
            if line.startswith("features-photos: begins"):
                (photos / "labels.jsonl").write_text("".join(reversed(lines)))
        self.assertIn("have changed since this began: run the same command again", run.stderr.read())
        self.assertEqual(run.wait(), 1)
        run.stdout.close(), run.stderr.close()
        planned = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True).stdout
        self.assertRegex(planned, r"check .*: anew\n")
        self.assertRegex(planned, r"features-photos .*: anew\n")

    def test_reads_no_features_of_which_the_labels_have_changed(self):
        cache, photos = shutil.copytree(self.caches[0], self.root / "stale"), shutil.copytree(self.photos, self.root / "relabelled")
        lines = (self.photos / "labels.jsonl").read_text().splitlines(keepends=True)
        about = json.loads((cache / "about.json").read_text()) | {"data": str(photos)}
        (cache / "about.json").write_text(json.dumps(about))
        self.assertEqual(len(Features(cache, "draws").labels), 45)
        self.assertEqual([label["file"] for label in labels_of(about | {"same": [[0, 2], [1, 3]]})[:2]], ["0-document.jpg", "1-food.jpg"])
        (photos / "labels.jsonl").write_text("".join(reversed(lines)))
        with self.assertRaisesRegex(SystemExit, "has changed since features were made"):
            Features(cache, "draws")

    def test_holds_a_picture_of_two_sources_out_with_one_of_them_alone(self):
        photos = shutil.copytree(self.photos, self.root / "twins")
        shutil.copy(photos / "0-food.jpg", photos / "1-food.jpg")
        subprocess.run(script("features.py", photos, "--out", self.root / "twice", "--pixels", "--detector", self.detector, "--side", SIDE, "--draws", 88, "--jobs", 1), check=True, capture_output=True)
        parts = [Samples([self.root / "twice"], 3, fold) for fold in range(3)]
        files = [part.parts[0].labels[photo]["file"] for part in parts for photo in part.held[0]]
        self.assertEqual((len(files), "0-food.jpg" in files, "1-food.jpg" in files), (44, True, False))

    def test_forgets_a_correction_that_is_taken_back(self):
        before = Features(self.caches[0], "draws")
        self.addCleanup(setattr, data, "CORRECTIONS", data.CORRECTIONS)
        data.CORRECTIONS = self.root / "corrections.jsonl"
        data.CORRECTIONS.write_text(json.dumps({"file": "0-room.jpg", "source": "place0", "category": "menu", "human": True}) + "\n")
        cache = shutil.copytree(self.caches[0], self.root / "corrected")
        for made in cache.glob("draws*.npz"):
            made.unlink()
        self.addCleanup(torch.set_num_threads, torch.get_num_threads())
        features._work(0, 1, cache, "draws", str(self.weights), "cpu")
        room = before.photos[:, 0] == 1
        corrected = Features(cache, "draws")
        self.assertEqual({(int(category), int(human)) for category, human in zip(corrected.targets["category"][room], corrected.targets["human"][room])}, {(2, 1)})
        data.CORRECTIONS.write_text("")
        for key, values in Features(cache, "draws").targets.items():
            np.testing.assert_array_equal(values, before.targets[key])

    def test_refuses_weights_of_another_network_before_anything_is_done(self):
        other = self.root / "text.pth"
        other.write_text("weights")
        for option, file, trunk in (("--weights", self.weights, "lite1"), ("--weights", self.weights, "lite2"), ("--weights", other, "lite0"),
                                    ("--teacher-weights", self.weights, "lite2")):
            asked = ["--teacher", trunk] if option == "--teacher-weights" else ["--trunk", trunk]
            refused = subprocess.run(script("make.py", self.photos, self.root / "none-1", "--pixels", "--dry-run", option, file, *asked, "--work", self.root / "none"),
                                     capture_output=True, text=True)
            self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)
            self.assertRegex(refused.stderr, rf"{option} .*{file.name}: expected the ImageNet weights of efficientnet-{trunk}")
        refused = subprocess.run(script("make.py", self.photos, self.root / "none-1", "--dry-run", "--detector", self.weights, "--work", self.root / "none"),
                                 capture_output=True, text=True)
        self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)
        self.assertIn(f"--detector {self.weights}: expected the detector's weights, 7476934 bytes", refused.stderr)
        self.assertFalse((self.root / "none").exists())

    def test_does_anew_what_was_made_of_a_photo_that_other_bytes_took_the_place_of(self):
        photos = shutil.copytree(self.photos, self.root / "replaced")
        before, file = fingerprint(photos), photos / "0-food.jpg"
        self.assertEqual(before, fingerprint(photos))
        bytes_before, then = file.read_bytes(), file.stat().st_mtime_ns
        file.write_bytes(bytes_before[::-1])
        os.utime(file, ns=(then, then + 1_000_000))
        self.assertNotEqual(before, fingerprint(photos))

    def test_names_the_disk_that_has_no_room_for_features_before_they_are_made(self):
        made = self.root / "room"
        features.reserve(made, 1 << 20)
        self.assertGreaterEqual(made.stat().st_blocks * 512, 1 << 20)
        arguments = "--weights", self.weights, "--detector", self.detector, "--side", SIDE, "--draws", 4000, "--jobs", 1
        failed = subprocess.run(script("features.py", self.photos, "--out", self.root / "full", *arguments), capture_output=True, text=True,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20)))
        self.assertRegex(failed.stderr, r"^\S*/full/draws.raw: expected room for 0.02 GB there: ")
        self.assertEqual((failed.returncode, (self.root / "full" / "draws.raw").exists()), (1, False))

    def test_says_what_to_do_where_memory_is_too_small(self):
        # address space for PyTorch and a batch or two, of 300,000 samples at once
        failed = subprocess.run(self.train("vast", "--fold", 0, "--batch", 300_000), capture_output=True, text=True,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)))
        self.assertEqual(failed.returncode, 1)
        self.assertIn("too little memory for --batch 300000: try --batch 150000", failed.stderr)
        self.assertNotIn("Traceback", failed.stderr)

    def test_tells_no_minutes_of_what_a_gpu_does(self):
        args = argparse.Namespace(photos=self.photos, jobs=2, malloc=None, draws=1, rendered=0, mosaics=0, turned=0, side=SIDE, folds=2, pixels=True, trunk="lite0", teacher=None)
        stages = [[Step("draw", [], self.root / "drawn", {}, 3)], [Step("train", [], self.root / "trained", {}, 60, on_gpu=True)]]
        told = {}
        for gpu in (None, "H200"):
            with contextlib.redirect_stdout(io.StringIO()) as told[gpu]:
                describe(args, Work(self.root / "described"), stages, gpu)
        self.assertRegex(told[None].getvalue(), r"train +60.0 *\n  about 63 min in all\n")
        self.assertRegex(told["H200"].getvalue(), r"train +\? *\n  about 3 min in all, and what H200 takes for the others")
        self.assertNotIn("tcmalloc", told["H200"].getvalue())

    def test_has_the_model_verified_where_node_is(self):
        if not shutil.which("node") or not (HERE.parent / "node_modules").is_dir():
            self.assertIn("not verified by maitred", self.made.stdout)
        else:
            self.assertRegex(self.made.stdout, r"ok +tiny-1 +fp32")

    def test_draws_every_run_on_a_page_that_asks_for_nothing(self):
        page = (self.work / "curves.html").read_text()
        for name in ("fold0", "fold1", "fold2", "final"):
            self.assertIn(f"</span>{name}</th>", page)
        self.assertEqual(page.count("<td>done</td>"), 4)
        self.assertNotRegex(page, r"https?:|src=|@import|url\(|http-equiv")

    def test_does_nothing_the_second_time(self):
        def files():
            return {path: path.stat().st_mtime_ns for path in (*self.work.glob("runs/*/last.pt"), self.out / "model.onnx")}
        before = files()
        again = subprocess.run(self.command, capture_output=True, text=True, check=True)
        self.assertEqual(files(), before)
        self.assertEqual(len(before), 5)
        self.assertNotIn("begins", again.stdout)
        self.assertIn("final: done before", again.stdout)

    def test_does_anew_what_depends_on_a_changed_setting_and_no_more(self):
        def plan(*more):
            lines = subprocess.run([*self.command, *more, "--dry-run"], capture_output=True, text=True, check=True).stdout.splitlines()
            return {line.split()[0] for line in lines if line.endswith("settings changed: anew")}
        training = {"fold0", "fold1", "fold2", "final", "export"} | ({"verify"} if (self.work / "verified").exists() else set())
        self.assertEqual(plan(), set())
        self.assertEqual(plan("--samples", "96"), training)
        self.assertEqual(plan("--recall", "1"), training)
        self.assertEqual(plan("--mosaics", "12"), training | {"features-mosaics", "recall-lite0"})
        self.assertEqual(plan("--rendered", "4"), training | {"render", "features-rendered", "features-turned-rendered", "recall-lite0"})

    def test_leaves_the_model_in_place_that_it_made_where_it_would_be_another_now(self):
        refused = subprocess.run([*self.command, "--samples", "96"], capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("would be another model now", refused.stderr)
        self.assertNotIn("begins", refused.stdout)

    def test_puts_a_model_in_place_of_another_as_a_whole(self):
        made, out = self.root / "made", self.root / "placed" / "tiny-2"
        made.mkdir()
        for version in ("first", "second"):
            (made / "model.json").write_text(version)
            place(made, out, Work(self.root / "placing"))
            self.assertEqual([(each.name, (each / "model.json").read_text()) for each in out.parent.iterdir()], [("tiny-2", version)])

    def test_leaves_a_model_alone_that_it_did_not_make(self):
        other = self.root / "other-1"
        other.mkdir()
        refused = subprocess.run(["other-1" if word == str(self.out) else word for word in self.command], cwd=self.root, capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("name another version", refused.stderr)

    def test_gives_the_same_network_for_the_same_seed(self):
        subprocess.run(self.train("again", "--fold", 0), check=True, capture_output=True)
        subprocess.run(self.train("else", "--fold", 0, "--seed", 2), check=True, capture_output=True)
        self.assertEqual(network(self.root / "again"), network(self.work / "runs" / "fold0"))
        self.assertNotEqual(network(self.root / "else"), network(self.root / "again"))

    def test_gives_the_same_features_for_the_same_seed_however_many_processes(self):
        arguments = "--weights", self.weights, "--detector", self.detector, "--side", SIDE, "--draws", 90, "--jobs", 1
        subprocess.run(script("features.py", self.photos, "--out", self.root / "features", *arguments), check=True, capture_output=True)
        for name in ("draws.raw", "plain.raw"):
            self.assertEqual((self.root / "features" / name).read_bytes(), (self.work / "features-photos" / name).read_bytes())

    def test_resumes_a_killed_training_to_the_same_network(self):
        more = "--fold", 0, "--batch", 2, "--every", 2
        run = subprocess.Popen(self.train("killed", *more), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (self.root / "killed" / "last.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        run.kill()
        self.assertEqual(run.wait(), -signal.SIGKILL)
        self.assertLess(torch.load(self.root / "killed" / "last.pt", weights_only=False)["step"], 36)
        subprocess.run(self.train("killed", *more), check=True, capture_output=True)
        subprocess.run(self.train("whole", *more), check=True, capture_output=True)
        self.assertEqual(network(self.root / "killed"), network(self.root / "whole"))

    def test_forgets_less_of_what_imagenet_taught_the_more_that_counts(self):
        imagenet = self.work / "recall-lite0"
        samples = Samples(self.caches, 3, 0, recall=imagenet)
        *_, pooled = samples.batch(samples.index[:24])
        forgot = {}
        for weight in (0, 20):
            out = self.root / f"recall{weight}"
            subprocess.run(self.train(out.name, "--fold", 0, "--recall-weight", weight, "--lr", 2e-3), check=True, capture_output=True)
            saved = torch.load(out / "last.pt", weights_only=False)
            net = MaitredNet(4)
            net.load_state_dict(saved["net"])
            recall = Recall(net)
            recall.load_state_dict(saved["recall"])
            with torch.inference_mode():
                last = net.eval().blocks(samples.batch(samples.index[:24])[0].float())[1]
                forgot[weight] = float(((recall(last) - pooled).square() / samples.spread()).mean())
        self.assertLess(forgot[20], forgot[0] / 2)
        for told, complaint in ((("--told", imagenet), "which is for --recall"), (("--recall", self.work / "runs" / "fold0"), "nothing was told there to its end")):
            refused = subprocess.run(self.train("untold", "--fold", 0, *told), capture_output=True, text=True)
            self.assertIn(complaint, refused.stderr)

    def test_knows_what_imagenet_makes_of_every_sample(self):
        samples = Samples(self.caches, 3, 0, recall=self.work / "recall-lite0")
        net = MaitredNet(4)
        net.load_imagenet(str(self.weights))
        for cache in range(len(self.caches)):
            rows = np.array([[cache, 3], [cache, 7]])
            features, *_, pooled = samples.batch(rows)
            with torch.inference_mode():
                expected = Recall(net.eval())(net.blocks(features.float())[1])
            # told in 16 bits
            self.assertLess((pooled - expected).abs().mean(), expected.std() / 50)
            self.assertGreater((pooled[0] - expected[1]).abs().mean(), expected.std() / 50)

    def test_gives_the_weights_of_a_model_folder_back_to_train_on_from(self):
        file = self.root / "tiny-1.pth"
        # of others than those that it was trained on from nothing is left but how the folded is told apart
        torch.manual_seed(1)
        other = {key: value if value.ndim == 0 else torch.rand_like(value) + 0.5 for key, value in torch.load(self.weights).items()}
        other["_blocks.0._bn1.weight"][0] = 0
        torch.save(other, self.root / "other.pth")
        subprocess.run(script("reopen.py", self.out, "--out", file, "--imagenet", self.root / "other.pth"), check=True, capture_output=True)
        reopened, shipped = MaitredNet(4), load_run(self.work / "runs" / "final")[0].eval()
        reopened.load_imagenet(str(file))
        begun = begun_with(str(file), "lite0")
        self.assertEqual((begun["weights"], begun["trainedFrom"]["photos"]), ("weights of tiny-1", 45))
        pixels = torch.randint(0, 256, (4, 3, SIDE, SIDE)).float()
        with torch.inference_mode():
            for ours, theirs in zip(reopened.eval()(pixels), shipped(pixels)):
                torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)
        again = self.train("reopened", "--fold", 0, "--lr", 0, "--draws", 24)
        again[again.index("--weights") + 1] = str(file)
        subprocess.run(again, check=True, capture_output=True)
        torch.testing.assert_close(load_run(self.root / "reopened")[0].state_dict()["category.weight"], reopened.state_dict()["category.weight"])
        instead = {str(self.weights): str(file), str(self.work): str(self.root / "on"), str(self.out): str(self.root / "on-1")}
        planned = subprocess.run([*(instead.get(word, word) for word in self.command), "--dry-run"], capture_output=True, text=True)
        self.assertIn("recall-lite0", planned.stdout, planned.stderr)
        (self.root / "empty-1").mkdir()
        refused = subprocess.run(script("reopen.py", self.root / "empty-1", "--out", file), capture_output=True, text=True)
        self.assertIn("expected a model folder, there is no model.json", refused.stderr)
        refused = subprocess.run(script("tell.py", self.root / "none.pth", *self.caches, "--out", self.root / "none"), capture_output=True, text=True)
        self.assertIn("none.pth: expected a folder that train.py wrote, or a file of weights", refused.stderr)

    def test_goes_on_from_a_run_that_held_out_the_same_part_and_from_no_other(self):
        start = "--start", self.work / "runs" / "fold0"
        subprocess.run(self.train("further", "--fold", 0, *start, "--lr", 0), check=True, capture_output=True)
        self.assertEqual(network(self.root / "further"), network(self.work / "runs" / "fold0"))
        refused = subprocess.run(self.train("leak", "--fold", 1, *start), capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("held out part 0 of 3, not part 1 of 3", refused.stderr)

    def test_trains_every_layer_and_learns_from_a_teacher_where_pixels_are_kept(self):
        work = self.learn_from_a_teacher("pixels", "lite0", self.weights, "--pixels")
        nets = {name: load_run(work / "runs" / name)[0].eval() for name in ("fold0", "teacher0")}
        runs = {name: net.state_dict() for name, net in nets.items()}
        self.assertFalse(torch.equal(runs["fold0"]["_conv_stem.weight"], torch.load(self.weights)["_conv_stem.weight"]))
        self.assertFalse(torch.equal(runs["fold0"]["category.weight"], runs["teacher0"]["category.weight"]))
        # alike without labels: the less a network is like its teacher, the more it has to learn
        samples = Samples([work / "features-photos"], 2, 0).batch(np.array([[0, 0], [0, 1]]))[0].float()
        with torch.inference_mode():
            said = {name: net.rest(net.stem(samples)) for name, net in nets.items()}
        taught = said["teacher0"][:3]
        self.assertLess(distance_to(taught, said["teacher0"]), distance_to(taught, said["fold0"]))
        mixed = subprocess.run(script("train.py", work / "features-photos", self.caches[0], "--out", self.root / "mixed", "--weights", self.weights),
                               capture_output=True, text=True)
        self.assertIn("name those of one kind", mixed.stderr)
        other = subprocess.run(script("train.py", work / "features-photos", work / "features-mosaics", "--out", self.root / "mixed", "--weights", self.weights, "--trunk", "lite1",
                                      "--recall", work / "recall-lite0"), capture_output=True, text=True)
        self.assertIn("tells what lite0 knows, and lite1 is to be trained", other.stderr)

    def test_learns_from_a_teacher_of_another_size_whose_first_layers_are_as_they_were_too(self):
        weights = self.root / "larger.pth"
        draw_weights(weights, "lite1")
        work = self.learn_from_a_teacher("features", "lite1", weights)
        own, larger = ([work / f"features-{kind}{of}" for kind in ("photos", "mosaics")] for of in ("", "-lite1"))
        told = Samples(own, 2, 0, [work / "told0"])
        teacher, how = load_run(work / "runs" / "teacher0")
        self.assertEqual(how["trunk"], "lite1")
        # of the very samples that are learnt from, mosaics included
        for cache in (0, 1):
            rows = np.array([[cache, 3], [cache, 7]])
            with torch.inference_mode():
                said = teacher.eval().rest(Samples(larger, 2, 0).batch(rows)[0].float())
            for ours, theirs in zip(told.batch(rows)[4:], said):
                torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05)
        for of, fold, folder, complaint in ((own, 1, "told0", "held out part 0 of 2, not part 1 of 2"), (own[::-1], 0, "told0", "tells of other samples"),
                                            (own, 0, "teacher0", "nothing was told there to its end")):
            refused = subprocess.run(script("train.py", *of, "--out", self.root / "untaught", "--weights", self.weights, "--folds", 2, "--fold", fold,
                                            "--told", work / folder), capture_output=True, text=True)
            self.assertIn(complaint, refused.stderr)
        taught = subprocess.run(script("train.py", *own, "--out", self.root / "untaught", "--weights", self.weights, "--recall", work / "told0"), capture_output=True, text=True)
        self.assertIn("tells what a teacher says, which is for --told", taught.stderr)
        unlike = subprocess.run(script("tell.py", work / "runs" / "teacher0", *own, "--out", self.root / "unlike"), capture_output=True, text=True)
        self.assertIn("holds features of lite0", unlike.stderr)

    def learn_from_a_teacher(self, name: str, trunk: str, weights: Path, *more) -> Path:
        work, out = self.root / name, self.root / f"{name}-1"
        command = script("make.py", self.photos, out, "--work", work, "--weights", self.weights, "--detector", self.detector, "--side", SIDE, "--draws", 45, "--rendered", 0, "--turned", 0,
                         "--mosaics", 12, "--folds", 2, "--samples", 48, "--jobs", 2, "--teacher", trunk, "--teacher-weights", weights,
                         "--teacher-samples", 24, *more)
        made = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
        self.assertEqual(json.loads((out / "model.json").read_text())["trainedFrom"]["taughtBy"], [f"efficientnet-{trunk}, 48 draws"])
        return work

    def test_trains_on_no_sample_that_holds_a_photo_held_out(self):
        mixed = 0
        for folds in (2, 3):  # mosaics are drawn within one of three parts: of two parts, they hold some photos of each
            for fold in range(folds):
                samples = Samples(self.caches, folds, fold)
                held = set(samples.held[0].tolist())
                for cache in (0, 2, 3):
                    part = samples.parts[cache].photos
                    kept = samples.index[samples.index[:, 0] == cache, 1]
                    self.assertLess(len(kept), len(part))
                    self.assertFalse(held & set(part[kept].ravel().tolist()))
                    if folds == 3:
                        self.assertGreater(len(kept), len(part) / 2)
                mixed += sum(0 < len(held & set(four)) < len(set(four)) for four in samples.parts[2].photos.tolist())
        self.assertGreater(mixed, 0)


class Calibrated(unittest.TestCase):
    def test_weighs_the_network_and_the_detector_as_they_were_weighed(self):
        torch.manual_seed(0)
        scores = {"category": torch.randn(6000, 4), "human": torch.randn(6000) * 2, "seen": torch.randn(6000, 3, 3) * 2, "map": torch.randn(6000, 3, 3)}
        truth = torch.sigmoid(0.5 * scores["human"] + 1.5 * scores["seen"].amax((1, 2)) - 3)
        human = np.where(np.arange(6000) % 7, torch.bernoulli(truth).numpy(), -1)
        found = calibrate(scores, np.full(6000, -1) + (np.arange(6000) % 2) * 2, human)
        np.testing.assert_allclose((found.slope, found.seen, found.offset), (0.5, 1.5, -3), atol=0.2)
        _, probability, maps = found.apply(scores)
        np.testing.assert_allclose(probability, truth, atol=0.08)
        expected = torch.sigmoid(found.slope * scores["map"] + found.seen * scores["seen"] + found.offset)
        torch.testing.assert_close(maps, expected)


    def test_is_no_surer_than_few_photos_can_make_it_where_they_are_told_apart_without_a_fault(self):
        category, human = np.arange(24) % 4, np.arange(24) // 4 % 2
        scores = {"category": torch.eye(4)[category] * 2, "human": torch.from_numpy(human * 4.0 - 2), "seen": torch.from_numpy(human * 2.0 - 1)[:, None, None]}
        found = calibrate(scores, category, human)
        missed = {"category": torch.zeros(1, 4), "human": torch.tensor([-2.0]), "seen": torch.full((1, 1, 1), -1.0), "map": torch.zeros(1, 1, 1)}
        self.assertGreater(found.apply(missed)[1][0], 0.05)
        sure, *_ = found.apply(scores | {"map": torch.zeros(24, 1, 1)})
        np.testing.assert_allclose(sure.max(1), 7 / 8, atol=0.02)  # of six photos of each category, and two that were not seen

    def test_finds_numbers_for_logits_that_tell_nothing(self):
        category, human = np.arange(24) % 4, np.arange(24) // 4 % 2
        scores = {"category": torch.eye(4)[category] * -2, "human": torch.from_numpy(2 - human * 4.0), "seen": torch.zeros(24, 1, 1)}
        found = calibrate(scores, category, human)
        self.assertLess(found.temperature, 1e4)
        self.assertLess(found.slope, 0.05)

    def test_lets_no_detector_speak_against_a_human(self):
        torch.manual_seed(0)
        human = torch.arange(20) % 2
        scores = {"category": torch.zeros(20, 4), "human": human * 2.0 - 1 + torch.randn(20), "seen": (-human + torch.randn(20) / 2)[:, None, None]}
        found = calibrate(scores, np.full(20, 0), human.numpy())
        self.assertEqual(found.seen, 0)
        self.assertEqual(found, calibrate(scores | {"seen": torch.zeros(20, 1, 1)}, np.full(20, 0), human.numpy()))


class Compared(unittest.TestCase):
    def test_is_int8_on_photos_that_tell_of_humans_where_few_do(self):
        labels = [{"human_id": n % 2 if n % 100 < 2 else -1} for n in range(2000)]
        drawn = drawn_for_int8(np.arange(2000), labels, 60)
        self.assertEqual((len(drawn), sum(n % 100 < 2 for n in drawn)), (60, 30))


class Measured(unittest.TestCase):
    def labels(self, *categories: str) -> list[dict]:
        """Photos of a source each, every second one with a human."""
        return [{"category_id": CATEGORIES.index(category), "human_id": n % 2, "source": f"s{n}"} for n, category in enumerate(categories)]

    def perfect(self, labels: list[dict]) -> dict:
        category = np.eye(4)[[label["category_id"] for label in labels]]
        return measure(category, np.array([label["human_id"] for label in labels], float), np.zeros((len(labels), 2)), labels)

    def test_counts_no_category_that_does_not_occur(self):
        report = self.perfect(self.labels(*["food", "ambience", "other"] * 4))
        self.assertEqual((report["macroF1"], report["menu.precision"], report["menu.recall"], report["menu.f1"]), ([1, 1, 1], None, None, None))

    def test_draws_without_a_scarce_category_say_nothing_of_it(self):
        report = self.perfect(self.labels(*["food"] * 10, "menu", "menu"))
        self.assertEqual(report["menu.f1"], [1, 1, 1])

    def test_knows_no_average_precision_where_nobody_is(self):
        labels = [label | {"human_id": 0} for label in self.labels("food", "menu")]
        self.assertIsNone(self.perfect(labels)["humanAveragePrecision"])

    def test_puts_equal_scores_on_the_same_side_of_every_threshold(self):
        for order in ([1, 0, 0, 1], [0, 1, 1, 0]):
            self.assertEqual(average_precision(np.array(order), np.full(4, 0.5)), 0.5)
        self.assertAlmostEqual(average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1])), (1 + 2 / 3) / 2)


    def test_knows_that_none_of_a_few_photos_is_not_none(self):
        labels = self.labels(*["food"] * 8)
        none, all_of = self.perfect(labels)["thresholds"][0], self.perfect(labels * 50)["thresholds"][0]
        self.assertEqual((none["human"], none["shown"], none["smallShown"], none["intervals"]["smallShown"]), (0.02, 0, None, None))
        self.assertEqual(none["intervals"]["shown"], [0, 0.4899])  # Wilson's of 4
        self.assertLess(all_of["intervals"]["shown"][1], 0.02)

    def test_counts_sources_as_folds_are_dealt(self):
        labels = [label | {"source": source} for label, source in zip(self.labels(*["food"] * 4), ("COCO a", "COCO b", "A/b", "a-b"))]
        self.assertEqual(self.perfect(labels)["sources"], 2)


class Opened(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def opened(self, photo: Image.Image, **how) -> np.ndarray:
        photo.save(self.folder / "photo.png", **how)
        return np.asarray(open_photo(self.folder / "photo.png"))

    def test_lies_on_white_where_it_is_transparent_and_on_black_where_it_could_not_be_seen_there(self):
        for ink, ground in ((0, 255), (255, 0)):
            menu = Image.new("LA", (40, 30), (ink, 0))
            ImageDraw.Draw(menu).rectangle((10, 10, 20, 20), fill=(ink, 255))
            listed = Image.new("P", (40, 30), 1)
            listed.putpalette([ink] * 6)
            ImageDraw.Draw(listed).rectangle((10, 10, 20, 20), fill=0)
            for seen in (self.opened(menu), self.opened(menu.convert("RGBA")), self.opened(listed, transparency=1)):
                self.assertEqual((seen.shape, seen[0, 0].tolist(), seen[15, 15].tolist()), ((30, 40, 3), [ground] * 3, [ink] * 3))

    def test_has_all_shades_of_16_bits(self):
        shades = np.arange(0, 65536, 256, np.uint16)[None]
        np.testing.assert_array_equal(self.opened(Image.fromarray(shades))[0, :, 0], np.arange(256))


class Folds(unittest.TestCase):
    def test_put_no_source_into_two_parts(self):
        rng = Random(0)
        labels = [{"source": rng.choice(["COCO", "COCO 2017", f"A/b-{n % 40}", f"a-B/{n % 40}".lower(), f"s{n % 25}"]),
                   "dealt_by": (rng.choice(["food", "menu", None]), rng.choice([True, False, None]))} for n in range(600)]
        for folds in (2, 3, 5):
            where = {}
            for label, fold in zip(labels, assign_folds(labels, folds)):
                where.setdefault(group_of(label["source"]), set()).add(fold)
            self.assertTrue(all(len(each) == 1 for each in where.values()))
            self.assertEqual(set().union(*where.values()), set(range(folds)))


class Gradients(unittest.TestCase):
    def test_of_depthwise_convolutions_are_those_of_pytorch(self):
        torch.manual_seed(0)
        for kernel, stride, size in ((3, 1, 9), (3, 2, 10), (5, 1, 9), (5, 2, 10), (5, 2, 9)):
            conv, norm = SameConv(6, 6, kernel, stride=stride, groups=6, bias=False), torch.nn.BatchNorm2d(6)
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)
            known = [torch.randn(2, 6, size, size, requires_grad=True), conv.weight, norm.weight, norm.bias]
            plain = conv.eval().normalised(known[0], norm)  # PyTorch's own convolution
            half = (-(-size // stride) - 1) * stride + kernel - size
            scale = (norm.weight * torch.rsqrt(norm.running_var + norm.eps))[:, None, None, None]
            padded = torch.nn.functional.pad(known[0], (half // 2, half - half // 2) * 2)
            expected = torch.nn.functional.conv2d(padded, conv.weight * scale, norm.bias, stride, 0, 1, 6)
            towards = torch.randn_like(expected)
            wanted = torch.autograd.grad(expected, known, towards)
            given = conv.train().normalised(known[0], norm)
            torch.testing.assert_close(given, plain)
            for ours, theirs in zip(torch.autograd.grad(given, known, towards), wanted):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
            with torch.autocast("cpu", torch.bfloat16):
                short = conv.normalised(known[0], norm)
            self.assertEqual(short.dtype, torch.bfloat16)
            for ours, theirs in zip(torch.autograd.grad(short, known, towards.bfloat16()), wanted):
                self.assertEqual(ours.dtype, torch.float32)
                torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.05 * theirs.abs().max().item())


class Peak(unittest.TestCase):
    def test_lies_where_a_map_is_high_all_about_as_maitred_reads_it(self):
        # test/unit/heat.test.ts reads the same maps, and finds the same peaks
        flat = [[0, 0, 0, 0.1, 0.2, 0], [0, 0.97, 0.9, 0.94, 0.7, 0.1], [0, 0.2, 0.94, 0.96, 0.8, 0.1], [0, 0, 0.2, 0.7, 0.1, 0]]
        np.testing.assert_allclose(peak_of(torch.tensor([flat])), [[3.5 / 6, 2.5 / 4]], atol=1e-6)
        cornered = torch.zeros(1, 5, 6)
        cornered[0, 4, :2] = torch.tensor([1, 0.9])
        np.testing.assert_allclose(peak_of(cornered), [[0.5 / 6, 4.5 / 5]], atol=1e-6)


    def test_lies_in_the_cell_of_what_it_is_of(self):
        net = MaitredNet(4)
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):  # every layer only blurs, and the coarse ones say nothing
                torch.nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        torch.nn.init.zeros_(net.lateral32.weight)
        photos = torch.full((2, 288, 288, 3), 127, dtype=torch.uint8)
        photos[1, 100:124, 140:164] = 150
        with torch.inference_mode():
            empty, spot = Shipped(net, 288, Calibration(1.0, [0.0] * 4, 1.0, 0.0, 0.0)).eval()(photos)[2].double()
        weights, middles = (spot - empty) / (spot - empty).sum(), (torch.arange(18.0, dtype=torch.float64) + 0.5) * 16
        x, y = float(weights.sum(0) @ middles), float(weights.sum(1) @ middles)
        self.assertLess(max(abs(x - 152), abs(y - 112)), 2)


    def test_is_known_to_be_displaced_by_the_map_of_the_mirror_image(self):
        # of what lies in the middle of both, a map that is displaced by a cell and a half shows the same in either
        maps = np.zeros((1, 9, 9))
        maps[0, 4, 2:4] = 0.5
        np.testing.assert_allclose(displaced(maps, maps, 2), [1.5])
        np.testing.assert_allclose(displaced(maps, maps, 1), [0])
        np.testing.assert_allclose(displaced(maps, maps[:, :, ::-1], 2), [0])


class Check(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.root)
        draw_photos(cls.root / "clean")
        cls.lines = [json.loads(line) for line in (cls.root / "clean" / "labels.jsonl").read_text().splitlines()]

    def setUp(self):
        self.photos = Path(shutil.copytree(self.root / "clean", self.root / self.id()))

    def faults(self, folds=3) -> list[tuple[str, str]]:
        return [(each["kind"], each["where"]) for each in check(self.photos, folds)["errors"]]

    def label(self, at: int, **changed) -> None:
        self.lines_now = [line | changed if n == at else line for n, line in enumerate(self.lines)]
        write_labels(self.photos, self.lines_now)

    def test_finds_nothing_where_nothing_is_wrong(self):
        report = check(self.photos)
        self.assertEqual((report["errors"], report["photos"], report["sources"]), ([], 45, 9))
        self.assertEqual(report["counts"]["byCategory"]["ambience"], {"human": 9, "none": 9, "unknown": 0})
        self.assertEqual([each["where"] for each in report["warnings"] if each["kind"] == "few"], [*CATEGORIES, "human", "food and ambience without a human"])
        self.assertEqual(report["errors"], check(self.photos, jobs=2)["errors"])

    def test_finds_photos_that_cannot_be_read(self):
        whole = (self.photos / "0-food.jpg").read_bytes()
        (self.photos / "0-food.jpg").write_bytes(whole[:len(whole) // 2])
        (self.photos / "1-menu.jpg").unlink()
        self.assertEqual(self.faults(), [("unreadable", "0-food.jpg"), ("unreadable", "1-menu.jpg")])

    def test_finds_labels_that_mean_nothing(self):
        for changed, kind in (({"category": "drinks"}, "category"), ({"human": "yes"}, "human"), ({"human": 1}, "human"), ({"source": ""}, "labels"),
                              ({"file": None}, "labels"), ({"file": "0-room.jpg"}, "labels"), ({"persons": [[1, 2, 3]]}, "box"),
                              ({"persons": [[30, 5, 20, 40]]}, "box"), ({"persons": [[1, 1, 20, 20]]}, "box"),
                              ({"human": True, "persons": [[0.1, 0.2, 0.6, 0.9]]}, "box"), ({"hands": "false"}, "human"), ({"small": 1}, "human"), ({"kind": ["a"]}, "labels")):
            self.label(5, **changed)
            self.assertEqual(self.faults(), [(kind, "labels.jsonl:6")], changed)

    def test_finds_lines_that_are_no_json(self):
        write_labels(self.photos, [self.lines[0], '{"file": \n', *self.lines[1:]])
        self.assertEqual(self.faults(), [("labels", "labels.jsonl:2")])

    def test_finds_boxes_outside_of_the_frame(self):
        self.label(2, persons=[[80, 10, 140, 60]])
        self.assertEqual(self.faults(), [("box", "0-person.jpg")])

    def test_counts_one_picture_once_by_its_newest_label(self):
        shutil.copy(self.photos / "0-food.jpg", self.photos / "1-room.jpg")
        for first, other, counts in (({}, {}, "none of them counts"), ({"at": "2026-01-01"}, {}, '"food" counts'), ({"at": "2026-01-01"}, {"at": "2026-01-02"}, '"ambience" counts'),
                                     ({"at": "2026-01-01T01:00:00Z"}, {"at": "2026-01-01 00:30:00+00"}, '"food" counts'), ({"at": "2026-01-01T01:00:00+03:00"}, {"at": "2026-01-01"}, '"ambience" counts'),
                                     ({"at": "2026-01-01"}, {"at": "2026-01-02", "origin": "claim"}, '"food" counts')):
            write_labels(self.photos, [line | (first if n == 0 else other if n == 6 else {}) for n, line in enumerate(self.lines)])
            report = check(self.photos)
            told = {each["kind"]: each for each in report["warnings"] if each["kind"] in ("contradiction", "copies")}
            self.assertEqual((report["errors"], told["contradiction"]["where"]), ([], "0-food.jpg = 1-room.jpg"))
            self.assertIn(counts, told["contradiction"]["message"])
            self.assertIn(f"{2 if counts.startswith('none') else 1} photos are copies", told["copies"]["message"])

    def test_knows_of_one_picture_what_was_said_last_of_its_category_and_of_its_humans(self):
        def known(*twins: dict) -> tuple:
            write_labels(self.photos, [{"file": f"{n}.jpg", "source": f"s{n}"} | twin for n, twin in enumerate(twins)])
            kept = read_labels(self.photos, same=[list(range(len(twins)))])
            return tuple(kept[0].get(key) for key in ("file", "category", "human", "human_id", "persons")) if kept else ()
        draw_scene(Random(0), "room")[0].save(self.photos / "1.jpg")
        human, boxes = {"human": True, "at": "2026-01-01"}, [[1, 2, 30, 40]]
        self.assertEqual(known(human | {"persons": boxes}, {"category": "food", "human": None, "at": "2026-01-02"}), ("1.jpg", "food", True, 1, boxes))
        self.assertEqual(known(human | {"persons": boxes}, {"category": "food", "human": False, "at": "2026-01-02"}), ("1.jpg", "food", False, 0, None))
        self.assertEqual(known(human, {"hands": True, "category": "food", "at": "2026-01-02"}), ("1.jpg", "food", None, -1, None))
        self.assertEqual(known(human, {"category": "menu", "origin": "claim", "at": "2026-01-02"}), ("0.jpg", "menu", True, 1, None))
        self.assertEqual(known(human, human | {"human": False}, {"category": "food", "at": "2026-01-02"}), ())
        given, left = human | {"category": "menu"}, {"category": "food", "left": True, "human": False}
        self.assertEqual(known(given, left | {"at": "2026-01-02"}), ("1.jpg", "menu", False, 0, None))
        self.assertEqual(known({"category": "menu", "origin": "claim"}, left), ("1.jpg", "food", False, 0, None))

    def test_believes_of_no_label_that_it_was_corrected_but_by_corrections(self):
        write_labels(self.photos, [line | {"corrected": True} for line in self.lines])
        self.assertFalse([label for label in read_labels(self.photos) if label.get("corrected")])

    def test_tells_of_pictures_that_look_the_same_in_two_sources_and_of_no_others(self):
        def near():
            return [each["where"] for each in check(self.photos)["warnings"] if each["kind"] == "near copies"]
        for number, (name, source) in enumerate((("menu", "place0"), ("document", "place3"))):
            rng = np.random.default_rng(number)
            photo = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize((480, 360), Image.Resampling.BICUBIC)
            photo.save(self.photos / f"0-{name}.jpg", quality=90)
            photo.resize((432, 324)).save(self.photos / f"3-{name}.jpg", quality=80)
            flat = Image.linear_gradient("L").point([240 + number + shade // 20 for shade in range(256)])
            flat.save(self.photos / f"{number}-food.jpg")
        before = [line for line in near() if "menu" in line or "document" in line or "-food" in line]
        self.assertEqual(before, ["0-menu.jpg ~ 3-menu.jpg", "0-document.jpg ~ 3-document.jpg"])
        write_labels(self.photos, [line | ({"source": "place0"} if line["file"] == "3-menu.jpg" else {}) for line in self.lines])
        self.assertNotIn("0-menu.jpg ~ 3-menu.jpg", near())

    def test_reads_lines_as_they_were_written(self):
        lines = [json.dumps(line | {"key": "a\u2028b\u0085c"}, ensure_ascii=False) for line in self.lines]
        (self.photos / "labels.jsonl").write_bytes(("\n \n".join(lines) + "\n").encode("utf-8-sig"))
        self.assertEqual((self.faults(), check(self.photos)["photos"]), ([], 45))

    def test_finds_corrections_that_mean_nothing(self):
        self.addCleanup(setattr, data, "CORRECTIONS", data.CORRECTIONS)
        data.CORRECTIONS = self.photos / "corrections.jsonl"
        data.CORRECTIONS.write_text('{"file": "0-food.jpg", "source": "place0", "category": "starter"}\n')
        self.assertEqual(self.faults(), [("category", "corrections.jsonl:1")])

    def test_tells_how_many_corrections_apply(self):
        self.addCleanup(setattr, data, "CORRECTIONS", data.CORRECTIONS)
        data.CORRECTIONS = self.photos / "corrections.jsonl"
        write = [json.dumps({"file": "0-food.jpg", "source": source, "category": "menu"}) + "\n" for source in ("place0", "Place0")]
        data.CORRECTIONS.write_text("".join(write))
        report = check(self.photos)
        self.assertEqual(report["corrections"], {"apply": 1, "of": 2})
        self.assertIn("1 of 2 corrections apply", "\n".join(printed(report)))

    def test_tells_of_corrections_of_what_does_not_count(self):
        shutil.copy(self.photos / "0-food.jpg", self.photos / "1-food.jpg")
        self.addCleanup(setattr, data, "CORRECTIONS", data.CORRECTIONS)
        data.CORRECTIONS = self.photos / "corrections.jsonl"
        for source, file, told in (("place1", "1-food.jpg", 1), ("place0", "0-food.jpg", 0)):
            data.CORRECTIONS.write_text(json.dumps({"file": file, "source": source, "category": "food", "human": False}) + "\n")
            self.assertEqual(sum("correct the copy that does" in each["message"] for each in check(self.photos)["warnings"]), told)

    def test_advises_fewer_parts_only_where_that_can_help(self):
        for sources, advised in ((1, False), (2, True)):
            write_labels(self.photos, [line | {"source": f"place{n % sources}"} for n, line in enumerate(self.lines)])
            said = " ".join(each["message"] for each in check(self.photos)["errors"])
            self.assertEqual("fewer --folds" in said, advised)

    def test_finds_parts_on_which_nothing_could_be_measured(self):
        self.assertEqual({kind for kind, _ in self.faults(folds=12)}, {"folds"})

    def test_tells_errors_last_where_make_shows_them(self):
        told = printed(check(self.photos, 12))
        self.assertGreater(told.index("error, folds:"), told.index("warning, few:"))

    def test_warns_of_photos_that_take_long_to_read(self):
        self.assertNotIn("large", {each["kind"] for each in check(self.photos)["warnings"]})
        for line in self.lines:
            Image.open(self.photos / line["file"]).resize((1600, 1200)).save(self.photos / line["file"])
        self.assertIn("some 5 times as long", next(each["message"] for each in check(self.photos)["warnings"] if each["kind"] == "large"))

    def test_ends_where_one_of_its_processes_is_ended(self):
        (self.photos / "0-food.jpg").unlink()
        os.mkfifo(self.photos / "0-food.jpg")
        for which, code in (("those that it began", 1), ("the first", -signal.SIGKILL)):
            checked = subprocess.Popen(script("check.py", self.photos, "--jobs", 2), stderr=subprocess.PIPE, text=True)
            with open(self.photos / "0-food.jpg", "wb"):  # opens once one of them reads it
                begun = subprocess.run(["pgrep", "-P", str(checked.pid)], capture_output=True, text=True, check=True).stdout.split()
                for process in map(int, begun) if code == 1 else [checked.pid]:
                    os.kill(process, signal.SIGKILL)
                said = checked.communicate(timeout=60)[1]  # until all of them have ended
            self.assertEqual((checked.returncode, "try fewer --jobs" in said), (code, code == 1), which)

    def test_exits_with_1_and_gives_json(self):
        done = subprocess.run(script("check.py", self.photos, "--json", "--folds", 12, "--jobs", 1), capture_output=True, text=True)
        self.assertEqual((done.returncode, {each["kind"] for each in json.loads(done.stdout)["errors"]}), (1, {"folds"}))
        self.assertEqual(subprocess.run(script("check.py", self.photos), capture_output=True, env=os.environ).returncode, 0)


class Curves(unittest.TestCase):
    def test_count_once_what_was_done_again_after_an_interruption(self):
        with tempfile.TemporaryDirectory() as folder:
            entries = [{"step": step, "of": 60, "loss": loss, "samplesPerS": 9.0, "etaMin": 1} for step, loss in ((20, 3), (40, 2), (20, 3), (40, 1))]
            (Path(folder) / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries) + '{"step": 6')
            run = curves.read_run(Path(folder))
            self.assertEqual([(entry["step"], entry["loss"]) for entry in run["log"]], [(20, 3), (40, 1)])
            self.assertIn('http-equiv="refresh"', curves.page([run], refresh=20))
            self.assertIn("67%, 1 min left", curves.page([run]))

    def test_know_no_figures_where_only_half_of_them_are_written(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "held-out.json").write_text('{"photos": 4')
            self.assertIsNone(curves.read_run(Path(folder))["held"])


class Tables(unittest.TestCase):
    def test_are_photos_that_nothing_says_show_a_human(self):
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder) / "photos"
            draw_photos(photos, 2)
            self.addCleanup(setattr, data, "CORRECTIONS", data.CORRECTIONS)
            data.CORRECTIONS = photos / "corrections.jsonl"
            data.CORRECTIONS.write_text("")
            self.assertEqual(len(_backgrounds(Random(0), photos)), 4)
            data.CORRECTIONS.write_text(json.dumps({"file": "0-food.jpg", "source": "place0", "human": True}) + "\n")
            self.assertEqual(len(_backgrounds(Random(0), photos)), 3)
            shutil.copy(photos / "1-room.jpg", photos / "1-person.jpg")
            self.assertEqual(len(_backgrounds(Random(0), photos)), 2)

    def test_are_not_what_an_older_label_or_its_correction_says_shows_a_human(self):
        def tables(*twins: dict, corrected: dict = {}) -> int:
            write_labels(photos, [{"file": f"{n}-food.jpg", "source": f"place{n}", "category": "food", "at": f"2026-01-0{n + 1}"} | twin for n, twin in enumerate(twins)])
            data.CORRECTIONS.write_text(json.dumps({"file": "0-food.jpg", "source": "place0"} | corrected))
            return len(_backgrounds(Random(0), photos))
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder) / "photos"
            draw_photos(photos, 2)
            shutil.copy(photos / "0-food.jpg", photos / "1-food.jpg")
            self.addCleanup(setattr, data, "CORRECTIONS", data.CORRECTIONS)
            data.CORRECTIONS = photos / "corrections.jsonl"
            clear = {"human": False}
            self.assertEqual(tables(clear, clear, corrected={"human": True}), 0)
            self.assertEqual(tables({"human": True}, clear), 0)
            self.assertEqual(tables({"hands": True}, clear), 0)
            self.assertEqual(tables({"human": None}, clear), 1)
            self.assertEqual(tables(clear, clear), 1)


if __name__ == "__main__":
    unittest.main()
