"""The fonts this machine has, by what they can write: more fonts, more variety; any one will do."""

import os
import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from random import Random

from PIL import ImageFont, features

FOLDERS = ["/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts", "/Library/Fonts",
           "/System/Library/Fonts", "C:/Windows/Fonts"]
UNREADABLE = re.compile(r"symbol|dingbat|emoji|music|math|keyboard|initial|barcode|quran|rashi|opens___|thin|hairline"
                        r"|ultralight|extralight|redacted|d050000", re.I)
STYLES = {
    "hand": re.compile(r"hand|script|dancing|kristi|isabella|ecolier|humor|breip|femke|kalam|caveat|summersby|tomson"
                       r"|fool|wasn|manners|delphine|sketch|lobster|comic|chalk|brush|pacifico|z003|aoyagi|loco|klee|seto"
                        r"|leckerli", re.I),
    "mono": re.compile(r"mono|cour|hack|inconsolata|typewriter", re.I),
    "sans": re.compile(r"^(?!.*mono).*(sans|lato|roboto|carlito|cantarell|arimo|heros|gothic|hind|cabin)", re.I),
    "print": re.compile(r""),
}


@lru_cache(maxsize=2000)
def load(path: str, size: int) -> ImageFont.FreeTypeFont:
    """The font at `size` pixels; shaped by Raqm where Pillow has it, as Arabic and Devanagari need."""
    return ImageFont.truetype(path, size)


@lru_cache(maxsize=1)
def found() -> tuple[str, ...]:
    """Every legible font file below the font folders, sorted. Raises SystemExit where there is none."""
    paths = {str(path) for folder in FOLDERS for path in Path(os.path.expanduser(folder)).rglob("*")
             if path.suffix.lower() in (".ttf", ".otf", ".ttc") and not UNREADABLE.search(path.stem)}
    if not paths:
        raise SystemExit("expected a TrueType or OpenType font below one of " + ", ".join(FOLDERS))
    return tuple(sorted(paths))


def covers(path: str, text: str) -> bool:
    """Whether the font draws every letter of `text`, each as something other than its missing-glyph box."""
    return all(_draws(path, letter) for letter in text if not letter.isspace())


@lru_cache(maxsize=None)
def _draws(path: str, letter: str) -> bool:
    return _glyph(path, letter) not in (_glyph(path, "\U0010fffd"), ((0, 0), b""), None)


@lru_cache(maxsize=2000)
def _glyph(path: str, letter: str) -> tuple | None:
    try:
        mask = _unshaped(path).getmask(letter)
        return mask.size, bytes(mask)
    except OSError:  # a damaged file, or a bitmap font without this size
        return None


@lru_cache(maxsize=4)
def _unshaped(path: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, 14, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=None)
def families(letters: str, style: str) -> tuple[tuple[str, ...], ...]:
    """Files that can write `letters`, grouped by family; of any style where `style` has none."""
    groups = defaultdict(list)
    for path in found():
        stem = Path(path).stem
        plain = not STYLES["hand"].search(stem) and not STYLES["mono"].search(stem)
        if (plain if style == "print" else STYLES[style].search(stem)) and covers(path, letters):
            groups[re.match(r"Noto(Sans|Serif)|[A-Z]?[a-z]*|.", stem)[0]].append(path)
    if not groups and style != "print":
        return families(letters, "print")
    return tuple(tuple(group) for group in groups.values())


def pick(rng: Random, letters: str, style: str = "print") -> str | None:
    """A font file that can write `letters`: families are alike in chance. None where no font can."""
    groups = families(letters, style)
    return rng.choice(rng.choice(groups)) if groups else None


def complex_scripts() -> bool:
    """Whether Arabic and Devanagari come out shaped rather than as loose letters."""
    return features.check("raqm")
