"""Figures, and the calibration that they are of."""

import unittest

import numpy as np
import torch

from calibrate import calibrate
from data import CATEGORIES
from measure import average_precision, calibration_error, measure


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

    def test_calibration_does_not_depend_on_the_order_of_equal_scores(self):
        right = np.repeat([1, 0], 30)
        for order in (right, right[::-1]):
            self.assertAlmostEqual(calibration_error(np.full(60, 0.5), order), 0)
        self.assertAlmostEqual(calibration_error(np.repeat([0.2, 0.8], 30), right[::-1]), 0.2)
        self.assertAlmostEqual(calibration_error(np.array([0.25]), np.array([1])), 0.75)

    def test_knows_that_none_of_a_few_photos_is_not_none(self):
        labels = self.labels(*["food"] * 8)
        none, all_of = self.perfect(labels)["thresholds"][0], self.perfect(labels * 50)["thresholds"][0]
        self.assertEqual((none["human"], none["shown"], none["smallShown"], none["intervals"]["smallShown"]), (0.02, 0, None, None))
        self.assertEqual(none["intervals"]["shown"], [0, 0.4899])  # Wilson's of 4
        self.assertLess(all_of["intervals"]["shown"][1], 0.02)

    def test_counts_sources_as_folds_are_dealt(self):
        labels = [label | {"source": source} for label, source in zip(self.labels(*["food"] * 4), ("COCO a", "COCO b", "A/b", "a-b"))]
        self.assertEqual(self.perfect(labels)["sources"], 2)


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
