"""How a printed page becomes a photo: laid on something, held at an angle, badly lit, a little blurred."""

import io
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

RGB = tuple[int, int, int]


def texture(rng: Random, kind: str, size: tuple[int, int], colour: RGB) -> Image.Image:
    """A surface of about that colour: plain, paper, wood, cloth, stone, chalk or gradient."""
    width, height = size
    noise = np.random.default_rng(rng.getrandbits(32))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if kind == "wood":
        wave = _clouds(noise, size, (3, 40)) * 6
        shade = np.sin(x / rng.uniform(5, 14) + wave) * 9 + noise.normal(0, 5, (1, width)) + _clouds(noise, size,
                                                                                                     (4, 4)) * 14
        shade -= 45 * (x % rng.randint(60, 160) < 2)
    elif kind == "cloth":
        thread = rng.uniform(1.5, 4)
        shade = (np.sin(x / thread) + np.sin(y / thread)) * 6 + _clouds(noise, size, (4, 4)) * 14
        if rng.random() < 0.4:  # chequered
            tile = rng.randint(14, 60)
            shade += 32 * ((x // tile % 2) + (y // tile % 2) - 1)
    elif kind == "stone":
        shade = _clouds(noise, size, (60, 60)) * 14 + _clouds(noise, size, (6, 6)) * 20
    elif kind == "paper":
        shade = _clouds(noise, size, (90, 90)) * 3 + _clouds(noise, size, (5, 5)) * rng.uniform(2, 9)
    elif kind == "chalk":
        shade = _clouds(noise, size, (5, 3)) * 16 + _clouds(noise, size, (50, 50)) * 5
    elif kind == "gradient":
        shade = (x / width - 0.5) * rng.uniform(-90, 90) + (y / height - 0.5) * rng.uniform(-90, 90)
    else:
        shade = _clouds(noise, size, (5, 5)) * rng.uniform(1, 6)
    pixels = np.asarray(colour, np.float32) + shade[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def photograph(rng: Random, page: Image.Image, backgrounds: list[Image.Image] | None, gloss: float = 0.1,
               flat: float = 0.2, stiff: bool = False) -> Image.Image:
    """A photo of `page`, 320 to 400 pixels on its long side. `gloss` is the chance of a glare spot, `flat` that of
    no camera at all (a scan, a file, a screenshot): then the page fills the picture and only suffers JPEG.
    What is `stiff` neither curls nor creases."""
    side = rng.randint(320, 400)
    if rng.random() < flat:
        photo = _crop(rng, page) if rng.random() < 0.35 else page.copy()
        photo = photo.resize(_fit(photo.size, side), Image.Resampling.LANCZOS)
        return _jpeg(photo, rng.randint(45, 95))
    upright = page.height > page.width
    frame = _fit(rng.choice([(3, 4), (3, 4), (9, 16), (1, 1)] if upright or rng.random() < 0.1
                            else [(4, 3), (4, 3), (16, 9), (1, 1)]), side)
    photo = _background(rng, frame, backgrounds)
    photo = _lay(rng, page if stiff else _bend(rng, page), photo)
    return _jpeg(_expose(rng, photo, gloss), rng.randint(35, 92))


def _background(rng: Random, size: tuple[int, int], backgrounds: list[Image.Image] | None) -> Image.Image:
    if backgrounds and rng.random() < 0.55:
        # a small part of a photo, out of focus: the table, not what is served on it
        source = _crop(rng, rng.choice(backgrounds), 0.15, 0.45).resize(size, Image.Resampling.BILINEAR)
        return source.filter(ImageFilter.GaussianBlur(rng.uniform(0, 3)))
    kind = rng.choice(["wood", "wood", "cloth", "stone", "gradient", "plain"])
    brown = rng.randint(40, 190)
    colours = [(brown, brown * 7 // 10, brown * 4 // 10), (brown,) * 3, tuple(rng.randint(20, 235) for _ in range(3))]
    surface = texture(rng, kind, size, colours[0] if kind == "wood" else rng.choice(colours))
    return surface.transpose(Image.Transpose.ROTATE_90).resize(size) if rng.random() < 0.5 else surface


def _bend(rng: Random, page: Image.Image) -> Image.Image:
    """Creases, the shade of a curling sheet, and lines that are no longer straight."""
    pixels = np.asarray(page).astype(np.float32)
    height, width = pixels.shape[:2]
    if rng.random() < 0.5:
        across = np.linspace(0, np.pi * rng.uniform(0.6, 2.2), width) + rng.uniform(0, 3)
        shift = (np.sin(across) * rng.uniform(0, 0.025) * height).astype(int)
        rows = np.clip(np.arange(height)[:, None] + shift[None], 0, height - 1)
        pixels = pixels[rows, np.arange(width)[None]] * (1 + 0.14 * np.cos(across))[None, :, None]
    for _ in range(rng.choice([0, 0, 0, 0, 1, 2])):
        axis = rng.randint(0, 1)
        length = pixels.shape[axis]
        distance = np.arange(length) - rng.choice([1 / 3, 1 / 2, 2 / 3]) * length
        fold = 1 - 0.3 * np.exp(-(distance / 3) ** 2) + 0.1 * np.tanh(distance / 8) * np.exp(-(distance / 60) ** 2)
        pixels *= fold[:, None, None] if axis == 0 else fold[None, :, None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _lay(rng: Random, page: Image.Image, photo: Image.Image) -> Image.Image:
    """Draws the page in perspective, with its shadow, on 35 to over 100 % of the photo."""
    share = rng.triangular(0.35, 1.0, 0.95) ** 0.5 if rng.random() < 0.65 else rng.uniform(1.0, 1.3)
    scale = share * min(photo.width / page.width, photo.height / page.height)
    if share > 1:  # closer than the whole page
        scale = share * max(photo.width / page.width, photo.height / page.height) * rng.uniform(0.7, 0.95)
    page = page.resize((max(8, round(page.width * scale)), max(8, round(page.height * scale))),
                       Image.Resampling.LANCZOS)
    angle = np.radians(rng.gauss(0, 5) if rng.random() < 0.8 else rng.uniform(-35, 35))
    half = np.array([page.width, page.height]) / 2
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    tilt = rng.gauss(0, 0.10), rng.gauss(0, 0.10)  # how much the far edges shrink
    corners = corners * (1 + np.sign(corners[:, ::-1]) * np.clip(tilt, -0.22, 0.22))
    corners = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    slack = np.abs(np.array(photo.size) * (1 - share)) / 2
    corners += np.array(photo.size) / 2 + [rng.uniform(-1, 1) * s for s in slack]

    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).polygon([tuple(c) for c in corners], fill=255)
    depth = rng.uniform(1, 8)
    shadow = ImageChops.offset(mask, round(rng.uniform(-depth, depth)),
                               round(depth)).filter(ImageFilter.GaussianBlur(depth))
    photo = Image.composite(Image.new("RGB", photo.size), photo, shadow.point(lambda v: v * 0.55))
    warped = page.transform(photo.size, Image.Transform.PERSPECTIVE, _coefficients(corners, page.size),
                            Image.Resampling.BICUBIC)
    photo.paste(warped, mask=mask.filter(ImageFilter.GaussianBlur(0.6)))
    return photo


def _coefficients(corners: np.ndarray, size: tuple[int, int]) -> list[float]:
    """The perspective that maps the photo's `corners` back to those of a page of `size`."""
    rows, targets = [], []
    for (x, y), (u, v) in zip(corners, [(0, 0), (size[0], 0), size, (0, size[1])]):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        targets += [u, v]
    return np.linalg.solve(np.array(rows), np.array(targets)).tolist()


def _expose(rng: Random, photo: Image.Image, gloss: float) -> Image.Image:
    """Light and lens: cast, shade, vignette, glare, softness, grain."""
    if rng.random() < 0.75:
        photo = photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0) if rng.random() < 0.85 else rng.uniform(1,
                                                                                                                    2)))
    noise = np.random.default_rng(rng.getrandbits(32))
    pixels = np.asarray(photo).astype(np.float32) / 255
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1:1:height * 1j, -1:1:width * 1j].astype(np.float32)
    angle, dark = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.4)
    light = 1 - dark * (0.5 + 0.5 * np.tanh((x * np.cos(angle) + y * np.sin(angle) + rng.uniform(-0.7, 0.7))
                                            * rng.choice([0.8, 1.5, 8])))
    light -= rng.uniform(0, 0.3) * (x * x + y * y) / 2
    warm = rng.gauss(0, 0.10) + 0.05
    pixels = pixels * light[..., None] * np.array([1 + warm, 1 + rng.gauss(0, 0.02), 1 - 1.3 * warm], np.float32)
    if rng.random() < gloss:
        cx, cy, stretch = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8), rng.uniform(0.3, 3)
        spot = np.exp(-(((x - cx) * stretch) ** 2 + (y - cy) ** 2) / rng.uniform(0.01, 0.12))
        pixels += spot[..., None] * rng.uniform(0.4, 1.1)
    pixels = np.clip(pixels * rng.uniform(0.8, 1.2), 0, 1) ** rng.uniform(0.8, 1.25)
    pixels += noise.normal(0, rng.uniform(0.003, 0.035), pixels.shape)
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def _clouds(noise: np.random.Generator, size: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    grid = Image.fromarray(noise.normal(0, 1, (cells[1], cells[0])).astype(np.float32))
    return np.asarray(grid.resize(size, Image.Resampling.BICUBIC))


def _crop(rng: Random, image: Image.Image, least: float = 0.5, most: float = 0.9) -> Image.Image:
    width, height = (max(1, round(edge * rng.uniform(least, most))) for edge in image.size)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    longest = max(size)
    return max(1, round(size[0] * side / longest)), max(1, round(size[1] * side / longest))


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    held = io.BytesIO()
    image.save(held, "JPEG", quality=quality)
    return Image.open(held).convert("RGB")
