"""Renders training photos of menus, and of printed matter that a menu must not be confused with.

python menus.py OUT --menus 700 --documents 700 [--photos LABELLED-FOLDER] writes a labelled folder. Stop it at any time
and run it again with the same settings: it goes on.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from random import Random

from PIL import Image

import cards
import documents
import fonts
from copies import FIELDS, said_of
from data import open_photo, read_labels
from page import can_write, languages
from scene import photograph
from weights import sha256

Photos = list[Image.Image] | None


def render(rng: Random, kind: str, backgrounds: Photos) -> tuple[Image.Image, str]:
    """One photo, 320 to 400 pixels on its long side, and its layout's name. `kind` is menu or document. The same rng
    state, photos and fonts give the same picture. `backgrounds` serve as tables and as pictures on the page."""
    if kind == "document":
        layout = rng.choices(list(documents.LAYOUTS), documents.WEIGHTS)[0]
        page = documents.LAYOUTS[layout](rng, backgrounds)
        return photograph(rng, page.image, backgrounds, flat=documents.FLAT.get(layout, 0.2),
                          stiff=layout in documents.STIFF), layout
    layout = rng.choices(list(cards.LAYOUTS), cards.WEIGHTS)[0]
    page = cards.LAYOUTS[layout](rng, backgrounds)
    return photograph(rng, page.image, backgrounds, gloss=0.25, stiff=layout == "board"), layout


def _backgrounds(rng: Random, folder: Path, count: int = 250) -> list[Image.Image]:
    """Photos of food and rooms without people, small; none of which any label of the same bytes, however old, says something else."""
    pictures = defaultdict(list)
    for label in read_labels(folder):
        pictures[sha256(folder / label["file"])].append(label)
    usable = []
    for twins in pictures.values():
        said = {key: {said_of(label)[key] for label in twins} - {None} for key in FIELDS}
        if said["human"] == {False} and set() < said["category"] <= {"food", "ambience"}:
            usable.append(twins[0]["file"])
    photos = []
    for file in rng.sample(usable, min(count, len(usable))):
        photo = open_photo(folder / file, 480)
        photo.thumbnail((480, 480))
        photos.append(photo)
    return photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write the photos and labels.jsonl to")
    parser.add_argument("--menus", type=int, default=700, help="how many menus (700)")
    parser.add_argument("--documents", type=int, default=700, help="how many look-alikes (700)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other photos (1)")
    parser.add_argument("--photos", type=Path, help="labelled folder: its food and rooms without people become tables")
    args = parser.parse_args()
    rng = Random(args.seed)
    backgrounds = _backgrounds(rng, args.photos) if args.photos else None
    able = ", ".join(language for language in languages() if can_write(language))
    print(f"{len(fonts.found())} font files, enough for {able or 'boxes'}", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    start, begun = time.monotonic(), args.out / "labels.part"
    # the last line may be half of one
    whole = [line for line in (begun.read_text() if begun.exists() else "").splitlines(keepends=True) if line.endswith("\n")]
    begun.write_text("".join(whole))
    there = {json.loads(line)["file"] for line in whole}
    for kind, category, count in (("menu", "menu", args.menus), ("document", "other", args.documents)):
        folder = args.out / kind
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            file = f"{kind}/{index:05}.jpg"
            if file in there:
                continue
            photo, layout = render(Random(f"{args.seed} {kind} {index}"), kind, backgrounds)
            photo.save(args.out / file, quality=92)
            label = {"file": file, "category": category, "human": False, "kind": f"{kind}-rendered",
                     "source": f"rendered/{layout}", "licence": "own"}
            with open(begun, "a") as labels:
                labels.write(json.dumps(label) + "\n")
            if (index + 1) % 100 == 0:
                print(json.dumps({f"{kind}s": index + 1, "of": count}), flush=True)
    begun.replace(args.out / "labels.jsonl")
    print(f"{args.menus + args.documents - len(there)} photos in {time.monotonic() - start:.0f} s, {len(there)} were there")


if __name__ == "__main__":
    main()
