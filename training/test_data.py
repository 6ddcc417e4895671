"""Photos and labels as they are read."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw

import data
from data import assign_folds, group_of, open_photo
from fixtures import draw_photos, write_labels
from menus import _backgrounds


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
