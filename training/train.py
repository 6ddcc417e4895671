"""Cached features → one trained network. Example: python train.py cache/photos cache/menus --out runs/fold0 --fold 0

Whole sources are held out (one part of --folds), never random photos; with --fold -1 none is. Stop at any time and
run the same command again: it goes on from the last checkpoint. Same seed, same cache and same thread count: same
network, on one kind of CPU; on a GPU one that differs in the last bits.
"""

import argparse
import json
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from data import CATEGORIES, UNKNOWN, assign_folds
from features import Features
from measure import measure, predict
from net import WIDTH_DEPTH, MaitredNet


class Samples:
    """The augmented samples of several caches that may be trained on, and the labels of their photos."""

    def __init__(self, caches: list[Path], folds: int, fold: int):
        self.parts = [Features(cache, "draws") for cache in caches]
        if len({part.pixels for part in self.parts}) > 1:
            raise SystemExit("some caches hold pixels and others features: name those of one kind")
        real = self.parts[0]
        held = np.flatnonzero(np.array(assign_folds(real.labels, folds)) == fold)
        # the photos of the first folder are the measure; rendered ones have no source that could leak
        self.held = [held if part.data == real.data else np.array([], int) for part in self.parts]
        self.index = np.concatenate([
            np.stack([np.full(len(kept), n), kept], 1)
            for n, part in enumerate(self.parts)
            for kept in [np.flatnonzero(~np.isin(part.photos, self.held[n]).any(1))]])

    def batch(self, rows: np.ndarray):
        """Features, category, human and map targets of the rows."""
        parts = [part.batch(at) for n, part in enumerate(self.parts) for at in [rows[rows[:, 0] == n, 1]] if len(at)]
        return [torch.cat(each) for each in zip(*parts)]


def loss_of(outputs, category, human, target):
    """`category` and `human`: ids [N], -1 where unknown; `target`: [N, S/16, S/16], the same."""
    logits, human_logit, map_logits, peak = outputs
    known = category != UNKNOWN
    total = logits.sum() * 0
    if known.any():
        total = total + F.cross_entropy(logits[known], category[known], label_smoothing=0.05)
    judged = human != UNKNOWN
    if judged.any():
        shows = human[judged].float()
        total = total + 1.5 * F.binary_cross_entropy_with_logits(human_logit[judged], shows)
        # the map must find the human by itself: it is what people are shown as the reason
        total = total + 0.5 * F.binary_cross_entropy_with_logits(peak[judged], shows)
    cells = target >= 0
    if cells.any():
        # the few cells with a person weigh as much as the many without
        weight = torch.where(target[cells] == 1, 1.0, 0.25)
        total = total + 0.5 * F.binary_cross_entropy_with_logits(map_logits[cells], target[cells], weight)
    return total


def distance_to(teachers: list[tuple], outputs) -> torch.Tensor:
    """From what the teachers say of the same samples, in the mean of their logits, labelled or not."""
    logits, human, human_map, _ = (torch.stack(each).mean(0) for each in zip(*teachers))
    category = F.kl_div(F.log_softmax(outputs[0] / SOFT, 1), F.softmax(logits / SOFT, 1), reduction="batchmean") * SOFT ** 2
    return (category + 1.5 * F.binary_cross_entropy_with_logits(outputs[1], torch.sigmoid(human))
            + 0.5 * F.binary_cross_entropy_with_logits(outputs[2], torch.sigmoid(human_map)))


SOFT = 2.0  # temperature at which the categories that are not the likeliest tell something too


def load_run(folder: Path, fold: int, folds: int) -> tuple[MaitredNet, dict]:
    """The averaged network of a run, and what it was trained with. Raises SystemExit where it was trained on what is held out here."""
    saved = torch.load(folder / "last.pt", map_location="cpu", weights_only=False)
    dealt = saved["args"]["folds"], saved["args"]["fold"]
    if fold >= 0 and dealt != (folds, fold):
        raise SystemExit(f"{folder}: held out part {dealt[1]} of {dealt[0]}, not part {fold} of {folds}")
    average = torch.optim.swa_utils.AveragedModel(MaitredNet(len(CATEGORIES), saved["args"]["trunk"]))
    average.load_state_dict(saved["average"])
    return average.module, saved["args"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("caches", type=Path, nargs="+", help="folders that features.py wrote; the first holds real photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--weights", required=True, help="ImageNet weights of the trunk (.pth); none: random ones, for tests")
    parser.add_argument("--start", type=Path, help="folder of a run of the same fold to go on from with other caches, instead of ImageNet's weights")
    parser.add_argument("--teacher", type=Path, nargs="+", default=[], help="runs of the same fold, on pixels, whose mean is learnt from beside the labels")
    parser.add_argument("--trunk", choices=list(WIDTH_DEPTH), help="another EfficientNet than that of the caches, which must hold pixels")
    parser.add_argument("--draws", type=int, default=30_000, help="samples seen in all")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--folds", type=int, default=3, help="parts that the sources are dealt into")
    parser.add_argument("--fold", type=int, default=0, help="the part that is held out; -1: none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="cores; two runs of one core beat one run of two")
    parser.add_argument("--every", type=int, default=100, help="steps from one checkpoint to the next")
    args = parser.parse_args()
    try:
        train(args)
    except (RuntimeError, MemoryError) as fault:
        if not isinstance(fault, (torch.OutOfMemoryError, MemoryError)) and not WANT_OF_MEMORY.search(str(fault)):
            raise
        raise SystemExit(f"{fault}\nthere is too little memory for --batch {args.batch}: try --batch {max(1, args.batch // 2)}; or, where several "
                         "networks train side by side, fewer of them (make.py --jobs)")


# what PyTorch has no error of its own for: the allocator of CPUs, and the libraries of CUDA
WANT_OF_MEMORY = re.compile("can't allocate memory|ALLOC_FAILED")


def multiplies_in_16_bits() -> bool:
    """Whether this CPU has bfloat16 products of its own; where they are emulated they take longer than in 32 bits."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    samples = Samples(args.caches, args.folds, args.fold)
    about = json.loads((args.caches[0] / "about.json").read_text())
    whole = about["pixels"]
    trunk = args.trunk or about["trunk"]
    if not whole and (trunk != about["trunk"] or args.teacher):
        raise SystemExit("--trunk and --teacher need caches of pixels: features.py --pixels")
    print(f"{len(samples.index)} samples to train on, {len(samples.held[0])} photos of other sources held out, on {device}", flush=True)

    net = MaitredNet(len(CATEGORIES), trunk)
    if args.weights != "none":
        net.load_imagenet(args.weights)
    if args.start:
        net.load_state_dict(load_run(args.start, args.fold, args.folds)[0].state_dict())
    taught_by = [load_run(run, args.fold, args.folds) for run in args.teacher]
    teachers = [teacher.to(device, memory_format=torch.channels_last).eval() for teacher, _ in taught_by]
    net = net.to(device, memory_format=torch.channels_last)
    # new layers learn faster than those that know ImageNet; biases and scales do not decay
    groups = [{"params": [value for name, value in net.trained(whole) if (name[0] != "_", value.ndim > 1) == (fresh, decays)],
               "base": args.lr * (3.0 if fresh else 1.0), "weight_decay": 0.03 if decays else 0.0}
              for fresh in (False, True) for decays in (False, True)]
    optimizer = torch.optim.AdamW(groups, lr=args.lr)
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    steps, step = max(1, args.draws // args.batch), 0
    checkpoint = args.out / "last.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=False)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
        torch.set_rng_state(saved["rng"].cpu())
        if device == "cuda":
            torch.cuda.set_rng_state_all([state.cpu() for state in saved["cudaRng"]])

    begun, first, losses = time.time(), step, []
    order = np.random.default_rng(args.seed)
    passes = math.ceil(steps * args.batch / len(samples.index))
    rows = np.concatenate([order.permutation(samples.index) for _ in range(passes)])
    net.train()
    reader = ThreadPoolExecutor(1)  # reads the next batch meanwhile

    def read(step: int):
        return reader.submit(samples.batch, rows[step * args.batch:(step + 1) * args.batch])

    def outputs_of(net: MaitredNet, kept: torch.Tensor):
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda" or multiplies_in_16_bits()):
            return net.rest(net.stem(kept) if whole else kept)

    coming = read(step)
    while step < steps:
        lr = min((step + 1) / (0.06 * steps + 1), 0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-3
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * lr
        features, category, human, target = (each.to(device) for each in coming.result())
        if step + 1 < steps:
            coming = read(step + 1)
        features = features.float().contiguous(memory_format=torch.channels_last)
        outputs = outputs_of(net, features)
        loss = loss_of(outputs, category, human, target)
        if teachers:
            with torch.no_grad():
                taught = [outputs_of(teacher, features) for teacher in teachers]
            loss = 0.5 * loss + distance_to(taught, outputs)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([value for _, value in net.trained(whole)], 5.0)
        optimizer.step()
        average.update_parameters(net)
        step += 1
        losses.append(loss.detach())
        if step % 20 == 0 or step == steps:
            rate = (step - first) / (time.time() - begun)
            entry = {"step": step, "of": steps, "loss": round(torch.stack(losses[-20:]).mean().item(), 4),
                     "samplesPerS": round(rate * args.batch, 1), "etaMin": round((steps - step) / rate / 60, 1)}
            print(json.dumps(entry), flush=True)
            with open(args.out / "log.jsonl", "a") as log:
                log.write(json.dumps(entry) + "\n")
        if step % args.every == 0 or step == steps:
            partial = {"net": net.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
                       "step": step, "rng": torch.get_rng_state(), "cudaRng": torch.cuda.get_rng_state_all() if device == "cuda" else [], "args": vars(args) | {
                           "trunk": trunk, "side": about["side"], "taughtBy": [f"efficientnet-{how['trunk']}, {how['draws']} draws" for _, how in taught_by]}}
            torch.save(partial, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)

    held = samples.held[0]
    if not len(held):
        return
    plain = Features(args.caches[0], "plain")
    scores = predict(average.module, plain, held, device)
    torch.save({"scores": scores, "photos": [(0, int(photo)) for photo in held]}, args.out / "held-out.pt")
    labels = [plain.labels[photo] for photo in held]
    report = measure(F.softmax(scores["category"], 1).numpy(), torch.sigmoid(scores["human"]).numpy(), scores["peak"].numpy(), labels)
    (args.out / "held-out.json").write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1), flush=True)


if __name__ == "__main__":
    main()
