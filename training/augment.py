"""Labelled photos → training samples, augmented or as they are."""

import io
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch.utils.data import Dataset

from data import UNKNOWN, open_photo


class Photos(Dataset):
    """uint8 [3, side, side], category id, human id, map target [side/16, side/16] (-1 where unknown)."""

    def __init__(self, root: Path, labels: list[dict], side: int, plan: list | None = None, seed: int = 0, turned: float = 0):
        """With `plan`, sample n is an augmentation of photo plan[n], or a mosaic of the four photos plan[n]; without,
        sample n is photo n as it is. A share `turned` of the augmented lies on its side or stands on its head."""
        self.root, self.labels, self.side, self.plan, self.seed, self.turned = root, labels, side, plan, seed, turned

    def __len__(self):
        return len(self.labels if self.plan is None else self.plan)

    def __getitem__(self, draw):
        if self.plan is not None and isinstance(self.plan[draw], list):
            return self._mosaic(self.plan[draw], random.Random(self.seed * 1_000_003 + draw))
        label = self.labels[draw if self.plan is None else self.plan[draw]]
        photo = open_photo(self.root / label["file"])
        boxes, human = label.get("persons"), label["human_id"]
        if self.plan is not None:
            rng = random.Random(self.seed * 1_000_003 + draw)
            photo, boxes, human = _augment(photo, label, boxes, human, self.side, rng)
            if self.turned and rng.random() < self.turned:
                photo, boxes = _turn(photo, boxes, rng)
        else:
            boxes = _scaled(boxes, (0, 0, photo.width, photo.height), self.side)
            photo = photo.resize((self.side, self.side), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return _tensor(photo), label["category_id"], human, _map_target(boxes, human, self.side // 16)

    def _mosaic(self, four, rng):
        """One photo a corner: people at half their size and less, next to what is not one. It has no category."""
        cells, side = self.side // 16, self.side
        x, y = (16 * round(cells * rng.uniform(0.32, 0.68)) for _ in range(2))
        corners = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
        rng.shuffle(corners)
        canvas, target, human = Image.new("RGB", (side, side)), torch.zeros(cells, cells), UNKNOWN
        for number, (index, (x0, y0, x1, y1)) in enumerate(zip(four, corners)):
            label = self.labels[index]
            photo = open_photo(self.root / label["file"])
            photo, boxes, seen = _augment(photo, label, label.get("persons"), label["human_id"], side, rng)
            canvas.paste(photo.resize((x1 - x0, y1 - y0), Image.Resampling.BILINEAR, reducing_gap=2.0), (x0, y0))
            if number == 0:
                human = seen
                if seen != 0:
                    sx, sy = (x1 - x0) / side, (y1 - y0) / side
                    moved = boxes and [(x0 + a * sx, y0 + b * sy, x0 + c * sx, y0 + d * sy) for a, b, c, d in boxes]
                    part = (slice(y0 // 16, y1 // 16), slice(x0 // 16, x1 // 16))
                    target[part] = _map_target(moved, seen, cells)[part]
        return _tensor(canvas), UNKNOWN, human, target


def _tensor(photo):
    return torch.from_numpy(np.asarray(photo).transpose(2, 0, 1).copy())


def _augment(photo, label, boxes, human, side, rng):
    if rng.random() < 0.15:
        photo, boxes = _pad(photo, boxes, rng)
    if not boxes and rng.random() < (0.5 if label["category_id"] == 2 else 0.15):
        photo = _tilt(photo, rng)
    crop = _crop(photo, label, human, rng)
    if boxes and human == 1:
        # a crop that lost every person is not trusted either way: limbs outside the box happen
        kept = [b for b in _scaled(boxes, crop, 1.0) if (b[2] - b[0]) * (b[3] - b[1]) > 0.004]
        human = 1 if kept else UNKNOWN
    boxes = _scaled(boxes, crop, side)
    filter_ = rng.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX])
    photo = photo.resize((side, side), filter_, box=crop)
    if rng.random() < 0.5 and (label["category_id"] != 2 or rng.random() < 0.3):
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        boxes = boxes and [(side - x1, y0, side - x0, y1) for x0, y0, x1, y1 in boxes]
    return _degrade(photo, rng), boxes, human


def _turn(photo, boxes, rng):
    """By one, two or three quarters, as phones leave photos whose orientation got lost; `photo` is a square."""
    side = photo.width
    for _ in range(rng.randint(1, 3)):
        photo = photo.transpose(Image.Transpose.ROTATE_90)
        boxes = boxes and [(y0, side - x1, y1, side - x0) for x0, y0, x1, y1 in boxes]
    return photo, boxes


def _pad(photo, boxes, rng):
    """Lays the photo on a larger plain canvas: people become smaller, and frames stop meaning anything."""
    width, height = photo.size
    outer = int(width * rng.uniform(1, 1.6)), int(height * rng.uniform(1, 1.6))
    left, top = rng.randint(0, outer[0] - width), rng.randint(0, outer[1] - height)
    canvas = Image.new("RGB", outer, tuple(rng.choice([(0,) * 3, (255,) * 3, (rng.randint(0, 255),) * 3])))
    canvas.paste(photo, (left, top))
    return canvas, boxes and [(x0 + left, y0 + top, x1 + left, y1 + top) for x0, y0, x1, y1 in boxes]


def _tilt(photo, rng):
    """Turned a little, or seen from the side; the corners are black, white or grey, so that they tell nothing."""
    fill = rng.choice([(0, 0, 0), (255, 255, 255), (rng.randint(0, 255),) * 3])
    if rng.random() < 0.5:
        return photo.rotate(rng.uniform(-14, 14), Image.Resampling.BILINEAR, fillcolor=fill)
    w, h = photo.size
    x, y = [rng.uniform(-0.12, 0.12) * w for _ in range(4)], [rng.uniform(-0.12, 0.12) * h for _ in range(4)]
    corners = (x[0], y[0], x[1], h + y[1], w + x[2], h + y[2], w + x[3], y[3])
    return photo.transform((w, h), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR, fillcolor=fill)


def _crop(photo, label, human, rng):
    """A random window as (x0, y0, x1, y1). Without boxes a tight crop could lose the person, so there
    it stays wide; a menu keeps enough of itself to be one."""
    width, height = photo.size
    least = 0.4
    if human == 1 and not label.get("persons"):
        least = 0.9 if label.get("small") else 0.65
    elif label["category_id"] == 1:
        least = 0.5
    area, ratio = rng.uniform(least, 1.0), 2 ** rng.uniform(-0.35, 0.35)
    w, h = min(width, width * (area * ratio) ** 0.5), min(height, height * (area / ratio) ** 0.5)
    x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return x, y, x + w, y + h


def _degrade(photo, rng):
    for enhance, spread in ((ImageEnhance.Brightness, 0.35), (ImageEnhance.Contrast, 0.3), (ImageEnhance.Color, 0.35)):
        if rng.random() < 0.6:
            photo = enhance(photo).enhance(rng.uniform(1 - spread, 1 + spread))
    if rng.random() < 0.15:  # the light of candles and of neon
        tint = [rng.uniform(0.8, 1.2) for _ in range(3)]
        photo = photo.point([min(255, int(v * t)) for t in tint for v in range(256)])
    if rng.random() < 0.05:
        photo = photo.convert("L").convert("RGB")
    if rng.random() < 0.15:
        photo = photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.4)))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=rng.randint(25, 85))
        photo = Image.open(buffer).convert("RGB")
    return photo


def _scaled(boxes, crop, side):
    if boxes is None:
        return None
    x, y, sx, sy = crop[0], crop[1], side / (crop[2] - crop[0]), side / (crop[3] - crop[1])
    moved = [((x0 - x) * sx, (y0 - y) * sy, (x1 - x) * sx, (y1 - y) * sy) for x0, y0, x1, y1 in boxes]
    clipped = [tuple(min(max(v, 0), side) for v in box) for box in moved]
    return [box for box in clipped if box[2] > box[0] and box[3] > box[1]]


def _map_target(boxes, human, cells):
    """1 inside a person, 0 where there is none, -1 where nobody said."""
    if human == 0:
        return torch.zeros(cells, cells)
    if human == UNKNOWN or not boxes:
        return torch.full((cells, cells), -1.0)
    target = torch.zeros(cells, cells)
    for box in boxes:
        x0, y0, x1, y1 = (v / 16 for v in box)
        # the box's rim shows background, so only its core counts as person, and the rim as unknown
        dx, dy = (x1 - x0) * 0.15, (y1 - y0) * 0.1
        target[int(y0):int(np.ceil(y1)), int(x0):int(np.ceil(x1))] = -1.0
        target[int(y0 + dy):max(int(y0 + dy) + 1, round(y1 - dy)), int(x0 + dx):max(int(x0 + dx) + 1, round(x1 - dx))] = 1.0
    return target
