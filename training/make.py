"""From a labelled folder to a verified model folder: python make.py ../photos ../models/ours-1

check the photos, fetch ImageNet weights, render menus, run the frozen layers once, train a network for each part
of the sources that is held out (they give the figures) and one on everything (it ships), export, verify. Stop it at any
time (Ctrl-C) and run it again: what is done is skipped, what was interrupted goes on, and what depends on a changed
setting is done anew. The same photos, seed and --jobs give the same network, on CPUs of one kind.
"""

import fcntl
import json
import shutil
import signal
import time
from pathlib import Path

import weights
from arguments import read_arguments
from plan import corrections_digest, disk_bytes, fingerprint, plan
from steps import Step, Work, minutes_text, run_together, say


def found_gpu() -> str | None:
    """The name of the one that PyTorch trains on. Says so where there is one that it cannot use."""
    if not shutil.which("nvidia-smi"):
        return None
    import torch  # which takes seconds

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    print("there is an NVIDIA GPU, and this PyTorch cannot use it: a build with CUDA trains in minutes")
    return None


def describe(args, work: Work, stages: list[list[Step]], gpu: str | None) -> None:
    """Prints what there is to do, and about how long it takes; of what a `gpu` does that is known once it has begun."""
    total, unknown = 0.0, False
    print(f"plan, in minutes on {args.jobs} cores like those it was measured on:")
    for stage in stages:
        for step in stage:
            state = work.state(step)
            word = {"done": "done before", "begun": "goes on", "changed": "settings changed: anew", "new": ""}[state]
            minutes = "-" if state == "done" else "?" if gpu and step.on_gpu else f"{step.minutes:.1f}"
            print(f"  {step.name:25} {minutes:>6}  {word}")
        todo = [step for step in stage if work.state(step) != "done"]
        unknown = unknown or any(gpu and step.on_gpu for step in todo)
        total += max((step.minutes for step in todo if not (gpu and step.on_gpu)), default=0)
    print(f"  about {minutes_text(total)} in all" + (f", and what {gpu} takes for the others: each tells its progress once it has begun" if unknown else ""))
    if not args.malloc and not gpu:
        print("  libtcmalloc_minimal is not there: on a CPU training takes 1.6 times as long without (Debian: apt install libtcmalloc-minimal4)")
    need = disk_bytes(args, fingerprint(args.photos)[0])
    used = sum(file.stat().st_blocks * 512 for file in work.folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(work.folder).free + used
    print(f"  {need / 1e9:.1f} GB of disk in {work.folder}\n", flush=True)
    if free < need:
        raise SystemExit(f"{work.folder}: {free / 1e9:.1f} GB are free there: name another folder by --work, or fewer --draws")


def place(exported: Path, out: Path, work: Work) -> None:
    """Copies the verified model to where it was asked for."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, former = (out.with_name(f".{out.name}.{part}") for part in ("partial", "former"))
    for each in (partial, former):
        shutil.rmtree(each, ignore_errors=True)
    shutil.copytree(exported, partial)
    if out.exists():
        out.rename(former)
    (work.folder / "placed.json").write_text(json.dumps({"out": str(out.resolve()), "sha256": weights.sha256(partial / "model.json")}))
    partial.rename(out)
    shutil.rmtree(former, ignore_errors=True)


def refuse_another(out: Path, work: Work, export: Step) -> None:
    """Workers refuse a model that is not the one that was promoted by this name, and its weights would be nowhere any more."""
    if out.exists() and not (work.state(export) == "done" and weights.sha256(export.makes / "model.json") == weights.sha256(out / "model.json")):
        raise SystemExit(f"{out} is there, and would be another model now: name another version (--work {work.folder} keeps what is done), or --replace it")


def refuse_others(out: Path, work: Work) -> None:
    """A model that was not made from this work folder is never overwritten."""
    placed = work.folder / "placed.json"
    kept = json.loads(placed.read_text()) if placed.exists() else {}
    ours = kept.get("out") == str(out.resolve()) and (out / "model.json").exists() and weights.sha256(out / "model.json") == kept["sha256"]
    if out.exists() and not ours:
        raise SystemExit(f"{out} is there, and was not made from {work.folder}: name another version")


def main() -> None:
    args = read_arguments(__doc__)
    work = Work(args.work)
    lock = open(args.work / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"{args.work}: another make.py works there, or a step that one left behind: wait for it, or end it")
    work.kept_open = (lock.fileno(),)
    refuse_others(args.out, work)
    stages = plan(args, args.work)
    describe(args, work, stages, found_gpu())
    if args.dry_run:
        return
    steps = {step.name: step for stage in stages for step in stage}
    if not args.replace:
        refuse_another(args.out, work, steps["export"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    import curves  # with PyTorch, which takes seconds: not for --help

    runs = [step.makes for step in steps.values() if step.makes.parent.name == "runs"]
    drawn = 0.0

    def draw(now: bool = False) -> None:
        nonlocal drawn
        if now or time.monotonic() - drawn > 10:
            curves.write(runs, args.work / "curves.html", None if now else 20)
            drawn = time.monotonic()

    def refuse_changed() -> None:
        if [fingerprint(args.photos)[1], corrections_digest()] != [steps["check"].settings[key] for key in ("photos", "corrections")]:
            raise SystemExit(f"\n{args.photos}: labels, corrections or photos have changed since this began: run the same command again, which does anew what depends on them")

    say(f"learning curves: {args.work / 'curves.html'}")
    try:
        for stage in stages:
            run_together(work, stage, draw, refuse_changed)
            if stage[0].name in ("check", "verify"):
                print(work.log(stage[0]).read_text())
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
        raise SystemExit(130)
    finally:
        draw(now=True)
    if "verify" not in steps:
        print("not verified by maitred, which needs node and `npm ci`: only export.py has checked the graphs")
    exported = steps["export"].makes
    if not args.out.exists() or weights.sha256(args.out / "model.json") != weights.sha256(exported / "model.json"):
        place(exported, args.out, work)
    print(f"""the model is in {args.out}: card.md says what was measured, {args.work / 'curves.html'} how it learnt
to look at it, from the root of the repository, on photos of sources that it was not trained on:
  MAITRED_MODEL={args.out.resolve()} node bin/maitred.js classify PHOTOS
  node bin/maitred.js evaluate --model {args.out.resolve()} --compare restaurant-6 --out report LABELLED-PHOTOS""")


if __name__ == "__main__":
    main()
