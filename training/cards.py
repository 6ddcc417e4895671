"""Menus, as restaurants print, chalk and light them up."""

from random import Random

from PIL import Image

from page import Page, can_write

Photos = list[Image.Image] | None
LIGHT = [(250, 250, 248), (255, 255, 255), (247, 240, 220), (240, 226, 190), (222, 205, 170), (235, 240, 235),
         (245, 222, 222),
         (190, 215, 230), (250, 235, 90), (200, 215, 120), (255, 190, 90), (196, 160, 110)]
DARK = [(22, 22, 24), (35, 38, 36), (12, 12, 12), (60, 20, 25), (20, 40, 70), (25, 60, 45), (70, 45, 30), (150, 25, 30),
        (190, 40, 90), (0, 120, 120)]
PRICES = ["€{}", "{} €", "{}", "${}", "£{}", "₹{}", "Rs. {}", "{}/-", "¥{}", "{} TL", "₺{}", "{}.-", "AED {}", "CHF {}"]
DEAR = ("₹{}", "Rs. {}", "{}/-", "¥{}", "{} TL", "₺{}")
AT_HOME = {"chinese": ["{}元", "¥{}", "{}"], "japanese": ["{}円", "¥{}", "{}"], "hindi": ["₹{}", "{}/-", "{}"],
           "indian": ["₹{}", "Rs. {}", "{}/-", "{}", "{}.00"], "turkish": ["{} TL", "₺{}", "{}"]}


def _pricer(page: Page):
    """One currency and one way of ending prices for the whole page."""
    rng = page.rng
    form = rng.choice(AT_HOME.get(page.language, PRICES))
    end = rng.choice([["{}"], ["{}.50", "{}.00", "{}.90"], ["{},50", "{},00", "{},90"]])
    def price() -> str:
        if form in DEAR or page.language in AT_HOME:
            return form.format(rng.randint(4, 180) * 5 * (10 if page.language == "japanese" else 1))
        return form.format(rng.choice(end).format(rng.randint(2, 42)))
    return price


def _sheet(rng: Random, photos: Photos, wide: bool = False, papers: list | None = None, **style) -> Page:
    """A blank menu: perhaps with a faint photo or blots of colour behind, and a border."""
    paper = rng.choice(papers or (LIGHT if rng.random() < 0.68 else DARK))
    surface = rng.choice(["plain", "plain", "paper", "paper", "gradient", "chalk"] if sum(paper) > 330
                         else ["plain", "chalk", "chalk", "wood", "gradient"])
    long, short = rng.randint(480, 660), rng.randint(300, 460)
    style.setdefault("style", rng.choices(["print", "hand", "mono"], [8, 2, 0.4])[0])
    page = Page(rng, (long, short) if wide else (short, long), paper, surface, **style)
    if photos and rng.random() < 0.12:
        page.image.paste(Image.blend(page.image, rng.choice(photos).resize(page.image.size), rng.uniform(0.08, 0.3)))
    elif rng.random() < 0.2:
        faint = tuple(round(p + (a - p) * rng.uniform(0.15, 0.5)) for p, a in zip(paper, page.accent))
        for _ in range(rng.randint(1, 4)):
            x, y = rng.choice([0, page.width, rng.randint(0, page.width)]), rng.randint(0, page.height)
            r = rng.randint(20, 130)
            page.draw.ellipse((x - r, y - r, x + r, y + r), faint)
    if rng.random() < 0.35:
        inset = rng.randint(6, 14)
        for gap in rng.choice([(0,), (0, 4), (0, 3, 6)]):
            page.box(inset + gap, inset + gap, page.width - inset - gap, page.height - inset - gap, outline=page.accent)
    return page


def _heading(page: Page, y: float) -> float:
    """The restaurant's or the card's name, with an ornament. Returns the y below it."""
    rng = page.rng
    names = {"chinese": "菜单", "japanese": "お品書き", "arabic": "قائمة الطعام", "hindi": "मेनू"}
    names = [names.get(page.language) or rng.choice(["Menu", "MENU", "Menù", "La Carte", "Speisekarte", "Bistro 21",
                                                     "Carta",
             "Chez Anna", "Trattoria Roma", "Hotel Sagar", "The Old Mill", "Café Luna", "Menü", "Golden Dragon",
                                                     "Today"])]
    name = rng.choice(names if rng.random() < 0.7 or page.language not in ("english",) else page.words["heads"])
    size = min(page.width, page.height * 1.2) * rng.uniform(0.06, 0.13)
    page.text(page.width / 2, y, name, size, "title", "m", page.accent, page.width * 0.8)
    y += size * 1.4
    if rng.random() < 0.5:
        reach = page.width * rng.uniform(0.08, 0.35)
        page.line(page.width / 2 - reach, y, page.width / 2 + reach, page.accent, rng.randint(1, 2))
        if rng.random() < 0.5:
            page.draw.regular_polygon((page.width / 2, y, 5), 4, fill=page.accent)
        y += 8
    return y + 4


def _listing(page: Page, x: float, y: float, room: float, bottom: float, size: float, look: dict, price) -> None:
    """Sections of dishes with prices down a column, until it is full."""
    rng = page.rng
    number = rng.choice([1, 11, 101])
    for head in rng.sample(page.words["heads"], len(page.words["heads"])):
        if y + size * 4 > bottom:
            return
        big = size * look["head"]
        fill = page.accent
        if look["band"]:
            page.box(x - 3, y, x + room, y + big * 1.35, fill=page.accent)
            fill = (255, 255, 255) if sum(page.accent) < 400 else (20, 20, 20)
        middle = look["centred"]
        page.text(x + room / 2 if middle else x + 2, y, head.upper() if look["caps"] else head, big, "title",
                  "m" if middle else "l", fill, room * 0.7)
        if look["columns"] > 1 and not middle:
            for column in range(look["columns"]):
                page.text(x + room - column * size * 3.6, y + big * 0.2, ["Full", "Half", "Qtr"][column], size * 0.8,
                          "plain", "r", fill)
        y += big * 1.55
        if look["rule"]:
            page.line(x, y - 2, x + room, page.accent)
        for dish in page.dishes(rng.randint(3, 9)):
            if y + size * 1.5 > bottom:
                return
            name = f"{number}. {dish}" if look["numbers"] else dish.upper() if look["shout"] else dish
            number += 1
            if middle:
                page.text(x + room / 2, y, f"{name}  {price()}" if look["inline"] else name, size, anchor="m",
                          room=room)
            else:
                money = room * 0.2 * look["columns"]
                width = page.text(x, y, name, size, room=room - money)
                for column in range(look["columns"]):
                    page.text(x + room - column * size * 3.6, y, price(), size * 0.95, look["figures"], "r",
                              look["money"] or page.accent)
                if look["dots"]:
                    for dot in range(int(x + width + 5), int(x + room - money), 5):
                        page.box(dot, y + size * 0.85, dot + 1, y + size * 0.85 + 1, fill=page.ink)
            y += size * look["leading"]
            if rng.random() < look["described"]:
                y = page.paragraph(x + room / 2 if middle else x, y - size * 0.1,
                                   rng.sample(page.words["with"], rng.randint(2, 5)),
                                   size * 0.72, room * (0.9 if middle else 0.72), 2, "m" if middle else "l",
                                   look["soft"])
                y += size * 0.35
            if middle and not look["inline"]:
                page.text(x + room / 2, y, price(), size * 0.9, look["figures"], "m", page.accent)
                y += size * look["leading"] * 1.1
        y += size * rng.uniform(0.4, 1.5)


def _look(page: Page, **fixed) -> dict:
    rng = page.rng
    half = tuple((a + b) // 2 for a, b in zip(page.ink, page.image.getpixel((3, 3))))
    return {"head": rng.uniform(1.1, 1.8), "band": rng.random() < 0.22, "centred": False, "caps": rng.random() < 0.4,
            "columns": 1, "rule": rng.random() < 0.25, "numbers": rng.random() < 0.2, "shout": rng.random() < 0.25,
            "inline": rng.random() < 0.4, "figures": rng.choice(["body", "plain"]), "dots": rng.random() < 0.3,
            "leading": rng.uniform(1.25, 1.9), "described": rng.choice([0, 0, 0.3, 0.9]), "soft": half,
            "money": rng.choice([None, page.ink, page.ink])} | fixed


def _columns(rng: Random, photos: Photos, wide: bool | None = None, **fixed) -> Page:
    page = _sheet(rng, photos, rng.random() < 0.3 if wide is None else wide)
    look, price = _look(page, **fixed), _pricer(page)
    count = rng.choice([2, 3, 2]) if page.width > page.height else rng.choice([1, 1, 2])
    margin = page.width * rng.uniform(0.05, 0.1)
    top = _heading(page, page.height * rng.uniform(0.02, 0.07)) if rng.random() < 0.75 else page.height * 0.05
    room = (page.width - margin * (count + 1)) / count
    size = max(8, room / rng.uniform(14, 26))
    for column in range(count):
        _listing(page, margin + column * (room + margin), top, room, page.height * rng.uniform(0.8, 0.97), size, look,
                 price)
    if rng.random() < 0.35:
        for _ in range(rng.randint(1, 3)):
            edge = page.width * rng.uniform(0.15, 0.3)
            page.picture(rng.uniform(0.3, 0.7) * page.width, rng.uniform(0.15, 0.85) * page.height, edge,
                         edge * rng.uniform(0.6, 1), photos, rng.random() < 0.5)
    return page


def _centred(rng: Random, photos: Photos) -> Page:
    return _columns(rng, photos, False, centred=True, band=False, described=rng.choice([0.3, 0.9]))


def _tariff(rng: Random, photos: Photos) -> Page:
    """A tight table with several prices a dish."""
    return _columns(rng, photos, columns=rng.choice([2, 2, 3]), described=0, dots=False, band=rng.random() < 0.7,
                    leading=rng.uniform(1.2, 1.5))


def _board(rng: Random, photos: Photos) -> Page:
    """Chalkboards and lit boards over a counter: few, large lines in panels."""
    page = _sheet(rng, photos, rng.random() < 0.6, DARK[:6] if rng.random() < 0.8 else LIGHT,
                  style=rng.choice(["hand", "hand", "print"]))
    look, price = _look(page, described=0, leading=rng.uniform(1.3, 1.7)), _pricer(page)
    count = rng.randint(2, 4) if page.width > page.height else 1
    top = _heading(page, 14)
    room = page.width / count - 26
    for panel in range(count):
        x = 14 + panel * page.width / count
        if panel and rng.random() < 0.6:
            page.box(x - 8, top, x - 7, page.height - 14, fill=page.accent)
        y = top
        if count > 1 and rng.random() < 0.2:
            page.picture(x, top, room, page.height * 0.3, photos)
            y += page.height * 0.33
        _listing(page, x, y, room, page.height - 14, max(11, room / rng.uniform(10, 16)), look, price)
    frame = rng.choice([0, 0, 8, 12])
    page.box(0, 0, page.width - 1, page.height - 1, outline=(120, 80, 45), width=frame or 1)
    return page


def _pictures(rng: Random, photos: Photos) -> Page:
    """A grid of dishes with names and prices."""
    page = _sheet(rng, photos, rng.random() < 0.5)
    price, top = _pricer(page), _heading(page, 10)
    across, down = (rng.randint(3, 5), rng.randint(2, 3)) if page.width > page.height else (rng.randint(2, 3),
                                                                                            rng.randint(3, 5))
    width, height = (page.width - 12) / across, (page.height - top - 8) / down
    circle, size = rng.random() < 0.3, min(width / 9, height / 6)
    for cell, dish in enumerate(page.dishes(across * down)):
        x, y = 6 + cell % across * width, top + cell // across * height
        page.picture(x + 4, y + 2, width - 8, height - size * 3.2, photos, circle)
        page.text(x + width / 2, y + height - size * 2.9, dish, size, anchor="m", room=width - 8)
        page.text(x + width / 2, y + height - size * 1.6, price(), size, "plain", "m", page.accent)
    return page


def _daily(rng: Random, photos: Photos) -> Page:
    """A few dishes by hand: today's card."""
    page = _sheet(rng, photos, rng.random() < 0.25, style="hand")
    price, y = _pricer(page), _heading(page, page.height * 0.05)
    size = page.width / rng.uniform(13, 22)
    for dish in page.dishes(rng.randint(5, 14)):
        if y > page.height - size * 1.6:
            break
        slip = rng.uniform(-3, 3)
        page.text(page.width * 0.08 + slip, y, dish, size, room=page.width * 0.62)
        page.text(page.width * 0.92 + slip, y + rng.uniform(-2, 2), price(), size, rng.choice(["body", "title"]), "r",
                  page.accent)
        y += size * rng.uniform(1.3, 2.2)
    return page


def _booklet(rng: Random, photos: Photos) -> Page:
    """Two facing pages with the shade of the spine between them."""
    page = _columns(rng, photos, True, numbers=rng.random() < 0.5)
    middle = page.width // 2
    for step in range(18):
        for x in (middle - step, middle + step):
            strip = page.image.crop((x, 0, x + 1, page.height))
            page.image.paste(strip.point(lambda value, step=step: value * (0.6 + step * 0.022)), (x, 0))
    return page


def _vertical(rng: Random, photos: Photos) -> Page:
    """Dishes top to bottom, columns right to left, as on slips in an izakaya."""
    east = rng.choice(["chinese", "japanese"])
    page = _sheet(rng, photos, rng.random() < 0.6, language=east if can_write(east) else None)
    price, count = _pricer(page), rng.randint(4, 9)
    step = page.width / (count + 0.5)
    for column, dish in enumerate(page.dishes(count)):
        x, letters = page.width - (column + 0.75) * step, dish.replace(" ", "")[:14]
        size = min(step * 0.55, page.height * 0.62 / len(letters))
        if rng.random() < 0.15 * (column % 2):
            page.box(x - step * 0.42, 10, x + step * 0.42, page.height - 12, outline=page.accent)
        for row, letter in enumerate(letters):
            page.text(x, 20 + row * size * 1.12, letter, size, anchor="m")
        page.text(x, page.height - step * 0.6 - 16, price(), step * 0.3, "plain", "m", page.accent, step * 0.9)
    return page


LAYOUTS = {"columns": _columns, "centred": _centred, "tariff": _tariff, "board": _board, "pictures": _pictures,
           "daily": _daily, "booklet": _booklet, "vertical": _vertical}
WEIGHTS = [3, 2, 2, 2, 2, 1, 1, 1]  # how often each
