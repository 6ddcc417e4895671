"""What screens show, and lectures: code, slides, applications, diagrams; which documents.py has among its look-alikes of menus."""

from random import Random

from PIL import Image

from page import Page

Photos = list[Image.Image] | None
WHITE = [(255, 255, 255), (252, 251, 247), (246, 242, 230), (238, 228, 205), (235, 240, 245), (225, 222, 215)]
BOLD = [(20, 70, 140), (0, 110, 70), (200, 30, 40), (240, 190, 20), (25, 25, 28), (245, 245, 245), (110, 50, 120),
        (240, 120, 30)]
CODE = ["def {}(self, {}):", "    return {}.{}({})", "for {} in range({}):", "    if {} is None:",
        "const {} = await {}.{}();", "}}", "import {}",
        "    {}[{}] = {}", "// {} {}", "while ({} < {}) {{", "    print({})", "class {}:", "    {} += 1", "",
        "    raise {}({})", "export function {}() {{"]
NAMES = ["index", "value", "items", "user", "request", "buffer", "node", "result", "config", "total", "path",
         "session", "queue", "state"]


def code(rng: Random, photos: Photos) -> Page:
    paper = rng.choice([(30, 30, 35), (20, 25, 40), (40, 42, 54), (255, 255, 255), (250, 248, 235)])
    page = Page(rng, (rng.randint(520, 660), rng.randint(340, 460)), paper, "plain", "mono", "english")
    size, y, indent = page.width / rng.uniform(42, 70), 16.0, 0
    colours = [page.ink, page.ink, page.accent, (90, 160, 220), (120, 170, 90), (200, 130, 90)]
    page.box(0, 0, page.width, 12, fill=(90, 90, 95))
    number = rng.randint(1, 400)
    while y < page.height - size:
        line = rng.choice(CODE)
        line = line.format(*rng.choices(NAMES, k=line.count("{}")))
        indent = max(0, min(4, indent + rng.randint(-1, 1)))
        page.text(30, y, str(number), size, anchor="r", fill=(130, 130, 130))
        x = 40 + indent * size * 2
        for word in line.split(" "):
            x += page.text(x, y, word + " ", size, fill=rng.choice(colours))
        y, number = y + size * 1.4, number + 1
    return page


def slide(rng: Random, photos: Photos) -> Page:
    page = Page(rng, (600, rng.choice([338, 450])), rng.choice([*WHITE, *BOLD[:2], BOLD[4]]),
                rng.choice(["plain", "gradient"]))
    page.text(30, 24, " ".join(page.prose(4)).capitalize(), 34, "title", fill=page.accent, room=540)
    y, size = 95.0, rng.uniform(15, 24)
    picture = rng.random() < 0.4
    for _ in range(rng.randint(2, 6)):
        page.box(34, y + size * 0.5, 39, y + size * 0.5 + 5, fill=page.accent)
        y = page.paragraph(50, y, page.prose(rng.randint(4, 14)), size, 280 if picture else 500, 3) + size * 0.6
        if y > page.height - 70:
            break
    if picture:  # a bar chart
        for bar in range(rng.randint(3, 7)):
            page.box(370 + bar * 28, rng.randint(110, page.height - 60), 390 + bar * 28, page.height - 40,
                     fill=rng.choice(BOLD[:4]))
    return page


def app(rng: Random, photos: Photos) -> Page:
    """A telephone's screen: a chat, a list of settings, a feed."""
    page = Page(rng, (300, rng.randint(520, 650)), rng.choice([(255, 255, 255), (242, 242, 247), (18, 18, 20),
                                                               (225, 235, 225)]), "plain")
    page.box(0, 0, 300, 44, fill=rng.choice(BOLD))
    page.text(16, 14, " ".join(page.prose(2)).title(), 17, fill=(250, 250, 250))
    y, chat = 56.0, rng.random() < 0.5
    while y < page.height - 60:
        words, right = page.prose(rng.randint(3, 16)), rng.random() < 0.5
        if chat:
            lines = rng.randint(1, 4)
            x = 90 if right else 12
            page.box(x, y, x + 196, y + lines * 18 + 14, fill=(200, 240, 190) if right else (225, 225, 230))
            page.paragraph(x + 8, y + 6, words, 13, 180, lines, fill=(20, 20, 20))
            y += lines * 18 + 26
        else:
            page.draw.ellipse((14, y, 44, y + 30), rng.choice(BOLD))
            page.text(56, y, " ".join(words[:3]).capitalize(), 14, room=220)
            page.paragraph(56, y + 18, words[3:], 11, 225, 1, fill=(140, 140, 140))
            page.line(56, y + 42, 300, (150, 150, 150))
            y += 52
    return page


def diagram(rng: Random, photos: Photos) -> Page:
    """Panels of code, boxes and pictures with arrows and remarks between them, as in lectures and documentation."""
    page = Page(rng, (620, rng.randint(230, 480)), rng.choice([(0, 0, 0), (0, 0, 0), (25, 28, 35), (255, 255, 255), (240, 243, 248)]), "plain")
    top = 14.0
    if rng.random() < 0.6:
        page.text(310, 12, " ".join(page.prose(rng.randint(2, 5))).title(), rng.uniform(18, 30), "title", "m", room=580)
        top = 58.0
    columns, rows = rng.randint(1, 4), rng.randint(1, 2)
    wide, high = 600 / columns, (page.height - top - 10) / rows
    for cell in range(columns * rows):
        x, y = 12 + wide * (cell % columns), top + high * (cell // columns)
        room, tall = wide * rng.uniform(0.7, 0.92), high * rng.uniform(0.55, 0.75)
        kind = rng.choice(["code", "code", "picture", "graph", "words"])
        if kind == "code":
            page.box(x, y, x + room, y + tall, fill=rng.choice([(35, 37, 46), (20, 22, 28), (48, 50, 62)]), outline=(110, 110, 120))
            size, line = rng.uniform(6, 10), y + 6.0
            while line < y + tall - size * 1.5:
                words = rng.choice(CODE)
                words = words.format(*rng.choices(NAMES, k=words.count("{}")))
                page.text(x + 6 + rng.choice([0, 0, 10, 20]), line, words, size, "plain", fill=rng.choice(
                    [(220, 220, 220), (220, 220, 220), (90, 160, 220), (120, 170, 90), (200, 130, 90)]), room=room * 0.85)
                line += size * 1.4
            if rng.random() < 0.4:
                page.box(x + 3, y + tall * 0.3, x + room * 0.8, y + tall * 0.5, outline=rng.choice(BOLD[:4]), width=2)
        elif kind == "picture":
            page.picture(x, y, room, tall, photos, rng.random() < 0.3)
        elif kind == "graph":
            spots = [(x + rng.random() * room, y + rng.random() * tall) for _ in range(rng.randint(4, 9))]
            page.draw.line(rng.choices(spots, k=12), page.ink, 1)
            for at, down in spots:
                page.draw.ellipse((at - 6, down - 6, at + 6, down + 6), rng.choice(BOLD))
        else:
            page.paragraph(x, y, page.prose(rng.randint(6, 30)), rng.uniform(10, 16), room, max(1, int(tall / 22)), fill=page.accent)
        page.text(x + room / 2, y + tall + 5, " ".join(page.prose(rng.randint(1, 4))), rng.uniform(10, 15), anchor="m", room=room)
        if rng.random() < 0.5:
            page.line(x + room + 2, y + tall / 2, x + wide - 2, page.accent, 2)
    return page
