"""Networks that learn from larger ones."""

import json
from pathlib import Path

import numpy as np
import torch

import export
import tell
import train
from fixtures import SIDE, Made, asked, done, draw_weights, script, stopped
from samples import Samples
from train import distance_to, load_run


class Teacher(Made):
    def test_trains_every_layer_and_learns_from_a_teacher_where_pixels_are_kept(self):
        work = self.root / "pixels"
        self.assertEqual(stopped(script("make.py", *self.taught_by("pixels", "lite0", self.weights, "--pixels")), "fold1: begins"), 130)
        self.assertEqual(load_run(work / "runs" / "fold0")[1]["taughtBy"], ["efficientnet-lite0, 24 draws"])
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
        exported = self.root / "pixels-1"
        done(export, work / "runs" / "fold0", exported, "--folds", work / "runs" / "fold0")
        self.assertEqual(json.loads((exported / "model.json").read_text())["trainedFrom"]["taughtBy"], ["efficientnet-lite0, 24 draws"])
        mixed = asked(train, work / "features-photos", self.caches[0], "--out", self.root / "mixed", "--weights", self.weights)
        self.assertIn("name those of one kind", mixed.stderr)
        other = asked(train, work / "features-photos", work / "features-mosaics", "--out", self.root / "mixed", "--weights", self.weights, "--trunk", "lite1",
                      "--recall", work / "recall-lite0")
        self.assertIn("tells what lite0 knows, and lite1 is to be trained", other.stderr)

    def test_learns_from_a_teacher_of_another_size_whose_first_layers_are_as_they_were_too(self):
        weights = self.root / "larger.pth"
        draw_weights(weights, "lite1")
        work = self.root / "features"
        self.assertEqual(stopped(script("make.py", *self.taught_by("features", "lite1", weights)), "fold1: begins"), 130)
        self.assertEqual(load_run(work / "runs" / "fold0")[1]["taughtBy"], ["efficientnet-lite1, 24 draws"])
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
            refused = asked(train, *of, "--out", self.root / "untaught", "--weights", self.weights, "--folds", 2, "--fold", fold, "--told", work / folder)
            self.assertIn(complaint, refused.stderr)
        taught = asked(train, *own, "--out", self.root / "untaught", "--weights", self.weights, "--recall", work / "told0")
        self.assertIn("tells what a teacher says, which is for --told", taught.stderr)
        unlike = asked(tell, work / "runs" / "teacher0", *own, "--out", self.root / "unlike")
        self.assertIn("holds features of lite0", unlike.stderr)

    def taught_by(self, name: str, trunk: str, weights: Path, *more) -> list:
        """Of make.py, for a network that learns from a teacher."""
        return [self.photos, self.root / f"{name}-1", "--work", self.root / name, "--weights", self.weights, "--detector", self.detector, "--side", SIDE, "--draws", 45,
                "--rendered", 0, "--turned", 0, "--mosaics", 12, "--folds", 2, "--samples", 48, "--jobs", 1, "--teacher", trunk, "--teacher-weights", weights,
                "--teacher-samples", 24, *more]
