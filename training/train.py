"""Labelled folder → checkpoint. Example: python train.py ../photos --out runs/a --draws 48000

Whole sources are held out (one part of ten), never random photos. Stop at any time and run the same
command again: it goes on from the last checkpoint. Same seed and thread count, same draws.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Sampler

from data import CATEGORIES, Photos, assign_folds, draw_weights, read_labels
from measure import measure, predict
from net import MaitredNet

# share of the draws, pixels: small first (cheap), the shipped side last
SIDES = [(0.35, 192), (0.35, 224), (0.30, 256)]


class Draws(Sampler):
    """(photo index, draw number) pairs for batches `first`.. of a stage; the same for the same seed."""

    def __init__(self, weights, batches, batch, seed):
        generator = torch.Generator().manual_seed(seed)
        self.draws = torch.multinomial(weights, batches * batch, replacement=True, generator=generator).tolist()
        self.seed = seed

    def __iter__(self):
        return iter((index, self.seed * 10_000_019 + n) for n, index in enumerate(self.draws))

    def __len__(self):
        return len(self.draws)


def loss_of(outputs, category, human, target):
    logits, human_logit, map_logits = outputs
    total = logits.sum() * 0
    if (category >= 0).any():
        total = total + F.cross_entropy(logits[category >= 0], category[category >= 0], label_smoothing=0.05)
    known = human >= 0
    if known.any():
        total = total + 1.5 * F.binary_cross_entropy_with_logits(human_logit[known], human[known].float())
    cells = target >= 0
    if cells.any():
        # the few cells with a person weigh as much as the many without
        weight = torch.where(target[cells] == 1, 1.0, 0.25)
        total = total + 0.5 * F.binary_cross_entropy_with_logits(map_logits[cells], target[cells], weight)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with labels.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--weights", required=True, help="ImageNet weights of the trunk (.pth)")
    parser.add_argument("--trunk", default="lite0", choices=["lite0", "lite1", "lite2"])
    parser.add_argument("--draws", type=int, default=48_000, help="photos seen in all")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--folds", type=int, default=10, help="parts that the sources are dealt into")
    parser.add_argument("--fold", type=int, default=0, help="the part that is held out; -1: none")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loaders", type=int, default=1, help="processes that decode and augment")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    labels = read_labels(args.data)
    folds = assign_folds(labels, args.folds)
    train = [label for label, fold in zip(labels, folds) if fold != args.fold]
    held = [label for label, fold in zip(labels, folds) if fold == args.fold]
    print(f"{len(train)} photos to train on, {len(held)} of other sources held out, on {device}", flush=True)

    net = MaitredNet(len(CATEGORIES), args.trunk)
    net.load_imagenet(args.weights)
    net = net.to(device, memory_format=torch.channels_last)
    decay = [p for p in net.parameters() if p.ndim > 1]
    rest = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0.0}], lr=args.lr)
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.997), use_buffers=True)
    stages = [(max(1, round(args.draws * share / args.batch)), side) for share, side in SIDES]
    steps, step = sum(count for count, _ in stages), 0
    checkpoint = args.out / "last.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device)
        net.load_state_dict(saved["net"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        step = saved["step"]
        print(f"going on from step {step} of {steps}", flush=True)

    data = Photos(args.data, train, SIDES[0][1], augment=True, seed=args.seed)
    begun, first, done = time.time(), step, 0
    for stage, (count, side) in enumerate(stages):
        skip = min(max(step - done, 0), count)
        done += count
        if skip == count:
            continue
        data.side = side
        draws = Draws(draw_weights(train), count, args.batch, args.seed * 100 + stage)
        draws.draws = draws.draws[skip * args.batch:]
        loader = DataLoader(data, args.batch, sampler=draws, num_workers=args.loaders, drop_last=True)
        net.train()
        for pixels, category, human, target in loader:
            lr = args.lr * min((step + 1) / (0.06 * steps + 1), 0.5 + 0.5 * math.cos(math.pi * step / steps)) + 1e-6
            for group in optimizer.param_groups:
                group["lr"] = lr
            pixels = pixels.to(device, memory_format=torch.channels_last).float()
            with torch.autocast(device, dtype=torch.bfloat16):
                outputs = net(pixels)
            loss = loss_of(outputs, category.to(device), human.to(device), target.to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            average.update_parameters(net)
            step += 1
            if step % 10 == 0:
                rate = (step - first) / (time.time() - begun)
                entry = {"step": step, "of": steps, "side": side, "loss": round(loss.item(), 4),
                         "photosPerS": round(rate * args.batch, 1), "etaMin": round((steps - step) / rate / 60, 1)}
                print(json.dumps(entry), flush=True)
            if step % 150 == 0 or step == steps:
                partial = {"net": net.state_dict(), "average": average.state_dict(),
                           "optimizer": optimizer.state_dict(), "step": step, "args": vars(args)}
                torch.save(partial, checkpoint.with_suffix(".tmp"))
                checkpoint.with_suffix(".tmp").replace(checkpoint)

    scores = predict(average.module, Photos(args.data, held, SIDES[-1][1], augment=False), device)
    report = measure(scores, held)
    (args.out / "held-out.json").write_text(json.dumps(report, indent=1))
    torch.save({"scores": scores, "held": held}, args.out / "held-out.pt")
    print(json.dumps(report, indent=1), flush=True)


if __name__ == "__main__":
    main()
