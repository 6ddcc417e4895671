"""A sheet to print on: its paper, inks, typefaces and words; every coordinate mirrors for Arabic."""

from functools import lru_cache
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

import fonts
from scene import texture

RGB = tuple[int, int, int]
LATIN = ["english", "english", "english", "indian", "indian", "italian", "french", "german", "spanish", "turkish"]
OTHER = ["hindi", "chinese", "japanese", "arabic"]


@lru_cache(maxsize=1)
def languages() -> dict[str, dict[str, list[str]]]:
    """words.txt: language → heads, dishes, with, prose → entries."""
    read: dict[str, dict[str, list[str]]] = {}
    for line in (Path(__file__).parent / "words.txt").read_text(encoding="utf8").splitlines():
        if line.startswith("["):
            read[line.strip("[]")] = entries = {}
        elif line and not line.startswith("#"):
            name, _, words = line.partition(": ")
            entries[name] = [word.strip() for word in words.split(" | ")]
    return read


@lru_cache(maxsize=None)
def _letters(language: str) -> str:
    return "".join(sorted({letter for words in languages()[language].values() for word in words for letter in word}))


class Page:
    """Draws for one page. `style` is print, sans, hand or mono; `paper` a colour that decides the ink."""

    def __init__(self, rng: Random, size: tuple[int, int], paper: RGB, surface: str = "plain", style: str = "print",
                 language: str | None = None):
        self.rng, (self.width, self.height) = rng, size
        self.image = texture(rng, surface, size, paper)
        self.draw = ImageDraw.Draw(self.image)
        self.language = language or choose_language(rng, style)
        self.words = languages()[self.language]
        letters = _letters(self.language)
        self.body = fonts.pick(rng, letters, style) or fonts.found()[0]
        self.title = fonts.pick(rng, letters, rng.choice(["hand", style])) if rng.random() < 0.6 else self.body
        self.plain = fonts.pick(rng, "0Aa") or self.body  # figures and Latin beside other scripts
        self.mirrored = self.language == "arabic"
        dark = sum(paper) < 330
        self.ink = rng.choice([(245, 245, 240), (255, 240, 200), (220, 220, 220)] if dark
                              else [(15, 15, 15), (40, 30, 25), (30, 35, 70), (60, 25, 20)])
        self.accent = rng.choice([(240, 190, 60), (250, 120, 90), (150, 220, 150), (120, 200, 240)] if dark
                                 else [(170, 30, 30), (20, 90, 60), (30, 60, 140), (150, 90, 20), self.ink])

    def font(self, size: float, role: str = "body"):
        return fonts.load(getattr(self, role) or self.plain, max(6, round(size)))

    def measure(self, text: str, size: float, role: str = "body") -> float:
        return self.font(size, self._role(text, role)).getlength(text)

    def text(self, x: float, y: float, text: str, size: float, role: str = "body", anchor: str = "l",
             fill: RGB | None = None, room: float | None = None) -> float:
        """Writes a line whose top is y; anchor l, m or r. Past `room` pixels it is written smaller. Returns its width."""
        role = self._role(text, role)
        font = self.font(size, role)
        width = font.getlength(text)
        if room and width > room:
            y += size * (1 - room / width) / 2
            font = self.font(size * max(0.3, room / width), role)
            width = font.getlength(text)
        if self.mirrored:
            x, anchor = self.width - x, {"l": "r", "r": "l", "m": "m"}[anchor]
        self.draw.text((x, y), text, fill or self.ink, font, anchor + "a")
        return width

    def paragraph(self, x: float, y: float, words: list[str], size: float, room: float, lines: int = 99,
                  anchor: str = "l", fill: RGB | None = None, leading: float = 1.35) -> float:
        """Writes words in lines of at most `room` pixels, until they or the lines end. Returns the y below them."""
        gap = "" if self.language in ("chinese", "japanese") else " "
        line = ""
        for index, word in enumerate([*words, None]):
            longer = f"{line}{gap}{word}" if line and word else word or line
            if line and (word is None or self.measure(longer, size) > room):
                self.text(x, y, line, size, anchor=anchor, fill=fill, room=room)
                y += size * leading
                lines -= 1
                if lines == 0:
                    return y
                longer = word
            line = longer
        return y

    def box(self, x0: float, y0: float, x1: float, y1: float, **style) -> None:
        if self.mirrored:
            x0, x1 = self.width - x1, self.width - x0
        if x1 > x0 and y1 > y0:
            self.draw.rectangle((x0, y0, x1, y1), **style)

    def line(self, x0: float, y: float, x1: float, fill: RGB | None = None, width: int = 1) -> None:
        if self.mirrored:
            x0, x1 = self.width - x1, self.width - x0
        self.draw.line((x0, y, x1, y), fill or self.ink, width)

    def picture(self, x: float, y: float, width: float, height: float, photos: list[Image.Image] | None,
                round_: bool = False) -> None:
        """A photo, or a plate where none is given."""
        size = max(2, round(width)), max(2, round(height))
        if self.mirrored:
            x = self.width - x - width
        photo = self.rng.choice(photos).resize(size) if photos else self._plate(size)
        mask = Image.new("L", size, 0 if round_ else 255)
        if round_:
            ImageDraw.Draw(mask).ellipse((0, 0, size[0] - 1, size[1] - 1), fill=255)
        self.image.paste(photo, (round(x), round(y)), mask)

    def prose(self, count: int) -> list[str]:
        words = self.rng.choices(self.words["prose"], k=count)
        return [word + self.rng.choice(".,;") if self.rng.random() < 0.1 else word for word in words]

    def dishes(self, count: int) -> list[str]:
        known = self.words["dishes"]
        return self.rng.sample(known, min(count, len(known))) + self.rng.choices(known, k=max(0, count - len(known)))

    def _role(self, text: str, role: str) -> str:
        """The role itself where its typeface has the letters; else the body's, else that of plain figures."""
        able = (each for each in (role, "body", "plain") if getattr(self, each) and fonts.covers(getattr(self, each),
                                                                                                 text))
        return next(able, "body")

    def _plate(self, size: tuple[int, int]) -> Image.Image:
        shade = tuple(self.rng.randint(60, 220) for _ in range(3))
        plate = texture(self.rng, "stone", size, shade)
        draw, (w, h) = ImageDraw.Draw(plate), size
        draw.ellipse((w * 0.1, h * 0.1, w * 0.9, h * 0.9), (240, 238, 230))
        for _ in range(12):
            x, y, r = w * self.rng.uniform(0.3, 0.6), h * self.rng.uniform(0.3, 0.6), min(w,
                                                                                          h) * self.rng.uniform(0.05,
                                                                                                                0.2)
            draw.ellipse((x, y, x + r, y + r), (self.rng.randint(90, 220), self.rng.randint(40, 160),
                                                self.rng.randint(10, 70)))
        return plate


def choose_language(rng: Random, style: str) -> str:
    """Mostly one in Latin letters; another script only where a font here can write it."""
    language = rng.choice(OTHER) if rng.random() < 0.28 else rng.choice(LATIN)
    return language if can_write(language, style) else "english"


def can_write(language: str, style: str = "print") -> bool:
    """Whether some font here has every letter of the language, and Pillow can join them where it must."""
    shaped = language not in ("hindi", "arabic") or fonts.complex_scripts()
    return shaped and bool(fonts.families(_letters(language), style))
