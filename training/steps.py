"""Steps of a long job, each done once: what it was done with is kept beside the result, and what changed is done again."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
SHOWN_S, POLL_S = 30, 0.2


@dataclass
class Step:
    """`settings` are all that its result depends on, the steps in `after` aside. `makes` is deleted before a step is done anew."""
    name: str
    command: list[str]
    makes: Path
    settings: dict
    minutes: float
    after: list["Step"] = field(default_factory=list)
    env: dict = field(default_factory=dict)
    on_gpu: bool = False  # where PyTorch finds one, `minutes` say nothing

    def digest(self) -> str:
        known = self.settings | {"after": [step.digest() for step in self.after]}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


class Work:
    """The folder of a job: a marker and a log for each of its steps."""

    def __init__(self, folder: Path):
        self.folder = folder
        # descriptors that the steps hold too, such as that of a lock: it is free once the last of them has ended
        self.kept_open: tuple[int, ...] = ()
        for part in ("steps", "logs"):
            (folder / part).mkdir(parents=True, exist_ok=True)

    def log(self, step: Step) -> Path:
        return self.folder / "logs" / f"{step.name}.log"

    def state(self, step: Step) -> str:
        """done, begun (it can be gone on from), changed (it was made with other settings), or new."""
        marker = self._marker(step)
        if not marker.exists():
            return "new"
        kept = json.loads(marker.read_text())
        if kept["digest"] != step.digest():
            return "changed"
        if kept["done"]:
            return "done" if step.makes.exists() else "new"
        return "begun"

    def begin(self, step: Step) -> subprocess.Popen:
        state = self.state(step)
        if state != "begun":
            shutil.rmtree(step.makes, ignore_errors=True)
        self._mark(step, done=False)
        with open(self.log(step), "a" if state == "begun" else "w") as log:
            return subprocess.Popen(step.command, cwd=HERE, env=os.environ | step.env, stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=subprocess.STDOUT, pass_fds=self.kept_open)

    def end(self, step: Step) -> None:
        step.makes.mkdir(parents=True, exist_ok=True)
        self._mark(step, done=True)

    def _marker(self, step: Step) -> Path:
        return self.folder / "steps" / f"{step.name}.json"

    def _mark(self, step: Step, done: bool) -> None:
        partial = self._marker(step).with_suffix(".tmp")
        kept = {"done": done, "digest": step.digest(), "settings": step.settings, "after": [each.name for each in step.after]}
        partial.write_text(json.dumps(kept, indent=1))
        partial.replace(self._marker(step))


def run_together(work: Work, steps: list[Step], tick: Callable[[], None], refuse_changed: Callable[[], None]) -> None:
    """Runs those of `steps` that are not done, side by side, with a line of progress; `tick` is called now and then.
    `refuse_changed` raises where what they read is not what they were planned for: no step begins or counts as done then.
    Raises SystemExit with the end of the log where one fails. However it is left, no step is running then."""
    todo = [step for step in steps if work.state(step) != "done"]
    for step in steps:
        if step not in todo:
            say(f"{step.name}: done before, with the same settings")
    begun, shown, last = time.monotonic(), 0.0, ""
    running = {}
    try:
        if todo:
            refuse_changed()
        for step in todo:
            verb = "goes on" if work.state(step) == "begun" else "begins"
            running[step.name] = (step, work.begin(step))
            say(f"{step.name}: {verb}")
        while running:
            time.sleep(POLL_S)
            for name, (step, process) in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[name]
                refuse_changed()
                if code:
                    raise SystemExit(failure(work, step, code))
                work.end(step)
                say(f"{name}: done in {minutes_text((time.monotonic() - begun) / 60)}")
            tick()
            line = "   ".join(f"{name} {progress(work.log(step))}" for name, (step, _) in running.items())
            often = 1 if sys.stdout.isatty() else SHOWN_S
            if line and line != last and time.monotonic() - max(shown, begun) > often:
                shown, last = time.monotonic(), line
                say(line, passing=True)
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()


def say(line: str, passing: bool = False) -> None:
    """Prints a line; on a terminal the next one replaces one that is `passing`."""
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="" if passing else "\n", flush=True)
    else:
        print(line, flush=True)


def progress(log: Path) -> str:
    """What the last line of JSON in a log says, such as `35 %, 12 min left`."""
    for line in reversed(tail(log, 20)):
        try:
            entry = json.loads(line)
            share = f"{next(iter(entry.values())) / entry['of']:.0%}"
            return share + (f", {minutes_text(entry['etaMin'])} left" if "etaMin" in entry else "")
        except (ValueError, AttributeError, KeyError, TypeError):
            continue
    return "..."


def failure(work: Work, step: Step, code: int) -> str:
    ending = "\n".join(f"  {line}" for line in tail(work.log(step), 30))
    return f"\n{step.name} failed with {code}. All of it: {work.log(step)}\n{ending}\nOnce that is put right, the same command goes on from here."


def tail(log: Path, lines: int) -> list[str]:
    with open(log, "rb") as opened:
        opened.seek(max(0, log.stat().st_size - 8_000))
        return opened.read().decode(errors="replace").splitlines()[-lines:]


def minutes_text(minutes: float) -> str:
    return f"{minutes * 60:.0f} s" if minutes < 1.5 else f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def code_digest(*files: str) -> str:
    """Of what the files do: another comment or line break changes nothing."""
    parts = []
    for file in files:
        text = (HERE / file).read_text()
        parts.append(ast.dump(ast.parse(text)) if file.endswith(".py") else text)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
