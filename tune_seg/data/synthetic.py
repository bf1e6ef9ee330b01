"""Street scenes that the package draws itself: ten classes whose pixel shares span three orders of magnitude.

They are made so that losses differ on them. Rare things look much like frequent ones (a traffic light like a lit
window in a dark wall, a sign like the awning of a shop, a pole like a trunk), borders are blurred, things hide one
another, and the light differs from scene to scene.

Lengths are in image heights, so that the same scene fills any size; y runs down from the upper edge and x right from
the left edge. A thing on the ground at nearness s (1 at the lower edge of the image, 0 at the horizon) and at x = X in
the street is drawn at `vanishing_x + X * s`, s times as large as at the lower edge.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_seg.data.dataset import SPLITS, TEST, Dataset, Image, Mask, Sample, SplitName

GENERATOR_VERSION = 1
"""Goes up when the images change, so that packs of the former ones are not taken for them."""

TRAIN_IMAGES = 96
VAL_IMAGES = 48
TEST_IMAGES = 48

CLASS_NAMES = (
    "sky",
    "building",
    "road",
    "pavement",
    "tree",
    "car",
    "pole",
    "pedestrian",
    "sign",
    "traffic light",
)
SKY, BUILDING, ROAD, PAVEMENT, TREE, CAR, POLE, PEDESTRIAN, SIGN, LIGHT = range(len(CLASS_NAMES))

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_METRE = 0.25  # at nearness 1
_HALF_ROAD = 3.2 * _METRE
_HALF_STREET = 5.2 * _METRE

_WALLS = np.array([(150, 110, 90), (170, 155, 130), (120, 118, 120), (185, 175, 165), (135, 85, 70)], np.float32)
_PAINTS = np.array([(95, 98, 102), (190, 192, 195), (35, 38, 45), (140, 30, 30), (40, 60, 120)], np.float32)
_CLOTHES = np.array([(45, 45, 60), (90, 80, 70), (60, 75, 100), (130, 60, 50), (110, 110, 105)], np.float32)
_SIGNS = np.array([(185, 35, 35), (35, 75, 165), (225, 190, 50)], np.float32)
_LAMPS = np.array([(235, 60, 45), (240, 190, 60), (70, 215, 120)], np.float32)


@dataclass(frozen=True)
class SyntheticDataset(Dataset):
    """The generated data set.

    Attributes:
        samples: numbered scenes; the id is the number.
        size: (H, W) in pixels.
        seed: another seed gives other scenes.
    """

    size: tuple[int, int]
    seed: int

    @classmethod
    def generate(cls, size: tuple[int, int], seed: int) -> "SyntheticDataset":
        """96 training, 48 validation and 48 test scenes of `size` (H, W)."""
        counts: dict[SplitName, int] = {"train": TRAIN_IMAGES, "val": VAL_IMAGES, "test": TEST_IMAGES}
        samples = tuple(Sample(f"{index:04d}", split) for split, count in counts.items() for index in range(count))
        return cls(samples, size, seed)

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASS_NAMES

    def load(self, sample: Sample) -> tuple[Image, Mask]:
        return scene(self.seed, sample.split, int(sample.id), self.size)

    def source(self) -> dict[str, Any]:
        return {
            "generator": GENERATOR_VERSION,
            "size": self.size,
            "seed": self.seed,
            "samples": [(sample.id, sample.split) for sample in self.samples],
        }


def scene(seed: int, split: SplitName, index: int, size: tuple[int, int]) -> tuple[Image, Mask]:
    """One street scene of `size` (H, W), a function of the arguments: image uint8 (H, W, 3) and mask uint8 (H, W).

    Example:
        >>> image, mask = scene(0, "train", 0, (64, 96))
        >>> image.shape, mask.shape
        ((64, 96, 3), (64, 96))
    """
    rng = np.random.default_rng((seed, (*SPLITS, TEST).index(split), index))
    canvas = _Canvas(size)
    street = _Street.draw(rng, canvas.width)
    _draw_sky(canvas, rng, street)
    _draw_facades(canvas, rng, street)
    _draw_ground(canvas, rng, street)
    things = [(rng.uniform(0.12, 0.5), _draw_tree) for _ in range(rng.integers(1, 4))]
    things += [(rng.uniform(0.12, 0.55), _draw_car) for _ in range(rng.integers(1, 4))]
    things += [(rng.uniform(0.15, 0.5), _draw_pole) for _ in range(rng.integers(1, 4))]
    things += [(rng.uniform(0.15, 0.45), _draw_pedestrian) for _ in range(rng.integers(0, 4))]
    things += [(rng.uniform(0.18, 0.4), _draw_sign) for _ in range(rng.integers(0, 3))]
    things += [(rng.uniform(0.2, 0.34), _draw_traffic_light) for _ in range(rng.random() < 0.25)]
    for nearness, draw in sorted(things, key=lambda thing: thing[0]):  # near things hide far ones
        draw(canvas, rng, street, nearness)
    return _photograph(canvas.colours, rng), canvas.mask


@dataclass(frozen=True)
class _Street:
    """Where the street runs: its vanishing point, and how far its middle is from the camera."""

    horizon: float
    vanishing_x: float
    middle: float

    @classmethod
    def draw(cls, rng: np.random.Generator, width: float) -> "_Street":
        return cls(rng.uniform(0.4, 0.5), width * rng.uniform(0.38, 0.62), rng.uniform(-0.25, 0.25))

    def ground(self, nearness: float) -> float:
        """y of the ground."""
        return self.horizon + (1.0 - self.horizon) * nearness

    def beside(self, rng: np.random.Generator, nearness: float, inner: float, outer: float) -> float:
        """x of a place `inner` to `outer` from the middle of the street, on one side or the other."""
        offset = rng.uniform(inner, outer) * (-1.0 if rng.random() < 0.5 else 1.0)
        return self.vanishing_x + (self.middle + offset) * nearness


class _Canvas:
    """Colours float32 (H, W, 3) and classes uint8 (H, W), painted over one another."""

    def __init__(self, size: tuple[int, int]) -> None:
        height, width = size
        self.width = width / height
        self.colours = np.zeros((height, width, 3), np.float32)
        self.mask = np.zeros(size, np.uint8)
        self.y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        self.x = ((np.arange(width, dtype=np.float32) + 0.5) / height)[None, :]

    def fill(self, where: Bools, colours: Floats, label: int) -> None:
        """Paint `colours` ((3,) or (H, W, 3)) where the (H, W) array is true."""
        np.copyto(self.colours, colours, where=where[..., None])
        self.mask[where] = label

    def rectangle(self, y: tuple[float, float], x: tuple[float, float], colour: Floats, label: int) -> None:
        """Paint the pixels whose centre is in the rectangle; one row and one column at least."""
        rows, columns = self._slice(y, self.mask.shape[0]), self._slice(x, self.mask.shape[1])
        self.colours[rows, columns] = colour
        self.mask[rows, columns] = label

    def ellipse(self, y: tuple[float, float], x: tuple[float, float], colour: Floats, label: int) -> None:
        """Paint the ellipse in the rectangle."""
        rows, columns = self._slice(y, self.mask.shape[0]), self._slice(x, self.mask.shape[1])
        down = (self.y[rows] - sum(y) / 2.0) / max(y[1] - y[0], 1e-6)
        across = (self.x[:, columns] - sum(x) / 2.0) / max(x[1] - x[0], 1e-6)
        where = down**2 + across**2 <= 0.25
        self.colours[rows, columns][where] = colour
        self.mask[rows, columns][where] = label

    def _slice(self, extent: tuple[float, float], length: int) -> slice:
        first, last = (round(edge * self.mask.shape[0]) for edge in extent)
        return slice(min(max(first, 0), length), min(max(last, first + 1, 0), length))


def _draw_sky(canvas: _Canvas, rng: np.random.Generator, street: _Street) -> None:
    high = np.array((110, 150, 205), np.float32) * rng.uniform(0.8, 1.15)
    low = np.array((205, 215, 225), np.float32) * rng.uniform(0.85, 1.1)
    share = np.clip(canvas.y / street.horizon, 0.0, 1.0)[..., None]
    clouds = np.clip(_noise(rng, canvas.mask.shape, (5, 6)) * rng.uniform(0.5, 2.0), 0.0, 1.0)[..., None]
    blue = high + (low - high) * share
    canvas.colours[:] = blue + (np.float32(215) - blue) * clouds
    canvas.mask[:] = SKY


def _draw_facades(canvas: _Canvas, rng: np.random.Generator, street: _Street) -> None:
    """Walls along both sides of the street, with windows, lit windows and the awnings of shops."""
    shaded = rng.choice((-1, 1))
    for side in (-1, 1):
        nearness = side * (canvas.x - street.vanishing_x) / (_HALF_STREET + side * street.middle)
        near = np.maximum(nearness, 0.03)  # the end of the street
        ends = np.sort(rng.uniform(0.08, 0.9, 4))
        house = np.searchsorted(ends, near)
        heights = rng.uniform(0.25, 1.15, 5)[house].astype(np.float32)
        walls = (_WALLS[rng.integers(len(_WALLS), size=5)] * rng.uniform(0.75, 1.15, (5, 1)))[house]
        up = (street.horizon - canvas.y) / near  # height above the horizon, and
        along = 1.0 / near  # distance along the wall, both free of perspective
        colours = np.broadcast_to(walls, (*canvas.mask.shape, 3)).astype(np.float32)
        storey, bay = up / 0.3 + 0.4, along / 0.35
        window = (storey % 1.0 > 0.3) & (storey % 1.0 < 0.8) & (bay % 1.0 > 0.3) & (bay % 1.0 < 0.75) & (up > 0.0)
        kinds = rng.random(97)[(np.floor(storey) * 13 + np.floor(bay) * 7).astype(np.int64) % 97]
        glass = np.array((58, 64, 74), np.float32) * rng.uniform(0.8, 1.3)
        colours[window] = glass
        lit = window & (kinds < 0.15)
        colours[lit] = _LAMPS[(kinds[lit] * 97 / 0.15).astype(np.int64) % 3] * 0.9
        shop = (up < -0.02) & (up > -0.16) & (rng.random(97)[(along * 1.5).astype(np.int64) % 97] < 0.35)
        colours[shop] = _SIGNS[rng.integers(len(_SIGNS))] * rng.uniform(0.7, 1.0)
        if side == shaded:
            colours *= np.float32(rng.uniform(0.5, 0.75))
        ground = street.horizon + (1.0 - street.horizon) * near
        canvas.fill((canvas.y < ground) & (up < heights) & (nearness > 0.0), colours, BUILDING)


def _draw_ground(canvas: _Canvas, rng: np.random.Generator, street: _Street) -> None:
    nearness = np.maximum((canvas.y - street.horizon) / (1.0 - street.horizon), 1e-4)
    across = np.abs((canvas.x - street.vanishing_x) / nearness - street.middle)
    below = canvas.y > street.horizon
    stain = 1.0 + 0.08 * _noise(rng, canvas.mask.shape, (9, 12))[..., None]
    grey = np.array((104, 104, 108), np.float32) * rng.uniform(0.75, 1.1)
    slabs = np.where((1.0 / nearness * 2.0) % 1.0 < 0.12, 0.9, 1.0)[..., None].astype(np.float32)
    pale = np.array((146, 140, 132), np.float32) * rng.uniform(0.8, 1.1)
    canvas.fill(below & (across < _HALF_STREET), pale * stain * slabs, PAVEMENT)
    canvas.fill(below & (across < _HALF_ROAD), grey * stain, ROAD)
    dash = below & (across < 0.03) & ((1.0 / nearness * 0.9) % 1.0 < 0.5)
    canvas.fill(dash, np.array((205, 205, 200), np.float32), ROAD)


def _draw_tree(canvas: _Canvas, rng: np.random.Generator, street: _Street, nearness: float) -> None:
    metre, base = _METRE * nearness, street.ground(nearness)
    x = street.beside(rng, nearness, _HALF_ROAD + 0.1, _HALF_STREET + 0.1)
    bark = np.array((92, 84, 76), np.float32) * rng.uniform(0.8, 1.1)
    canvas.rectangle((base - 3.2 * metre, base), (x - 0.13 * metre, x + 0.13 * metre), bark, TREE)
    green = np.array((62, 92, 48), np.float32) * rng.uniform(0.7, 1.25)
    for _ in range(9):
        down, right = base - rng.uniform(2.9, 5.0) * metre, x + rng.uniform(-0.9, 0.9) * metre
        radius = rng.uniform(0.5, 1.0) * metre
        leaves = green * np.float32(rng.uniform(0.75, 1.25))
        canvas.ellipse((down - radius, down + radius), (right - radius, right + radius), leaves, TREE)


def _draw_car(canvas: _Canvas, rng: np.random.Generator, street: _Street, nearness: float) -> None:
    metre, base = _METRE * nearness, street.ground(nearness)
    lane = rng.choice((-0.72, -0.28, 0.28, 0.72)) * _HALF_ROAD
    x = street.vanishing_x + (street.middle + lane) * nearness
    paint = _PAINTS[rng.integers(len(_PAINTS))] * np.float32(rng.uniform(0.8, 1.15))
    dark = np.array((28, 28, 30), np.float32)
    half, tall = 0.85 * metre, rng.uniform(1.35, 1.8) * metre
    for wheel in (-0.7, 0.45):
        canvas.rectangle((base - 0.3 * metre, base), (x + wheel * metre, x + (wheel + 0.25) * metre), dark, CAR)
    canvas.rectangle((base - tall, base - 0.5 * tall), (x - 0.8 * half, x + 0.8 * half), paint, CAR)
    canvas.rectangle((base - 0.9 * tall, base - 0.58 * tall), (x - 0.66 * half, x + 0.66 * half), dark * 1.9, CAR)
    canvas.rectangle((base - 0.58 * tall, base - 0.15 * metre), (x - half, x + half), paint, CAR)
    rear = np.array((190, 40, 35), np.float32) if lane > 0.0 else np.array((235, 230, 205), np.float32)
    for lamp in (-0.95, 0.65):
        canvas.rectangle((base - 0.5 * tall, base - 0.38 * tall), (x + lamp * half, x + (lamp + 0.3) * half), rear, CAR)


def _draw_pole(canvas: _Canvas, rng: np.random.Generator, street: _Street, nearness: float) -> None:
    _post(canvas, rng, street, nearness, rng.uniform(4.0, 6.5))


def _draw_sign(canvas: _Canvas, rng: np.random.Generator, street: _Street, nearness: float) -> None:
    metre = _METRE * nearness
    x, top = _post(canvas, rng, street, nearness, rng.uniform(2.3, 3.0))
    colour = _SIGNS[rng.integers(len(_SIGNS))] * np.float32(rng.uniform(0.8, 1.1))
    radius = rng.uniform(0.32, 0.45) * metre
    draw = canvas.ellipse if rng.random() < 0.6 else canvas.rectangle
    draw((top - radius, top + radius), (x - radius, x + radius), colour, SIGN)


def _draw_traffic_light(canvas: _Canvas, rng: np.random.Generator, street: _Street, nearness: float) -> None:
    metre = _METRE * nearness
    x, top = _post(canvas, rng, street, nearness, rng.uniform(2.8, 3.4))
    housing = np.array((40, 44, 46), np.float32)
    canvas.rectangle((top - 0.6 * metre, top + 0.6 * metre), (x - 0.25 * metre, x + 0.25 * metre), housing, LIGHT)
    burning = rng.integers(3)
    middle = top + (burning - 1) * 0.36 * metre
    radius = 0.21 * metre
    canvas.rectangle((middle - radius, middle + radius), (x - radius, x + radius), _LAMPS[burning], LIGHT)


def _draw_pedestrian(canvas: _Canvas, rng: np.random.Generator, street: _Street, nearness: float) -> None:
    metre, base = _METRE * nearness * rng.uniform(0.85, 1.05), street.ground(nearness)
    x = street.beside(rng, nearness, _HALF_ROAD - 0.1, _HALF_STREET - 0.1)
    coat, trousers = (_CLOTHES[rng.integers(len(_CLOTHES))] * np.float32(rng.uniform(0.7, 1.2)) for _ in range(2))
    for leg in (-0.17, 0.03):
        canvas.rectangle((base - 0.85 * metre, base), (x + leg * metre, x + (leg + 0.14) * metre), trousers, PEDESTRIAN)
    canvas.rectangle((base - 1.45 * metre, base - 0.75 * metre), (x - 0.24 * metre, x + 0.24 * metre), coat, PEDESTRIAN)
    skin = np.array((185, 140, 115), np.float32) * rng.uniform(0.5, 1.1)
    canvas.ellipse((base - 1.75 * metre, base - 1.43 * metre), (x - 0.13 * metre, x + 0.13 * metre), skin, PEDESTRIAN)


def _post(canvas: _Canvas, rng: np.random.Generator, street: _Street, nearness: float, metres: float) -> tuple[float, float]:
    """Draw a post of this height in metres beside the road; (x, y) of its upper end."""
    metre, base = _METRE * nearness, street.ground(nearness)
    x = street.beside(rng, nearness, _HALF_ROAD + 0.05, _HALF_ROAD + 0.25)
    grey = np.array((98, 98, 98), np.float32) * rng.uniform(0.7, 1.2)
    canvas.rectangle((base - metres * metre, base), (x - 0.07 * metre, x + 0.07 * metre), grey, POLE)
    return x, base - metres * metre


def _photograph(colours: Floats, rng: np.random.Generator) -> Image:
    """What a camera makes of the scene: soft borders, the light of the day, noise."""
    height, width = colours.shape[:2]
    for _ in range(max(1, round(height / 64))):
        padded = np.pad(colours, ((1, 1), (1, 1), (0, 0)), mode="edge")
        rows = padded[:-2] + 2.0 * padded[1:-1] + padded[2:]
        colours = (rows[:, :-2] + 2.0 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(16)
    light = rng.uniform(0.65, 1.2) * rng.uniform(0.93, 1.07, 3)
    uneven = 1.0 + 0.12 * _noise(rng, (height, width), (3, 3))[..., None]
    noisy = colours * (light * uneven).astype(np.float32)
    noisy += rng.standard_normal(noisy.shape, np.float32) * np.float32(rng.uniform(4.0, 10.0))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator, size: tuple[int, ...], cells: tuple[int, int]) -> Floats:
    """Smooth noise in [-1, 1], (H, W): random values on a grid of `cells`, linear in between."""
    values = rng.uniform(-1.0, 1.0, cells).astype(np.float32)
    return _stretch(_stretch(values, size[0]).T, size[1]).T


def _stretch(values: Floats, length: int) -> Floats:
    """(n, k) to (length, k), linear in between; no matrix product, whose last bits differ from machine to machine."""
    places = np.linspace(0.0, len(values) - 1.0, length)
    first = np.minimum(places.astype(np.int64), len(values) - 2)
    share = (places - first).astype(np.float32)[:, None]
    stretched: Floats = values[first] + (values[first + 1] - values[first]) * share
    return stretched
