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

from data import CATEGORIES, UNKNOWN
from features import Features, read_about
from measure import measure, peak_of, predict
from net import MODEL, WIDTH_DEPTH, MaitredNet, Recall, in_16_bits
from samples import Samples, refuse_leak
from weights import SHA256, sha256


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


def distance_to(told, outputs) -> torch.Tensor:
    """From what teachers said of the same samples, labelled or not: logits of categories, human and map."""
    logits, human, human_map = told
    category = F.kl_div(F.log_softmax(outputs[0] / SOFT, 1), F.softmax(logits / SOFT, 1), reduction="batchmean") * SOFT ** 2
    return (category + 1.5 * F.binary_cross_entropy_with_logits(outputs[1], torch.sigmoid(human))
            + 0.5 * F.binary_cross_entropy_with_logits(outputs[2], torch.sigmoid(human_map)))


SOFT = 2.0  # temperature at which the categories that are not the likeliest tell something too


def load_run(folder: Path) -> tuple[MaitredNet, dict]:
    """The averaged network of a run, and what it was trained with."""
    saved = torch.load(folder / "last.pt", map_location="cpu", weights_only=False)
    average = torch.optim.swa_utils.AveragedModel(MaitredNet(len(CATEGORIES), saved["args"]["trunk"]))
    average.load_state_dict(saved["average"])
    return average.module, saved["args"]


def begun_with(weights: str, trunk: str) -> dict:
    """What training begins with: `weights` in words and, where these learnt from photos of others before, `trainedFrom`: what is known of that."""
    if weights == "none":
        return {"weights": "random weights"}
    digest = sha256(Path(weights))
    if digest == SHA256[trunk]:
        return {"weights": "ImageNet weights (Apache-2.0)"}
    model = torch.load(weights, map_location="cpu").get(MODEL)
    if model:
        return {"weights": f"weights of {model['name']}", "trainedFrom": model["trainedFrom"]}
    return {"weights": f"weights of {Path(weights).name} (sha256 {digest[:12]})", "trainedFrom": {}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("caches", type=Path, nargs="+", help="folders that features.py wrote; the first holds real photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--weights", required=True, help="ImageNet weights of the trunk (.pth); none: random ones, for tests")
    parser.add_argument("--start", type=Path, help="folder of a run of the same fold to go on from with other caches, instead of ImageNet's weights")
    parser.add_argument("--told", type=Path, nargs="+", default=[], help="what teachers of the same fold say of the same samples (tell.py); their mean is learnt from beside the labels")
    parser.add_argument("--recall", type=Path, help="what ImageNet's weights of the trunk tell of the same samples (tell.py), which is not to be forgotten")
    parser.add_argument("--recall-weight", type=float, default=2.0, help="how much that counts in the loss (2)")
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


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    samples = Samples(args.caches, args.folds, args.fold, args.told, args.recall)
    about = read_about(args.caches[0])
    whole = about["pixels"]
    trunk = args.trunk or about["trunk"]
    if not whole and trunk != about["trunk"]:
        raise SystemExit(f"--trunk {trunk} needs caches of it, or of pixels: features.py --trunk {trunk}, or --pixels")
    if samples.recalls not in (None, trunk):
        raise SystemExit(f"{args.recall}: tells what {samples.recalls} knows, and {trunk} is to be trained: run tell.py --trunk {trunk}")
    print(f"{len(samples.index)} samples to train on, {len(samples.held[0])} photos of other sources held out, on {device}", flush=True)

    net = MaitredNet(len(CATEGORIES), trunk)
    if args.weights != "none":
        net.load_imagenet(args.weights)
    recall = Recall(net).to(device, memory_format=torch.channels_last) if args.recall else torch.nn.Module()
    spread = samples.spread().to(device) if args.recall else None
    origin = begun_with(args.weights, trunk)
    if args.start:
        begun_as, how = load_run(args.start)
        refuse_leak(args.start, how, args.folds, args.fold)
        net.load_state_dict(begun_as.state_dict())
        before = how.get("begunWith", {"weights": "weights of which nothing is known"})
        origin = {"weights": f"weights of a run of {how['draws']} draws that began with {before['weights']}", "trainedFrom": before.get("trainedFrom", {})}
    net = net.to(device, memory_format=torch.channels_last)
    trained = [*net.trained(whole), *recall.named_parameters()]
    # new layers learn faster than those that know ImageNet; biases and scales do not decay
    groups = [{"params": [value for name, value in trained if (name[0] != "_", value.ndim > 1) == (fresh, decays)],
               "base": args.lr * (3.0 if fresh else 1.0), "weight_decay": 0.03 if decays else 0.0}
              for fresh in (False, True) for decays in (False, True)]
    optimizer = torch.optim.AdamW(groups, lr=args.lr)
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    steps, step = max(1, args.draws // args.batch), 0
    checkpoint = args.out / "last.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=False)
        net.load_state_dict(saved["net"])
        if bool(saved.get("recall")) != bool(args.recall):
            raise SystemExit(f"{args.out}: was begun {'with' if saved.get('recall') else 'without'} --recall: go on so, or name another --out")
        recall.load_state_dict(saved.get("recall", {}))
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

    coming = read(step)
    while step < steps:
        lr = min((step + 1) / (0.06 * steps + 1), 0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-3
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * lr
        features, category, human, target, *told = (each.to(device) for each in coming.result())
        if step + 1 < steps:
            coming = read(step + 1)
        features = features.float().contiguous(memory_format=torch.channels_last)
        with in_16_bits(device):
            middle, last = net.blocks(net.stem(features) if whole else features)
            outputs = net.heads(middle, last)
            recalled = recall(last) if args.recall else None
        loss = loss_of(outputs, category, human, target)
        if args.told:
            loss = 0.5 * loss + distance_to(told[:3], outputs)
        if args.recall:
            loss = loss + args.recall_weight * ((recalled - told[-1]).square() / spread).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([value for _, value in trained], 5.0)
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
            partial = {"net": net.state_dict(), "recall": recall.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
                       "step": step, "rng": torch.get_rng_state(), "cudaRng": torch.cuda.get_rng_state_all() if device == "cuda" else [], "args": vars(args) | {
                           "trunk": trunk, "side": about["side"], "taughtBy": samples.taught_by, "begunWith": origin}}
            torch.save(partial, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)

    held = samples.held[0]
    if not len(held):
        return
    plain = Features(args.caches[0], "plain")
    scores = predict(average.module, plain, held, device)
    torch.save({"scores": scores, "photos": [(0, int(photo)) for photo in held]}, args.out / "held-out.pt")
    labels = [plain.labels[photo] for photo in held]
    report = measure(F.softmax(scores["category"], 1).numpy(), torch.sigmoid(scores["human"]).numpy(), peak_of(torch.sigmoid(scores["map"])).numpy(), labels)
    partial = args.out / "held-out.tmp"
    partial.write_text(json.dumps(report, indent=1))
    partial.replace(args.out / "held-out.json")
    print(json.dumps(report, indent=1), flush=True)


if __name__ == "__main__":
    main()
