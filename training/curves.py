"""How training goes, as one page: python curves.py runs/fold0 runs/fold1 --out curves.html

Loss and rate by step, and what was measured on the sources held out, of every run that train.py has begun. The page
needs nothing else; open it in a browser. With --refresh it loads itself anew until all runs have ended.
"""

import argparse
import json
import math
from html import escape
from pathlib import Path

from data import CATEGORIES

FIGURES = {"categoryAccuracy": "category accuracy", "macroF1": "macro-F1", **{f"{name}.f1": f"F1 of {name}" for name in CATEGORIES},
           "categoryCalibrationError": "category calibration error", "humanAveragePrecision": "human: average precision",
           "shownAt0.04": "humans shown where 4 % are held back", "smallShownAt0.04": "small ones of these",
           "humanCalibrationError": "human calibration error", "peakInBox": "map's peak inside a person"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 680, 240, 48, 28, 12
COLOURS = 6


def read_run(folder: Path) -> dict:
    """`name`; `log`, an entry a step, ascending; `held`, the figures, or None before the end."""
    log, file = {}, folder / "log.jsonl"
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the last line of a run that was killed while it wrote
        # what was done again after an interruption counts once
        log = {step: kept for step, kept in log.items() if step < entry["step"]} | {entry["step"]: entry}
    try:
        held = json.loads((folder / "held-out.json").read_text())
    except (FileNotFoundError, ValueError):  # not written yet, or half of it by an earlier version
        held = None
    return {"name": folder.name, "log": list(log.values()), "held": held}


def page(runs: list[dict], refresh: int | None = None) -> str:
    running = any(not run["log"] or run["log"][-1]["step"] < run["log"][-1]["of"] for run in runs)
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh and running else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">{again}
<title>Training curves</title><style>{STYLE}</style></head><body><main>
<h1>Training</h1>
{_status(runs)}
<h2>Loss</h2><p>Mean of the last 20 steps, on augmented photos. Lower is better; it flattens towards the end.</p>
{_chart(runs, "loss", "loss")}
<h2>Rate</h2><p>Samples a second since the run was last started.</p>
{_chart(runs, "samplesPerS", "samples/s", zero=True)}
{_figures(runs)}
</main></body></html>
"""


def _chip(number: int) -> str:
    return f'<span class="chip" style="background:var(--run{number % COLOURS})"></span>'


def _status(runs) -> str:
    rows = []
    for number, run in enumerate(runs):
        last = run["log"][-1] if run["log"] else None
        if last is None:
            said = "not begun"
        elif last["step"] < last["of"]:
            said = f"{last['step'] / last['of']:.0%}, {last['etaMin']:.0f} min left"
        else:
            said = "done"
        bar = last["step"] / last["of"] * 100 if last else 0
        steps = f"{last['step']} of {last['of']}" if last else ""
        rows.append(f'<tr><th>{_chip(number)}{escape(run["name"])}</th><td><span class="bar"><i style="width:{bar:.0f}%;background:var(--run{number % COLOURS})">'
                    f"</i></span></td><td>{steps}</td><td>{said}</td><td>{last['loss'] if last else ''}</td></tr>")
    return f"<table><tr><th>run</th><th></th><th>steps</th><th></th><th>loss</th></tr>{''.join(rows)}</table>"


def _chart(runs, key: str, unit: str, zero: bool = False) -> str:
    values = [entry[key] for run in runs for entry in run["log"]]
    if not values:
        return "<p>Nothing yet: the first figures come after 20 steps.</p>"
    low, high = 0 if zero else min(values), max(values)
    # the first steps of a loss are far above all that matters later
    if not zero and len(values) > 20:
        high = min(high, sorted(values)[int(len(values) * 0.97)] * 1.15)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    most = max(run["log"][-1]["of"] for run in runs if run["log"])
    def x(step): return LEFT + (WIDTH - LEFT - 12) * step / most
    def y(value): return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (min(value, high) - low) / (high - low))
    parts = [f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 12}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
             f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>' for tick in ticks]
    parts += [f'<text x="{x(step):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{step:g}</text>' for step in _ticks(0, most) if step <= most]
    for number, run in enumerate(runs):
        shown = run["log"][::max(1, len(run["log"]) // 200)]
        if not shown:
            continue
        line = " ".join(f"{x(entry['step']):.1f},{y(entry[key]):.1f}" for entry in shown)
        parts.append(f'<polyline points="{line}" style="stroke:var(--run{number % COLOURS})"/>')
        parts += [f'<circle cx="{x(entry["step"]):.1f}" cy="{y(entry[key]):.1f}" r="6"><title>{escape(run["name"])}, step {entry["step"]}: '
                  f"{entry[key]:g} {unit}</title></circle>" for entry in shown]
    legend = " ".join(f"<span>{_chip(number)}{escape(run['name'])}</span>" for number, run in enumerate(runs) if run["log"])
    return (f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{unit} by step">{"".join(parts)}</svg>'
            f'<p class="legend">{legend}<span class="axis">{unit} by step</span></p>')


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that enclose low to high."""
    span = max(high - low, 1e-6)
    power = 10 ** math.floor(math.log10(span / 4))
    size = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 6)
    first, last = math.floor(low / size), math.ceil(high / size)
    return [round(size * n, 10) for n in range(first, max(last, first + 1) + 1)]


def _figures(runs) -> str:
    done = [(number, run) for number, run in enumerate(runs) if run["held"]]
    if not done:
        return "<h2>Held out</h2><p>The figures come when a run ends.</p>"
    head = "".join(f"<th>{_chip(number)}{escape(run['name'])}</th>" for number, run in done)
    sizes = "".join(f"<td>{run['held']['photos']} of {run['held']['sources']}</td>" for _, run in done)
    rows = [f"<tr><th>photos, of sources held out</th>{sizes}</tr>"]
    for key, name in FIGURES.items():
        cells = []
        for _, run in done:
            value = run["held"].get(key)
            cells.append(f"<td>{value[0]:.3f} <small>{value[1]:.3f} to {value[2]:.3f}</small></td>" if value else "<td>-</td>")
        rows.append(f"<tr><th>{name}</th>{''.join(cells)}</tr>")
    matrices = "".join(f"<figure><figcaption>{_chip(number)}{escape(run['name'])}: row is the label, column what was said</figcaption>"
                       f"{_confusion(run['held']['confusion'])}</figure>" for number, run in done)
    return ("<h2>Held out</h2><p>Each network on photos of sources that it never saw, before calibration. Small figures: 95 % of draws of "
            f'whole sources.</p><div class="wide"><table><tr><th></th>{head}</tr>{"".join(rows)}</table></div><div class="matrices">{matrices}</div>')


def _confusion(matrix: list[list[int]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in CATEGORIES)
    rows = "".join(f"<tr><th>{name}</th>{''.join(f'<td class=right>{n}</td>' if t == g else f'<td>{n}</td>' for g, n in enumerate(row))}</tr>"
                   for t, (name, row) in enumerate(zip(CATEGORIES, matrix)))
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


LIGHT, DARK = ("#2a78d6", "#c2571a", "#1b8f66", "#7a4fc0", "#b8860b", "#d0396f"), ("#5b9ff0", "#ee8a4c", "#40c093", "#a98af0", "#e0b23c", "#f0729c")
STYLE = (":root{color-scheme:light dark;--back:#fff;--ink:#1c1c1a;--soft:#66655f;--line:#e3e2dc;"
         + "".join(f"--run{n}:{colour};" for n, colour in enumerate(LIGHT)) + "}"
         "@media(prefers-color-scheme:dark){:root{--back:#191918;--ink:#f0efe9;--soft:#a3a29b;--line:#383835;"
         + "".join(f"--run{n}:{colour};" for n, colour in enumerate(DARK)) + "}}" """
body{background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif;margin:0}
main{max-width:760px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:24px;margin:0 0 12px}h2{font-size:17px;margin:32px 0 2px}p{margin:0 0 8px;color:var(--soft)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:500;padding:4px 14px 4px 0}td{padding:4px 14px 4px 0;white-space:nowrap}
tr{border-bottom:1px solid var(--line)}tr:first-child th{color:var(--soft);font-size:13px}small{color:var(--soft)}
.wide{overflow-x:auto}.chip{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:7px}
.bar{display:block;width:150px;height:8px;border-radius:4px;background:var(--line);overflow:hidden}.bar i{display:block;height:100%}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:12px}.grid{stroke:var(--line)}
polyline{fill:none;stroke-width:2;stroke-linejoin:round}circle{fill:transparent}circle:hover{fill:var(--ink);fill-opacity:.25}
.legend{font-size:13px;display:flex;flex-wrap:wrap;gap:4px 18px}.axis{margin-left:auto}
.matrices{display:flex;flex-wrap:wrap;gap:20px 40px;margin-top:20px}figure{margin:0}figcaption{font-size:13px;color:var(--soft)}
td.right{font-weight:600}
""")


def write(folders: list[Path], file: Path, refresh: int | None = None) -> None:
    partial = file.with_suffix(".tmp")
    partial.write_text(page([read_run(folder) for folder in folders], refresh))
    partial.replace(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders that train.py writes to")
    parser.add_argument("--out", type=Path, default=Path("curves.html"))
    parser.add_argument("--refresh", type=int, metavar="SECONDS", help="let the page load itself anew while a run is under way")
    args = parser.parse_args()
    write(args.runs, args.out, args.refresh)
    print(args.out)


if __name__ == "__main__":
    main()
