"""Learning curves."""

import json
import tempfile
import unittest
from pathlib import Path

import curves


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
