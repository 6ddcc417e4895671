"""What check.py finds in a labelled folder."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

import data
from check import check, printed
from data import CATEGORIES, read_labels
from fixtures import draw_photos, draw_scene, script, write_labels


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
        for changed, kind in (({"category": "drinks"}, "category"), ({"human": "yes"}, "human"), ({"human": 1}, "human"), ({"source": ""}, "labels"), ({"source": "a\ud800"}, "labels"), ({"file": "a\udfff.jpg"}, "labels"),
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
                said = checked.communicate(timeout=600)[1]  # until all of them have ended
            self.assertEqual((checked.returncode, "try fewer --jobs" in said), (code, code == 1), which)

    def test_exits_with_1_and_gives_json(self):
        done = subprocess.run(script("check.py", self.photos, "--json", "--folds", 12, "--jobs", 1), capture_output=True, text=True)
        self.assertEqual((done.returncode, {each["kind"] for each in json.loads(done.stdout)["errors"]}), (1, {"folds"}))
        self.assertEqual(subprocess.run(script("check.py", self.photos), capture_output=True, env=os.environ).returncode, 0)
