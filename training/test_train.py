"""Training: resumed, repeated, gone on from, and what it must not see."""

import resource
import signal
import subprocess
import time
import unittest

import numpy as np
import torch

import make
import reopen
import tell
import train
from fixtures import SIDE, Made, asked, done, network, script
from net import MaitredNet, Recall, SameConv
from samples import Samples
from train import begun_with, load_run


class Train(Made):
    def test_gives_the_same_network_for_the_same_seed(self):
        done(train, *self.train("again", "--fold", 0))
        done(train, *self.train("else", "--fold", 0, "--seed", 2))
        self.assertEqual(network(self.root / "again"), network(self.work / "runs" / "fold0"))
        self.assertNotEqual(network(self.root / "else"), network(self.root / "again"))

    def test_resumes_a_killed_training_to_the_same_network(self):
        more = "--fold", 0, "--batch", 6, "--every", 2
        run = subprocess.Popen(script("train.py", *self.train("killed", *more)), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while not (self.root / "killed" / "last.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        run.kill()
        self.assertEqual(run.wait(), -signal.SIGKILL)
        self.assertLess(torch.load(self.root / "killed" / "last.pt", weights_only=False)["step"], 12)
        done(train, *self.train("killed", *more))
        done(train, *self.train("whole", *more))
        self.assertEqual(network(self.root / "killed"), network(self.root / "whole"))

    def test_says_what_to_do_where_memory_is_too_small(self):
        # address space for PyTorch and a batch or two, of 100,000 samples at once
        failed = subprocess.run(script("train.py", *self.train("vast", "--fold", 0, "--batch", 100_000)), capture_output=True, text=True,
                                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)))
        self.assertEqual(failed.returncode, 1)
        self.assertIn("too little memory for --batch 100000: try --batch 50000", failed.stderr)
        self.assertNotIn("Traceback", failed.stderr)

    def test_goes_on_from_a_run_that_held_out_the_same_part_and_from_no_other(self):
        start = "--start", self.work / "runs" / "fold0"
        done(train, *self.train("further", "--fold", 0, *start, "--lr", 0))
        self.assertEqual(network(self.root / "further"), network(self.work / "runs" / "fold0"))
        refused = asked(train, *self.train("leak", "--fold", 1, *start))
        self.assertEqual(refused.returncode, 1)
        self.assertIn("held out part 0 of 3, not part 1 of 3", refused.stderr)

    def test_gives_the_weights_of_a_model_folder_back_to_train_on_from(self):
        file = self.root / "tiny-1.pth"
        # of others than those that it was trained on from nothing is left but how the folded is told apart
        torch.manual_seed(1)
        other = {key: value if value.ndim == 0 else torch.rand_like(value) + 0.5 for key, value in torch.load(self.weights).items()}
        other["_blocks.0._bn1.weight"][0] = 0
        torch.save(other, self.root / "other.pth")
        done(reopen, self.out, "--out", file, "--imagenet", self.root / "other.pth")
        reopened, shipped = MaitredNet(4), load_run(self.work / "runs" / "final")[0].eval()
        reopened.load_imagenet(str(file))
        begun = begun_with(str(file), "lite0")
        self.assertEqual((begun["weights"], begun["trainedFrom"]["photos"]), ("weights of tiny-1", 45))
        pixels = torch.randint(0, 256, (4, 3, SIDE, SIDE)).float()
        with torch.inference_mode():
            for ours, theirs in zip(reopened.eval()(pixels), shipped(pixels)):
                torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)
        again = self.train("reopened", "--fold", 0, "--lr", 0, "--draws", 24)
        again[again.index("--weights") + 1] = file
        done(train, *again)
        torch.testing.assert_close(load_run(self.root / "reopened")[0].state_dict()["category.weight"], reopened.state_dict()["category.weight"])
        instead = {self.weights: file, self.work: self.root / "on", self.out: self.root / "on-1"}
        planned = done(make, *(instead.get(each, each) for each in self.options), "--dry-run")
        self.assertIn("recall-lite0", planned)
        (self.root / "empty-1").mkdir()
        refused = asked(reopen, self.root / "empty-1", "--out", file)
        self.assertIn("expected a model folder, there is no model.json", refused.stderr)
        refused = asked(tell, self.root / "none.pth", *self.caches, "--out", self.root / "none")
        self.assertIn("none.pth: expected a folder that train.py wrote, or a file of weights", refused.stderr)

    def test_forgets_less_of_what_imagenet_taught_the_more_that_counts(self):
        imagenet = self.work / "recall-lite0"
        samples = Samples(self.caches, 3, 0, recall=imagenet)
        *_, pooled = samples.batch(samples.index[:24])
        forgot = {}
        for weight in (0, 20):
            out = self.root / f"recall{weight}"
            done(train, *self.train(out.name, "--fold", 0, "--recall-weight", weight, "--lr", 2e-3))
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
            refused = asked(train, *self.train("untold", "--fold", 0, *told))
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
