"""Till receipts: what is most easily taken for a menu, for it lists dishes and prices too. Half of them went through a
scanner: tightly cropped, or on its white or black bed, pale, with stamps, ticks and holes."""

from random import Random

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from page import Page

Photos = list[Image.Image] | None
PAPER = [(255, 255, 255), (252, 251, 247), (244, 242, 238), (235, 236, 240), (246, 232, 226), (226, 226, 222), (205, 203, 196)]
INK = [(15, 15, 18), (35, 35, 40), (70, 70, 75), (110, 110, 118), (60, 55, 120), (120, 110, 160)]
PEN = [(30, 40, 140), (20, 20, 25), (60, 150, 60), (180, 30, 40)]
SHOPS = ["SUPERMARKET", "Cafe Luna", "City Fuel", "BAUMARKT", "Pharmacy", "Taxi 24", "STATIONERY SHOP", "HARDWARE & PAINT",
         "MINI MARKET", "BOOK CENTRE", "RESTORAN SELERA", "GARDEN HOTEL", "AUTO PARTS", "ELECTRICAL TRADING", "BAKERY"]
STREETS = ["Main Street", "Jalan Utama", "Rue du Port", "Hauptstrasse", "Station Road", "Lot", "Taman Indah", "Calle Mayor"]
TITLES = ["TAX INVOICE", "CASH BILL", "RECEIPT", "SIMPLIFIED INVOICE", "Official Receipt", "BON", "TICKET", "CASH SALES"]
FIELDS = ["Invoice No", "Date", "Cashier", "Table", "Member", "Terminal", "Ref", "Till", "Bill", "GST Reg No", "Counter"]
GOODS = ["PRINTER PAPER A4", "USB CABLE 2M", "BATTERY AA X4", "SCREWS M4X100", "PAINT WHITE 5L", "PARKING", "SHAMPOO", "DEPOSIT",
         "NOTEBOOK", "LED BULB 9W", "SUGAR 1KG", "RICE 5KG", "DIESEL", "SEALANT TAPE", "FILE A4", "TISSUE 10S", "MILK 1L", "EGGS A 30S"]
TOTALS = ["Subtotal", "Discount", "Service 10%", "Tax 6%", "Rounding", "TOTAL", "CASH", "CHANGE", "VISA ****1234", "Total Qty"]
FAREWELLS = ["THANK YOU", "Please come again", "GOODS SOLD ARE NOT RETURNABLE", "Keep this receipt for exchange within 7 days",
             "Vielen Dank", "Merci de votre visite", "CUSTOMER COPY", "Follow us online"]


def receipt(rng: Random, photos: Photos) -> Page:
    page = Page(rng, (rng.randint(190, 320), rng.randint(420, 820)), rng.choice(PAPER), "chalk" if rng.random() < 0.3 else "plain",
                rng.choice(["mono", "mono", "sans", "sans", "print"]), rng.choice(["english", "english", "german", "french", "spanish", "indian"]))
    page.ink = rng.choice(INK)
    size, shouts = page.width / rng.uniform(19, 34), rng.random() < 0.5
    y = _head(page, size * 1.5, size)
    y = _bought(page, y, size, shouts)
    y = _totals(page, y, size)
    y = _foot(page, y, size)
    # the roll is cut where the printing ends, or is not
    if rng.random() < 0.8 and y < page.height - size:
        page.image = page.image.crop((0, 0, page.width, round(y + size * rng.uniform(0.5, 3))))
    _mark(page)
    if rng.random() < 0.5:
        page.image = _scan(rng, page.image)
    return page


def _head(page: Page, y: float, size: float) -> float:
    rng, middle = page.rng, page.width / 2
    if rng.random() < 0.2:
        r = page.width * 0.09
        page.draw.ellipse((middle - r, y, middle + r, y + 2 * r), fill=page.ink if rng.random() < 0.6 else None, outline=page.ink)
        y += 2 * r + size
    page.text(middle, y, rng.choice(SHOPS), size * rng.uniform(1, 1.8), anchor="m", room=page.width * 0.9)
    y += size * 2.2
    for _ in range(rng.randint(2, 6)):
        line = rng.choice([f"{rng.choice(STREETS)} {rng.randint(1, 99)}", f"Tel. {rng.randint(10**6, 10**9)}", " ".join(page.prose(3)),
                           f"{rng.randint(10**4, 10**5)} {rng.choice(STREETS)}", f"({rng.randint(10**5, 10**6)}-X)"])
        page.text(middle, y, line.upper() if rng.random() < 0.5 else line, size, anchor="m", room=page.width * 0.9)
        y += size * 1.35
    page.text(middle, y + size * 0.6, rng.choice(TITLES), size * rng.uniform(1, 1.5), anchor="m")
    y += size * 2.8
    for field in rng.sample(FIELDS, rng.randint(1, 5)):
        value = rng.choice([str(rng.randint(1, 10**7)), f"{rng.randint(1, 28):02}/{rng.randint(1, 12):02}/20{rng.randint(10, 26)} "
                                                         f"{rng.randint(8, 22)}:{rng.randint(10, 59)}"])
        page.text(8, y, f"{field:<12}: {value}", size, room=page.width * 0.9)
        y += size * 1.35
    return _rule(page, y, size)


def _bought(page: Page, y: float, size: float, shouts: bool) -> float:
    rng = page.rng
    if rng.random() < 0.6:
        for x, name in zip((0.03, 0.5, 0.72, 0.97), ("Item", "Qty", "Price", "Amount")):
            page.text(page.width * x, y, name, size, anchor="l" if x < 0.1 else "r")
        y = _rule(page, y + size * 1.4, size)
    goods = page.dishes(20) if rng.random() < 0.45 else rng.sample(GOODS, 12)
    # a code and a second line for the figures, or all of it on one
    double, most = rng.random() < 0.5, rng.choice([9, 60, 400])
    for item in goods[:rng.randint(1, 14)]:
        if y > page.height * 0.62:
            break
        page.text(page.width * 0.03, y, item.upper() if shouts else item, size, room=page.width * (0.9 if double else 0.62))
        if double:
            y += size * 1.3
            page.text(page.width * 0.1, y, f"{rng.randint(10**6, 10**9)}  {rng.randint(1, 9)} X {_money(rng, most)}", size, room=page.width * 0.6)
        page.text(page.width * 0.97, y, _money(rng, most) + rng.choice(["", "", " S", " *"]), size, anchor="r")
        y += size * 1.35
    return _rule(page, y, size)


def _totals(page: Page, y: float, size: float) -> float:
    rng = page.rng
    left = rng.choice([0.03, 0.35])
    for name in TOTALS:
        if y > page.height * 0.84 or rng.random() < 0.3:
            continue
        big = size * (rng.uniform(1.1, 1.7) if name == "TOTAL" else 1)
        page.text(page.width * left, y, name, big)
        page.text(page.width * 0.97, y, _money(rng, 200), big, anchor="r")
        y += big * 1.4
    if rng.random() < 0.5:
        for line in ("Tax Summary  Amount    Tax", f"S = 6%       {_money(rng, 90)}  {_money(rng, 9)}"):
            page.text(page.width * 0.03, y + size, line, size, room=page.width * 0.94)
            y += size * 1.4
    return y + size


def _foot(page: Page, y: float, size: float) -> float:
    rng = page.rng
    if rng.random() < 0.35:
        height = size * rng.uniform(2, 4)
        for bar in range(round(page.width * 0.2), round(page.width * 0.8), 3):
            page.box(bar, y, bar + rng.randint(0, 2), y + height, fill=page.ink)
        y += height + size
    for line in rng.sample(FAREWELLS, rng.randint(0, 4)):
        page.text(page.width / 2, y, line, size, anchor="m", room=page.width * 0.92)
        y += size * 1.35
    return y


def _rule(page: Page, y: float, size: float) -> float:
    if page.rng.random() < 0.5:
        page.text(page.width / 2, y, page.rng.choice("-=*") * 60, size, anchor="m", room=page.width * 0.95)
    elif page.rng.random() < 0.5:
        page.line(page.width * 0.03, y + size * 0.5, page.width * 0.97)
    return y + size * 1.3


def _mark(page: Page) -> None:
    """What somebody wrote, ticked, stamped or punched."""
    rng, image = page.rng, page.image
    draw = ImageDraw.Draw(image)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        x, y, r = rng.uniform(0.1, 0.8) * image.width, rng.uniform(0.02, 0.9) * image.height, image.width * rng.uniform(0.04, 0.12)
        pen = rng.choice(PEN)
        kind = rng.choice(["tick", "ring", "hole", "hand"])
        if kind == "tick":
            draw.line((x, y, x + r / 2, y + r, x + r * 1.6, y - r), pen, 2)
        elif kind == "ring":
            draw.ellipse((x, y, x + r * 3, y + r * 1.4), outline=pen, width=2)
        elif kind == "hole":
            draw.ellipse((x, y, x + r / 2, y + r / 2), (10, 10, 10))
        else:
            page.draw = draw
            page.text(x, y, f"{rng.choice(page.words['prose'])} {rng.randint(1, 999)}", r * 1.3, "title", fill=pen)


def _scan(rng: Random, image: Image.Image) -> Image.Image:
    """On a scanner: a degree or two askew, its bed white, grey or black, and all greys pushed apart or washed out."""
    bed = rng.choice([(255, 255, 255), (255, 255, 255), (245, 245, 245), (8, 8, 8)])
    image = image.rotate(rng.gauss(0, 1.2), Image.Resampling.BICUBIC, expand=True, fillcolor=bed)
    if rng.random() < 0.45:
        wide, high = (round(edge * rng.choice([rng.uniform(1, 1.15), rng.uniform(1.2, 2)])) for edge in image.size)
        sheet = Image.new("RGB", (wide, high), bed)
        sheet.paste(image, (rng.randint(0, wide - image.width), rng.randint(0, (high - image.height) // 2)))
        image = sheet
    if rng.random() < 0.5:
        image = image.convert("L").convert("RGB")
    image = ImageEnhance.Contrast(image).enhance(rng.choice([rng.uniform(0.6, 1), rng.uniform(1, 2.5)]))
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.9, 1.2))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.6)))


def _money(rng: Random, most: int) -> str:
    return f"{rng.randint(0, most)}.{rng.choice(['00', '50', '99', f'{rng.randint(10, 99)}'])}"
