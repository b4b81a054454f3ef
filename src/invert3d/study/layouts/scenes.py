"""Which scenes are asked for: label files, folders, JSON scenes, held-out streets; and sweeps of one of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from invert3d.data.kitti import KittiFolder, check_visible, read_calibration, read_labels
from invert3d.data.scenes import read_scene
from invert3d.jobs.options import RunOptions
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT
from invert3d.registry import unknown
from invert3d.study.layouts.files import read_picture
from invert3d.training.streets import street_frames

#: what can be swept, and in which unit
SWEEPS = {"depth": "m", "side": "m", "yaw": "degrees", "height": "m", "length": "m"}


@dataclass(frozen=True)
class Scenes:
    """Layouts with names, the real pictures of some of them (3, h, w) as the detector sees them, and where to begin."""

    names: tuple[str, ...]
    layouts: tuple[Layout, ...]
    originals: dict[str, Tensor] = field(default_factory=dict)
    start: Tensor | None = None
    left_out: tuple[str, ...] = ()  # frames that nothing can be asked of, and why

    def real(self) -> Tensor | None:
        """The real pictures (A, 3, h, w) in the order of the names; None where one is missing."""
        if not all(name in self.originals for name in self.names):
            return None
        return torch.stack([self.originals[name] for name in self.names])

    def repeated(self, samples: int) -> "Scenes":
        """Each scene so many times."""
        names = tuple(f"{name}-{k}" for name in self.names for k in range(samples))
        whole = {f"{name}-{k}": value for name, value in self.originals.items() for k in range(samples)}
        start = None if self.start is None else self.start.repeat_interleave(samples, 0)
        return Scenes(names, tuple(each for each in self.layouts for _ in range(samples)), whole, start)


def asked_scenes(
    detector: CenterNet3D,
    *,
    labels: Path | None = None,
    calib: Path | None = None,
    image: Path | None = None,
    layout: Path | None = None,
    frames: str | None = None,
    split: str | None = None,
    streets: int | None = None,
    clutter: bool = False,
    start: Path | None = None,
    options: RunOptions = RunOptions(),
) -> Scenes:
    """The scenes that a command asks for, moved to the detector's size. The workers of ``options`` make streets.

    Raises:
        ValueError: not exactly one of labels, layout, frames, streets is given; labels come without a calibration; a
            file is broken (named by line), or asks for what no picture can show.
    """
    sources = {"labels": labels, "layout": layout, "frames": frames, "streets": streets}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        raise ValueError(
            "say what to invert with one of --labels, --layout, --frames or --streets"
            + (f", not {' and '.join(given)}" if given else "")
        )
    if streets is not None:
        scenes = _streets(detector, streets, clutter, options)
    elif frames is not None:
        scenes = _folder(detector, Path(frames), split)
    elif layout is not None:
        scenes = _one(detector, read_scene(layout), Path(layout).stem, image, str(layout))
    else:
        scenes = _labels(detector, Path(str(labels)), calib, image or start)
    if start is None:
        return scenes
    picture, _ = _prepared(detector, start, scenes.layouts[0])
    return replace(
        scenes,
        start=picture.expand(len(scenes.layouts), -1, -1, -1),
        originals={name: picture for name in scenes.names},
    )


def _streets(detector: CenterNet3D, count: int, clutter: bool, options: RunOptions) -> Scenes:
    size = (detector.height, detector.width)
    made = street_frames(count, *size, seed=HELD_OUT, clutter=clutter, options=options)
    pictures = dict(zip(made.names, made.pictures, strict=True))
    return _askable(detector, Scenes(made.names, made.layouts, pictures), {})


def _folder(detector: CenterNet3D, root: Path, split: str | None) -> Scenes:
    folder = KittiFolder(root, split)
    originals, layouts, broken = {}, [], {}
    for name in folder.ids:
        whole = folder.layout(name)
        try:
            check_visible(real_objects(whole), f"{name}.txt")
        except ValueError as error:
            broken[name] = str(error)
        picture = torch.from_numpy(folder.image(name).copy()).permute(2, 0, 1).float() / 255
        originals[name], prepared = detector.prepare(picture, whole)
        layouts.append(prepared)
    return _askable(detector, Scenes(tuple(folder.ids), tuple(layouts), originals), broken)


def _askable(detector: CenterNet3D, scenes: Scenes, broken: dict[str, str]) -> Scenes:
    """The scenes that something can be asked of. ValueError if there is none."""
    why = dict(broken)
    for name, layout in zip(scenes.names, scenes.layouts, strict=True):
        if not detector.count_assignable(layout):
            why.setdefault(name, f"{name}: no {' or '.join(detector.kinds)} with its middle in the picture")
    keep = [i for i, name in enumerate(scenes.names) if name not in why]
    if not keep:
        raise ValueError("; ".join(why.values()) or "there is no frame")
    names = tuple(scenes.names[i] for i in keep)
    return Scenes(
        names,
        tuple(scenes.layouts[i] for i in keep),
        {name: scenes.originals[name] for name in names},
        left_out=tuple(why.values()),
    )


def _labels(detector: CenterNet3D, labels: Path, calib: Path | None, image: Path | None) -> Scenes:
    if calib is None:
        raise ValueError(f"--labels {labels.name} needs --calib, the calibration file of its camera")
    camera = read_calibration(calib).projection
    height, width = (375, 1242) if image is None else tuple(read_picture(image).shape[1:])
    whole = read_labels(labels, camera, height, width)
    check_visible(real_objects(whole), labels.name)
    return _one(detector, whole, labels.stem, image, str(labels))


def real_objects(layout: Layout) -> Layout:
    """The objects of a label file without its DontCare regions and kinds that nothing is said about."""
    return layout.select(torch.tensor([kind != "DontCare" for kind in layout.kinds], dtype=torch.bool))


def _one(detector: CenterNet3D, layout: Layout, name: str, image: Path | None, source: str) -> Scenes:
    if not len(real_objects(layout)):
        raise ValueError(f"{source} has no object in it, so there is nothing to invert")
    check_visible(real_objects(layout), source)
    if image is None:
        return Scenes((name,), (detector.prepare_layout(layout),))
    picture, prepared = _prepared(detector, image, layout)
    return Scenes((name,), (prepared,), {name: picture})


def _prepared(detector: CenterNet3D, path: Path, layout: Layout) -> tuple[Tensor, Layout]:
    """A picture file as the detector sees it. A layout that is prepared already has the detector's size."""
    picture = read_picture(path)
    if (layout.height, layout.width) == (detector.height, detector.width) != tuple(picture.shape[1:]):
        whole = Layout.empty(layout.projection, int(picture.shape[1]), int(picture.shape[2]))
        return detector.prepare(picture, whole)[0], layout
    return detector.prepare(picture, layout)


def parsed_sweep(words: Sequence[str]) -> tuple[str, list[float]]:
    """Quantity and values of "depth 10:40:2". Raises ValueError for another form or an unknown quantity."""
    if len(words) != 2 or words[1].count(":") != 2:
        raise ValueError(f"a sweep is QUANTITY FROM:TO:STEP, such as depth 10:40:2, not {' '.join(words)!r}")
    if words[0] not in SWEEPS:
        raise ValueError(unknown("quantity", words[0], SWEEPS))
    try:
        low, high, step = (float(part) for part in words[1].split(":"))
    except ValueError:
        raise ValueError(f"FROM, TO and STEP must be numbers, not {words[1]!r}") from None
    if step <= 0 or high < low:
        raise ValueError(f"a sweep goes up: FROM <= TO and STEP > 0, not {words[1]}")
    count = int((high - low) / step + 1e-9) + 1
    return words[0], [low + i * step for i in range(count)]


def swept(scenes: Scenes, quantity: str, values: Sequence[float], detector: CenterNet3D) -> Scenes:
    """The first scene again for each value of its first object's depth, side, yaw (degrees), height or length.

    Raises ValueError where it has no object that the detector knows, or the first leaves the picture.
    """
    whole = scenes.layouts[0].of_kinds(detector.kinds)
    if not len(whole):
        raise ValueError(f"there is no {' or '.join(detector.kinds)} in {scenes.names[0]} to move")
    layouts = tuple(_with(whole, quantity, value) for value in values)
    for layout, value in zip(layouts, values, strict=True):
        if not detector.count_assignable(layout.select(torch.tensor([0]))):
            raise ValueError(f"at {quantity} {value:g} the middle of the first object is outside the picture")
    names = tuple(f"{quantity}{i:03d}" for i in range(len(values)))
    start = None if scenes.start is None else scenes.start[:1].expand(len(values), -1, -1, -1)
    return Scenes(names, layouts, {}, start)


def _with(layout: Layout, quantity: str, value: float) -> Layout:
    sizes, centers, yaws = layout.sizes.clone(), layout.centers.clone(), layout.yaws.clone()
    if quantity == "depth":
        centers[0, 2] = value
    elif quantity == "side":
        centers[0, 0] = value
    elif quantity == "yaw":
        yaws[0] = math.radians(value)
    else:
        sizes[0, 0 if quantity == "height" else 2] = value
    return Layout.of(layout.kinds, sizes, centers, yaws, layout.projection, layout.height, layout.width)
