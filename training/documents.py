"""Printed matter that is no menu, though it has columns, prices and headings too: what menus.py tells menus from."""

import string
from random import Random

from page import Page
from receipts import receipt
from screens import BOLD, NAMES, WHITE, Photos, app, code, diagram, slide

GOODS = ["Printer paper A4", "USB cable 2 m", "Consulting, hours", "Shipping", "Desk lamp", "Toner black",
         "Licence, 1 year", "Maintenance",
         "Battery AA x4", "Notebook", "Hosting", "Screws M4 x100", "Paint white 5 l", "Train ticket", "Parking",
         "T-shirt M", "Shampoo", "Deposit"]


def _paper(rng: Random, wide: bool = False, **style) -> Page:
    long = rng.randint(520, 660)
    size = (long, round(long * rng.uniform(0.65, 0.75)))
    return Page(rng, size if wide else size[::-1], rng.choice(WHITE),
                rng.choice(["plain", "paper", "paper", "chalk"]), **style)


def _money(rng: Random, most: int = 400) -> str:
    return f"{rng.randint(1, most)}.{rng.choice(['00', '50', '99', str(rng.randint(10, 99))])}"


def _letter(rng: Random, photos: Photos) -> Page:
    page = _paper(rng, style=rng.choices(["print", "hand", "mono"], [4, 1, 1])[0])
    size, margin = page.width / rng.uniform(28, 44), page.width * rng.uniform(0.08, 0.14)
    y = page.height * 0.06
    if rng.random() < 0.5:
        page.text(margin, y, " ".join(page.prose(2)).title(), size * 1.8, "title", fill=page.accent)
    for _ in range(3):
        page.text(page.width - margin, y, " ".join(page.prose(2)), size, anchor="r")
        y += size * 1.3
    y += size * 3
    for _ in range(rng.randint(2, 7)):
        y = page.paragraph(margin, y, page.prose(rng.randint(15, 90)), size, page.width - 2 * margin,
                           int((page.height * 0.9 - y) / size / 1.4)) + size
        if y > page.height * 0.8:
            break
    page.text(margin, y + size, " ".join(page.prose(2)), size * 1.6, "title", fill=(30, 40, 120))
    return page


def _invoice(rng: Random, photos: Photos) -> Page:
    page = _paper(rng, rng.random() < 0.2, language=rng.choice(["english", "german", "french", "indian"]))
    size, margin, y = page.width / rng.uniform(34, 46), page.width * 0.07, page.height * 0.05
    page.text(margin, y, rng.choice(["INVOICE", "Rechnung", "FACTURE", "Tax Invoice", "Quotation", "Statement"]),
              size * 2.4, "title", fill=page.accent)
    for line in range(4):
        page.text(page.width - margin, y + line * size * 1.4,
                  rng.choice(["No. ", "Date ", "Ref. ", "VAT "]) + str(rng.randint(1000, 99999999)), size, anchor="r")
        page.text(margin, y + size * (4 + line * 1.4), " ".join(page.prose(3)), size)
    y += size * 12
    stops = [margin, page.width * 0.55, page.width * 0.68, page.width * 0.8, page.width - margin]
    page.box(margin - 4, y - 3, stops[-1] + 4, y + size * 1.4, fill=page.accent)
    for stop, name in zip(stops, ["Description", "Qty", "VAT", "Price", "Amount"]):
        page.text(stop, y, name, size, "plain", "l" if stop == margin else "r", (250, 250, 250))
    rows = rng.randint(3, 14)
    for item in rng.choices(GOODS, k=rows):
        y += size * 1.9
        page.text(margin, y, item, size, "plain")
        for stop, value in zip(stops[1:], [str(rng.randint(1, 40)), "19 %", _money(rng), _money(rng, 2000)]):
            page.text(stop, y, value, size, "plain", "r")
        page.line(margin, y + size * 1.4, stops[-1], (180, 180, 180))
    for name in ["Subtotal", "VAT", "Total"]:
        y += size * 2
        page.text(stops[2], y, name, size * 1.2, "plain")
        page.text(stops[-1], y, _money(rng, 9000), size * 1.2, "plain", "r")
    page.paragraph(margin, page.height * 0.93, page.prose(30), size * 0.8, page.width - 2 * margin, 2)
    return page


def _newspaper(rng: Random, photos: Photos) -> Page:
    page = _paper(rng)
    page.text(page.width / 2, 10, rng.choice(["The Daily Post", "Le Matin", "Morgenblatt", "El Diario",
                                              "City Herald"]), page.width / 11, "title", "m")
    top = page.width / 11 * 1.6 + 10
    page.line(10, top - 6, page.width - 10, width=2)
    count, size = rng.randint(3, 5), page.width / rng.uniform(58, 75)
    room = (page.width - 20) / count - 8
    for column in range(count):
        x, y = 12 + column * (room + 8), top
        while y < page.height - size * 5:
            if rng.random() < 0.3 and y < page.height * 0.7:
                page.picture(x, y, room, room * 0.7,
                             [photo.convert("L").convert("RGB") for photo in rng.sample(photos, 1)] if photos else None)
                y += room * 0.7 + 6
            y = page.paragraph(x, y, page.prose(6), size * 2, room, 3, leading=1.2) + size
            lines = int(min(rng.randint(8, 40), (page.height - 10 - y) / size / 1.25))
            if lines > 0:
                y = page.paragraph(x, y, page.prose(lines * 9), size, room, lines, leading=1.25) + size
    return page


def _form(rng: Random, photos: Photos) -> Page:
    page = _paper(rng)
    size, margin, y = page.width / rng.uniform(32, 44), page.width * 0.07, page.height * 0.05
    page.text(page.width / 2, y, " ".join(page.prose(3)).upper(), size * 1.7, "title", "m", room=page.width * 0.8)
    y += size * 4
    while y < page.height - size * 4:
        count = rng.choice([1, 1, 2, 3])
        room = (page.width - 2 * margin) / count
        for field in range(count):
            x = margin + field * room
            page.text(x, y, " ".join(page.prose(2)), size * 0.9, room=room * 0.9)
            if rng.random() < 0.25:
                page.box(x, y + size * 1.4, x + size, y + size * 2.4, outline=page.ink)
            else:
                page.box(x, y + size * 1.3, x + room * 0.94, y + size * 3.1, outline=page.ink)
                if rng.random() < 0.5:
                    page.text(x + 6, y + size * 1.5, str(rng.randint(100, 10**6)), size * 1.2, "title",
                              fill=(30, 40, 140))
        y += size * 4.1
    return page


def _book(rng: Random, photos: Photos) -> Page:
    wide = rng.random() < 0.4
    page = _paper(rng, wide)
    sides = 2 if wide else 1
    room = page.width / sides * 0.78
    size = room / rng.uniform(26, 40)
    for side in range(sides):
        x, y = page.width / sides * (side + 0.11), page.height * 0.08
        page.text(x + room / 2, y, " ".join(page.prose(3)), size * 0.85, anchor="m")
        y += size * rng.choice([2, 2, 7])
        while y < page.height * 0.9 - size * 2:
            lines = min(rng.randint(3, 18), int((page.height * 0.9 - y) / size / 1.35))
            y = page.paragraph(x, y, page.prose(lines * 11), size, room, lines) + size * rng.choice([0, 0.7])
        page.text(x + room / 2, page.height * 0.93, str(rng.randint(2, 480)), size, "plain", "m")
    if wide:
        for step in range(14):
            page.box(page.width / 2 - step, 0, page.width / 2 - step, page.height,
                     fill=tuple(120 + step * 8 for _ in range(3)))
    return page


def _sign(rng: Random, photos: Photos) -> Page:
    page = Page(rng, (rng.randint(420, 640), rng.randint(160, 420)), rng.choice(BOLD), "plain")
    page.box(7, 7, page.width - 8, page.height - 8, outline=page.ink, width=rng.randint(1, 6))
    lines = rng.randint(1, 4)
    for line in range(lines):
        words = page.prose(rng.randint(1, 2)) if page.language != "english" or rng.random() < 0.4 else rng.choice(
            [["EXIT"], ["Main", "Street"], ["NO", "PARKING"], ["Airport", str(rng.randint(2, 40)), "km"], ["OPEN"],
             ["Library"], ["Platform", "2"], ["STOP"]])
        step = (page.height - 40) / lines
        page.text(page.width / 2, 18 + line * step, " ".join(words), step * 0.6, anchor="m", room=page.width * 0.85)
    return page


def _poster(rng: Random, photos: Photos) -> Page:
    page = Page(rng, (rng.randint(340, 440), rng.randint(480, 620)), rng.choice(BOLD),
                rng.choice(["plain", "gradient", "chalk"]))
    y = page.height * rng.uniform(0.04, 0.12)
    if rng.random() < 0.6:
        for _ in range(rng.randint(2, 6)):
            x, top, r = rng.randint(0, page.width), rng.randint(0, page.height), rng.randint(20, 120)
            page.draw.ellipse((x - r, top - r, x + r, top + r), rng.choice(BOLD))
    for scale in rng.choices([0.16, 0.11, 0.08, 0.05, 0.04], k=rng.randint(3, 9)):
        size = page.width * scale
        page.text(page.width / 2, y, " ".join(page.prose(rng.randint(1, 3))).upper(), size, "title", "m",
                  rng.choice([page.ink, page.accent]), page.width * 0.88)
        y += size * rng.uniform(1.4, 2.4)
        if y > page.height * 0.85:
            break
    date = f"{rng.randint(1, 28)}.{rng.randint(1, 12)}.  {rng.randint(17, 22)}:00"
    page.text(page.width / 2, page.height * 0.92, date, page.width * 0.05, "plain", "m")
    return page


def _card(rng: Random, photos: Photos) -> Page:
    page = Page(rng, (560, rng.randint(310, 360)), rng.choice([*WHITE, *BOLD]),
                rng.choice(["plain", "gradient", "paper"]))
    x, anchor = rng.choice([(40, "l"), (280, "m"), (520, "r")])
    page.text(x, rng.randint(40, 90), " ".join(page.prose(2)).title(), rng.randint(30, 48), "title", anchor,
              page.accent, 480)
    y = page.height * 0.5
    for line in [" ".join(page.prose(2)), f"+{rng.randint(10**9, 10**10)}", "info@" + rng.choice(NAMES) + ".example",
                 " ".join(page.prose(3))]:
        page.text(x, y, line, 19, "plain" if "@" in line or "+" in line else "body", anchor)
        y += 28
    return page


def _timetable(rng: Random, photos: Photos) -> Page:
    """Names and figures in columns, as on a menu, yet times and numbers."""
    page = _paper(rng, rng.random() < 0.5)
    size, margin, y = page.width / rng.uniform(30, 44), page.width * 0.06, page.height * 0.05
    page.text(margin, y, rng.choice(["Departures", "Fahrplan", "Results", "Class 4b", "Opening hours", "Stock list",
                                     "Departs"]), size * 2, "title", fill=page.accent)
    y += size * 3.6
    figure = rng.choice([lambda: f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}",
                         lambda: str(rng.randint(0, 9999)), lambda: f"{rng.uniform(0, 100):.1f} %",
                         lambda: rng.choice(string.ascii_uppercase) + str(rng.randint(1, 90))])
    columns, grid = rng.randint(2, 6), rng.random() < 0.5
    while y < page.height - size * 2:
        page.text(margin, y, " ".join(page.prose(2)).title(), size, room=page.width * 0.3)
        for column in range(columns):
            page.text(page.width * (0.42 + 0.54 * (column + 0.5) / columns), y, figure(), size * 0.95, "plain", "m")
        if grid:
            page.line(margin, y + size * 1.4, page.width - margin, (150, 150, 150))
        y += size * 1.75
    return page


LAYOUTS = {"letter": _letter, "invoice": _invoice, "receipt": receipt, "code": code, "newspaper": _newspaper,
           "form": _form, "book": _book,
           "sign": _sign, "poster": _poster, "slide": slide, "card": _card, "app": app, "timetable": _timetable,
           "diagram": diagram}
# receipts and diagrams come in more kinds than one photo in thirteen would show
WEIGHTS = [4 if layout == "receipt" else 2 if layout == "diagram" else 1 for layout in LAYOUTS]
FLAT = {"app": 0.6, "receipt": 0.5, "diagram": 0.8, "sign": 0.05, "card": 0.1, "slide": 0.3, "code": 0.3}  # how often no camera saw it
STIFF = {"app", "code", "sign", "slide", "card", "diagram"}
