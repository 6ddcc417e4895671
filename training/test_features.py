"""What features are made of which photos, and for whom they are kept."""

import json
import resource
import shutil
import subprocess

import numpy as np

import data
import features
from features import Features, labels_of
from fixtures import SIDE, Made, done, script
from samples import Samples


class Kept(Made):
    def test_gives_the_same_features_for_the_same_seed_however_many_processes(self):
        arguments = "--weights", self.weights, "--detector", self.detector, "--side", SIDE, "--draws", 90, "--jobs", 1
        done(features, self.photos, "--out", self.root / "features", *arguments)
        for name in ("draws.raw", "plain.raw"):
            self.assertEqual((self.root / "features" / name).read_bytes(), (self.work / "features-photos" / name).read_bytes())

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
        done(features, photos, "--out", self.root / "twice", "--pixels", "--detector", self.detector, "--side", SIDE, "--draws", 88, "--jobs", 1)
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
        features._make(0, 1, cache, "draws", str(self.weights), "cpu")
        room = before.photos[:, 0] == 1
        corrected = Features(cache, "draws")
        self.assertEqual({(int(category), int(human)) for category, human in zip(corrected.targets["category"][room], corrected.targets["human"][room])}, {(2, 1)})
        data.CORRECTIONS.write_text("")
        for key, values in Features(cache, "draws").targets.items():
            np.testing.assert_array_equal(values, before.targets[key])

    def test_names_the_disk_that_has_no_room_for_features_before_they_are_made(self):
        made = self.root / "room"
        features.reserve(made, 1 << 20)
        self.assertGreaterEqual(made.stat().st_blocks * 512, 1 << 20)
        arguments = "--weights", self.weights, "--detector", self.detector, "--side", SIDE, "--draws", 4000, "--jobs", 1
        failed = subprocess.run(script("features.py", self.photos, "--out", self.root / "full", *arguments), capture_output=True, text=True,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20)))
        self.assertRegex(failed.stderr, r"^\S*/full/draws.raw: expected room for 0.02 GB there: ")
        self.assertEqual((failed.returncode, (self.root / "full" / "draws.raw").exists()), (1, False))
