"""What make.py does of a folder of work: anew, once, or not at all."""

import argparse
import contextlib
import io
import os
import shutil
import subprocess

import make
from fixtures import HERE, SIDE, Made, asked, done, script
from make import describe, place
from plan import fingerprint
from steps import Step, Work


class Make(Made):
    def test_stops_when_told_and_goes_on_from_there(self):
        self.assertEqual(self.stopped, (130, False))
        self.assertIn("check: done before", self.made.stdout)
        self.assertIn("render: done before", self.made.stdout)
        self.assertIn("features-photos: goes on", self.made.stdout)

    def test_does_nothing_the_second_time(self):
        def files():
            return {path: path.stat().st_mtime_ns for path in (*self.work.glob("runs/*/last.pt"), self.out / "model.onnx")}
        before = files()
        again = subprocess.run(script("make.py", *self.options), capture_output=True, text=True, check=True)
        self.assertEqual(files(), before)
        self.assertEqual(len(before), 5)
        self.assertNotIn("begins", again.stdout)
        self.assertIn("final: done before", again.stdout)

    def test_does_anew_what_depends_on_a_changed_setting_and_no_more(self):
        def plan(*more):
            lines = done(make, *self.options, *more, "--dry-run").splitlines()
            return {line.split()[0] for line in lines if line.endswith("settings changed: anew")}
        training = {"fold0", "fold1", "fold2", "final", "export"} | ({"verify"} if (self.work / "verified").exists() else set())
        self.assertEqual(plan(), set())
        self.assertEqual(plan("--samples", "96"), training)
        self.assertEqual(plan("--recall", "1"), training)
        self.assertEqual(plan("--mosaics", "12"), training | {"features-mosaics", "recall-lite0"})
        self.assertEqual(plan("--rendered", "4"), training | {"render", "features-rendered", "features-turned-rendered", "recall-lite0"})

    def test_does_anew_what_was_made_of_a_photo_that_other_bytes_took_the_place_of(self):
        photos = shutil.copytree(self.photos, self.root / "replaced")
        before, file = fingerprint(photos), photos / "0-food.jpg"
        self.assertEqual(before, fingerprint(photos))
        bytes_before, then = file.read_bytes(), file.stat().st_mtime_ns
        file.write_bytes(bytes_before[::-1])
        os.utime(file, ns=(then, then + 1_000_000))
        self.assertNotEqual(before, fingerprint(photos))

    def test_ends_where_labels_change_meanwhile_and_does_anew_what_depends_on_them(self):
        photos, work = shutil.copytree(self.photos, self.root / "nightly"), self.root / "nightly-work"
        options = [photos, self.root / "nightly-1", "--work", work, "--weights", self.weights, "--detector", self.detector, "--side", SIDE, "--draws", 45, "--rendered", 0, "--jobs", 1]
        run = subprocess.Popen(script("make.py", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = (photos / "labels.jsonl").read_text().splitlines(keepends=True)
        for line in run.stdout:
            if line.startswith("features-photos: begins"):
                (photos / "labels.jsonl").write_text("".join(reversed(lines)))
        self.assertIn("have changed since this began: run the same command again", run.stderr.read())
        self.assertEqual(run.wait(), 1)
        run.stdout.close(), run.stderr.close()
        planned = done(make, *options, "--dry-run")
        self.assertRegex(planned, r"check .*: anew\n")
        self.assertRegex(planned, r"features-photos .*: anew\n")

    def test_leaves_the_model_in_place_that_it_made_where_it_would_be_another_now(self):
        refused = asked(make, *self.options, "--samples", "96")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("would be another model now", refused.stderr)
        self.assertNotIn("begins", refused.stdout)

    def test_leaves_a_model_alone_that_it_did_not_make(self):
        other = self.root / "other-1"
        other.mkdir()
        with contextlib.chdir(self.root):
            refused = asked(make, *("other-1" if each == self.out else each for each in self.options))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("name another version", refused.stderr)

    def test_puts_a_model_in_place_of_another_as_a_whole(self):
        made, out = self.root / "made", self.root / "placed" / "tiny-2"
        made.mkdir()
        for version in ("first", "second"):
            (made / "model.json").write_text(version)
            place(made, out, Work(self.root / "placing"))
            self.assertEqual([(each.name, (each / "model.json").read_text()) for each in out.parent.iterdir()], [("tiny-2", version)])

    def test_refuses_weights_of_another_network_before_anything_is_done(self):
        other = self.root / "text.pth"
        other.write_text("weights")
        for option, file, trunk in (("--weights", self.weights, "lite1"), ("--weights", self.weights, "lite2"), ("--weights", other, "lite0"),
                                    ("--teacher-weights", self.weights, "lite2")):
            trunks = ["--teacher", trunk] if option == "--teacher-weights" else ["--trunk", trunk]
            refused = asked(make, self.photos, self.root / "none-1", "--pixels", "--dry-run", option, file, *trunks, "--work", self.root / "none")
            self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)
            self.assertRegex(refused.stderr, rf"{option} .*{file.name}: expected the ImageNet weights of efficientnet-{trunk}")
        refused = asked(make, self.photos, self.root / "none-1", "--dry-run", "--detector", self.weights, "--work", self.root / "none")
        self.assertEqual(refused.returncode, 2, refused.stdout + refused.stderr)
        self.assertIn(f"--detector {self.weights}: expected the detector's weights, 7476934 bytes", refused.stderr)
        self.assertFalse((self.root / "none").exists())

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
