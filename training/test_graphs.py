"""What is exported: graphs that say what the networks said."""

import contextlib
import hashlib
import io
import json
import shutil
import unittest
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

import peak
import sources
from beside import VARIANTS, add_detector, export_detector
from calibrate import Calibration
from card import card
from detector import Detector
from export import compare_int8, drawn_for_int8, shipping, weigh_int8
from features import labels_of
from fixtures import SIDE, Made, asked, done
from graph import Shipped, export_fp16, export_fp32, export_int8, run
from looks import look_closer
from measure import peak_of
from net import MaitredNet, in_place
from peak import displaced
from rounds import ASKED, ROUNDS, closer, logit_of, together, where_asked
from train import load_run
from trained import look_again, measured_runs, read


def logits_of(probability: np.ndarray) -> np.ndarray:
    return np.log(probability / (1 - probability))


def write_variants(shipped: Shipped, pixels: np.ndarray, folder: Path) -> None:
    """The graphs of a network alone."""
    fp32, fp16, int8 = (folder / name for name in VARIANTS)
    export_fp32(shipped, SIDE, fp32)
    export_fp16(fp32, fp16)
    export_int8(fp32, pixels, int8)


class Graphs(Made):
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

    def test_names_the_sources_of_a_model_that_does_not(self):
        folder = self.root / "nameless-1"
        shutil.copytree(self.out, folder)
        whole = (folder / "model.json").read_text()
        model = json.loads(whole)
        del model["trainedFrom"]["sourceHashes"]
        (folder / "model.json").write_text(json.dumps(model, indent=1))
        self.assertEqual(asked(sources, folder, self.photos).returncode, 0)
        self.assertEqual(json.loads((folder / "model.json").read_text()), json.loads(whole))

    def test_adds_what_the_detector_sees_to_what_the_network_says_of_humans(self):
        model = json.loads((self.out / "model.json").read_text())
        calibration = Calibration(**model["calibration"])
        net, detector = load_run(self.work / "runs" / "final")[0].eval(), Detector().load(self.detector)
        pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
        with torch.inference_mode():
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            category, human, human_map, _ = net.rest(net.stem(x))
            scores = {"category": category, "human": human, "map": torch.logit(in_place(torch.sigmoid(human_map)), 1e-4), "seen": detector(x)}
            category, _, human_map = calibration.apply(where_asked(scores, calibration))
            now = mean = calibration.human(where_asked(scores, calibration))
            looks = 1
            for each in ROUNDS:
                parts = closer(torch.from_numpy(pixels).permute(0, 3, 1, 2), each.parts).float()
                now, mean = together(now, mean, looks, calibration.human({"human": net(parts)[1], "seen": detector(parts)}), each.unsure)
                looks += len(each.parts)
        said = category, torch.sigmoid(now), human_map
        for name, close in (("model.onnx", 2e-2), ("model.fp16.onnx", 3e-2)):  # at the frame's edge the graph's detector sees another grey
            for ours, theirs in zip(said, run(self.out / name, pixels)):
                np.testing.assert_allclose(theirs, ours, atol=close)

    def test_adds_it_up_in_each_graph_as_it_was_told_to(self):
        before, seers = self.root / "before", self.root / "seers"
        net, detector = load_run(self.work / "runs" / "final")[0].eval(), Detector().load(self.detector)
        pixels = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
        with torch.inference_mode():
            persons = detector(torch.from_numpy(pixels).permute(0, 3, 1, 2).float()).numpy()
        share = 6 / float(persons.max() - persons.min())  # what random weights see is made to matter
        calibration = Calibration(1.0, [0.0] * 4, 0.5, share, -share * float(persons.mean()))
        alone = Shipped(net, SIDE, calibration).eval()
        before.mkdir()
        write_variants(alone, pixels, before)
        export_detector(detector, SIDE, pixels, seers)
        with torch.inference_mode():
            _, human, human_map = (np.log(part.numpy() / (1 - part.numpy())) for part in alone(torch.from_numpy(pixels)))

        def both(logits: np.ndarray, seen: np.ndarray) -> np.ndarray:
            return 1 / (1 + np.exp(-(logits + share * seen)))

        for name, part in (("model.onnx", 0.1), ("model.int8.onnx", 0.2)):  # the frame's edge is another grey, and much of so small a frame
            add_detector(before / name, seers / name, self.root / name, calibration)
            _, ours, cells = run(self.root / name, pixels)
            for found, logits, seen in ((ours, human, persons.max((1, 2))), (cells, human_map / 2 + calibration.offset, persons)):
                unseen = both(logits, np.full_like(seen, persons.mean()))
                self.assertLess(np.abs(found - both(logits, seen)).mean(), part * np.abs(unseen - both(logits, seen)).mean())

    def test_asks_the_detector_and_looks_closer_only_where_that_can_tell(self):
        seers, folder = self.root / "seers", self.root / "closer"
        folder.mkdir()
        net, detector = load_run(self.work / "runs" / "final")[0].eval(), Detector().load(self.detector)
        pixels = np.random.default_rng(0).integers(0, 256, (12, SIDE, SIDE, 3), np.uint8)
        planes = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        with torch.inference_mode():
            logits, persons = net(planes.float())[1], detector(planes.float())
        # from surely nobody to surely somebody, whatever random weights say, and the detector counts a little
        slope, seen = 10 / float(logits.max() - logits.min()), 1 / float(persons.max() - persons.min())
        middle = float(persons.amax((1, 2)).mean())
        calibration = Calibration(1.0, [0.0] * 4, slope, seen, -4 - slope * float(logits.median()) - seen * middle, middle)
        write_variants(Shipped(net, SIDE, calibration).eval(), pixels, folder)
        export_detector(detector, SIDE, pixels, seers)
        for name in VARIANTS:
            file = folder / name
            add_detector(file, seers / name, file, calibration)
            shutil.copy(file, folder / "once.onnx")
            once = run(folder / "once.onnx", pixels)
            person = run(seers / name, pixels)[0].max((1, 2))
            alone = logits_of(once[1]) + calibration.seen * (middle - person)
            asks = alone > logit_of(ASKED)
            self.assertTrue(0 < asks.sum() < len(asks))
            now = torch.from_numpy(np.where(asks, logits_of(once[1]), alone))
            mean, looks, looked = now.clone(), 1, []
            for each in ROUNDS:
                said = logits_of(run(folder / "once.onnx", closer(planes, each.parts).permute(0, 2, 3, 1).numpy())[1])
                looked.append(((now > logit_of(each.unsure[0])) & (now < logit_of(each.unsure[1]))).numpy())
                self.assertTrue(0 < looked[-1].sum() < len(now))
                (now, mean), looks = together(now, mean, looks, torch.from_numpy(said), each.unsure), looks + len(each.parts)
            look_closer(file, SIDE, middle, name == VARIANTS[1])
            found = run(file, pixels)
            np.testing.assert_allclose(logits_of(found[1]), now.numpy(), atol=2e-2)
            self.assertGreater(np.abs(found[1] - once[1])[looked[0]].max(), 2e-3)
            np.testing.assert_allclose(found[0], once[0], atol=1e-5)
            np.testing.assert_allclose(found[2][asks], once[2][asks], atol=1e-5)
            for one_by_one, all_at_once in zip(run(file, pixels, batch=1), found):
                np.testing.assert_allclose(one_by_one, all_at_once, atol=1e-4)
            with self.assertRaises(SystemExit):
                look_closer(seers / name, SIDE, middle, False)

    def test_looks_at_the_parts_that_a_round_names(self):
        photos = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
        for each in ROUNDS:
            for (down, across), (one, other) in zip(each.parts, closer(photos, each.parts).split(2)):
                if 0.5 not in (down, across):
                    np.testing.assert_array_equal(one[:, -down, -across], photos[0, :, -down, -across])
                self.assertFalse(torch.equal(one, other))
        middle = closer(photos, ((0.5, 0.5),))
        np.testing.assert_array_equal(middle, closer(photos.flip(2, 3), ((0.5, 0.5),)).flip(2, 3))

    def test_measures_what_closer_looks_say_where_those_before_were_unsure(self):
        fold, = measured_runs([self.work / "runs" / "fold0"])
        labels, calibration = labels_of(fold.sources[0]), Calibration(1.0, [0.0] * 4, 0.1, 0.0, -2.2)
        before = np.full(len(fold.photos), 0.6, np.float32)
        before[1:3] = 0.1
        human = before.copy()
        look_again(fold, labels, calibration, human)
        np.testing.assert_array_equal(human != before, before == np.float32(0.1))
        photos = torch.from_numpy(read(fold.data, [labels[photo] for photo in fold.photos[1:3]], SIDE)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            said = torch.cat([fold.net(closer(photos, each.parts).float())[1].view(-1, 2) for each in ROUNDS]) * 0.1 - 2.2
        np.testing.assert_allclose(logits_of(human[1:3]), (logits_of(before[1:3]) + said.sum(0).numpy()) / 6, atol=1e-4)

    def test_measures_the_detector_only_where_graphs_ask_it(self):
        calibration = Calibration(1.0, [0.0] * 4, 2.0, 1.5, 0.25, -0.5)
        alone = (logit_of(ASKED) + 1.5 * 0.5 - 0.25) / 2
        scores = {"human": torch.tensor([alone - 0.01, alone + 0.01]), "seen": torch.randn(2, 3, 3)}
        seen = where_asked(scores, calibration)["seen"]
        np.testing.assert_array_equal(seen, torch.stack([torch.full((3, 3), -0.5), scores["seen"][1]]))

    def test_lets_closer_looks_count_in_full_only_where_those_before_are_unsure_enough(self):
        low, high = map(logit_of, ROUNDS[0].unsure)
        first = torch.tensor([low - 1, low, low + 0.25, low + 0.5, -2.0, high - 0.25, high, high + 1])
        now, mean = together(first, first, 1, torch.cat([first + 3, first + 6]), ROUNDS[0].unsure)
        np.testing.assert_allclose((now - first) / 3, [0, 0, 0.5, 1, 1, 0.5, 0, 0], atol=1e-6)
        np.testing.assert_allclose(mean - first, [3] * 8, atol=1e-6)
        np.testing.assert_allclose(together(now, mean, 3, torch.cat([mean - 6] * 3), ROUNDS[0].unsure)[1], mean - 3, atol=1e-6)

    def test_keeps_to_7_bits_where_8_could_overflow_and_takes_8_where_they_cannot(self):
        graph = onnx.load(str(self.work / "runs" / "final" / "int8" / "fold0" / "model.int8.onnx")).graph
        weights = {each.name: np.abs(onnx.numpy_helper.to_array(each).astype(int)).max() for each in graph.initializer if each.data_type == onnx.TensorProto.INT8 and each.dims}
        largest = {True: set(), False: set()}
        for node in graph.node:
            if node.op_type == "QLinearConv":
                largest[any(each.name == "group" and each.i > 1 for each in node.attribute)].add(int(weights[node.input[3]]))
        self.assertEqual(max(largest[True]), 127)
        self.assertEqual(max(largest[False]), 64)

    def test_ships_no_int8_of_which_no_photo_tells_what_it_loses_of_humans(self):
        runs, out = [self.work / "runs" / f"fold{number}" for number in range(2)], self.root / "few"
        folds, model = measured_runs(runs), json.loads((self.out / "model.json").read_text())
        labels = labels_of(folds[0].sources[0])
        for fold in folds:
            for photo in drawn_for_int8(fold.photos, labels, 3):
                labels[photo]["human_id"] = 0
        sample = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), np.uint8)
        losses = compare_int8(folds, labels, sample, self.work / "runs" / "final" / "detector", out, 3, 0.1)
        self.assertEqual((losses["photos"], losses["humanAveragePrecisionLost"], losses["moreHumansShown"]), (6, None, None))
        for name in VARIANTS:
            shutil.copy(self.out / VARIANTS[0], out / name)
        with contextlib.redirect_stdout(io.StringIO()) as told:
            int8 = weigh_int8(losses, out, sample[:1])
            self.assertNotIn("cpu", shipping(int8, out)["variants"])
        self.assertIn("what it loses was not measured", told.getvalue())
        self.assertIn("human average precision not measured", card(model | {"measured": model["measured"] | {"int8": int8}}))

    def test_tells_on_how_many_photos_the_map_points_at_somebody(self):
        told = done(peak, self.out / "model.onnx", self.photos)
        self.assertRegex(told, r"5% to 15% +5 +[01]\.\d+ +[01]\.\d+\n15% to 100% +4 ")
        self.assertRegex(told, r"all +9 +[01]\.\d+ +[01]\.\d+\nmaps lie -?\d\.\d+ cells too far left")


class Compared(unittest.TestCase):
    def test_is_int8_on_photos_that_tell_of_humans_where_few_do(self):
        labels = [{"human_id": n % 2 if n % 100 < 2 else -1} for n in range(2000)]
        drawn = drawn_for_int8(np.arange(2000), labels, 60)
        self.assertEqual((len(drawn), sum(n % 100 < 2 for n in drawn)), (60, 30))



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
