"""Which 2-D layouts are asked for: a JSON file, pictures of a COCO file, held-out rooms."""

from collections.abc import Sequence
from pathlib import Path

import torch

from invert3d.data.coco import CocoFolder
from invert3d.data.layout_files import read_layout
from invert3d.data.worlds.rooms import make_room
from invert3d.models.detectors import Detector
from invert3d.ops.seeds import HELD_OUT
from invert3d.registry import unknown
from invert3d.study.layouts.files import read_picture
from invert3d.study.layouts.flat_checks import check_flat
from invert3d.study.layouts.scenes import Scenes


def flat_scenes(
    detector: Detector,
    *,
    layout: Path | None = None,
    coco: Path | None = None,
    images: Path | None = None,
    image_ids: Sequence[str] = (),
    rooms: int | None = None,
    first: int = 0,
    start: Path | None = None,
) -> Scenes:
    """The layouts that a command asks for, moved to the detector's size, with their pictures where there are some.

    Args:
        detector: what is asked.
        layout: a file for ``read_layout``.
        coco: a COCO file, and the folder ``images`` of its pictures, by default beside it.
        image_ids: of that file; all by default.
        rooms: so many held-out rooms of the detector's size that something is in, from number ``first`` on.
        start: the real picture of ``layout``.

    Raises:
        ValueError: not exactly one of layout, coco, rooms is given; a file is broken; or an object is of a kind that
            the detector does not know, outside of the picture, or without an area.
    """
    sources = {"--layout": layout, "--coco": coco, "--rooms": rooms}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) != 1:
        words = "say what to invert with one of --layout, --coco or --rooms"
        raise ValueError(words + (f", not {' and '.join(given)}" if given else ""))
    if start is not None and layout is None:
        raise ValueError("--start is the picture of --layout; --coco and --rooms have pictures of their own")
    if layout is not None:
        asked, name = read_layout(layout), Path(layout).stem
        check_flat(asked, detector.kinds, str(layout))
        if start is None:
            return Scenes((name,), (detector.prepare_layout(asked),))
        picture, prepared = detector.prepare(read_picture(start), asked)
        return Scenes((name,), (prepared,), {name: picture})
    if coco is not None:
        return _of_file(detector, CocoFolder(coco, images), image_ids)
    return _rooms(detector, rooms or 0, first)


def _of_file(detector: Detector, folder: CocoFolder, image_ids: Sequence[str]) -> Scenes:
    by_name = {str(number): number for number in folder.ids}
    for text in image_ids:
        if text not in by_name:
            raise ValueError(f"{folder.annotations}: {unknown('picture', text, list(by_name))}")
    names, layouts, originals, left_out = [], [], {}, []
    for text in image_ids or by_name:
        number = by_name[text]
        name = Path(str(folder.picture(number)["file_name"])).stem
        whole = folder.layout(number, masks=True)
        if image_ids or len(whole):
            check_flat(whole, detector.kinds, f"{folder.annotations.name}, picture {text}")
        if not len(whole):
            left_out.append(f"{name}: nothing is in it")
            continue
        picture = torch.from_numpy(folder.image(number).copy()).permute(2, 0, 1).float() / 255
        originals[name], prepared = detector.prepare(picture, whole)
        names.append(name)
        layouts.append(prepared)
    if not names:
        raise ValueError(f"{folder.annotations} has no picture with an object in it")
    return Scenes(tuple(names), tuple(layouts), originals, left_out=tuple(left_out))


def _rooms(detector: Detector, count: int, first: int) -> Scenes:
    names, layouts, originals, index = [], [], {}, first
    while len(names) < count:
        room = make_room(index, size=detector.height, seed=HELD_OUT)
        if len(room.layout):
            check_flat(room.layout, detector.kinds, f"room {index}")
            name = f"room{index:04d}"
            picture = torch.from_numpy(room.image).permute(2, 0, 1).float() / 255
            originals[name], prepared = detector.prepare(picture, room.layout)
            names.append(name)
            layouts.append(prepared)
        index += 1
    return Scenes(tuple(names), tuple(layouts), originals)
