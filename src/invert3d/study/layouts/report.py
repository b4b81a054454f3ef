"""What a run of inverted layouts shows: figures, a sweep's sheet and GIF, and one page."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tomli_w
import torch

from invert3d.evaluate.layouts import errors
from invert3d.jobs.folder import read_run
from invert3d.models.detectors.centernet3d import CenterNet3D
from invert3d.ops.layouts import Layout
from invert3d.ops.shares import share
from invert3d.study.layouts.files import levels_between, pixels
from invert3d.study.layouts.job import BoxesRun, agreeing, redetected
from invert3d.study.layouts.scenes import SWEEPS
from invert3d.study.layouts.score import sure
from invert3d.view.boxes import SceneFrame, difference_map
from invert3d.view.boxfigures import four_panels, picture_sheet, strip, write_gif
from invert3d.view.scenes import write_scene_page

MOST_PANELS = 12  # frames with a figure of their own
MOST_SCENES = 24  # frames on the page


def report(
    run: BoxesRun, folder: Path, *, detector: CenterNet3D, model: str, sweep: tuple[str, Sequence[float]] | None = None
) -> Path:
    """Write the pictures and the page of a run into its folder, and return the page."""
    folder = Path(folder)
    shown = [sure(layout) for layout in run.found]
    seen = on_originals(detector, run)
    for i in range(min(len(run.names), MOST_PANELS) if sweep is None else 0):
        scene = scene_of(run, i, f"{run.names[i]}: inverted from {Path(model).stem}", shown[i], seen[i])
        numbers = {"steps": run.steps[i], "loss": round(run.losses[i], 3)}
        four_panels(folder / "figures" / f"{run.names[i]}.png", scene, numbers)
    if sweep is not None:
        write_sweep(run, shown, folder, *sweep)
    write_differences(run, folder)
    agrees = agreeing(detector, list(run.pictures), list(run.asked))
    if sweep is not None:
        moved = zip(sweep[1], run.names, strict=False)  # an interrupted run has fewer
        run = replace(run, names=tuple(f"{sweep[0]} {value:g} {SWEEPS[sweep[0]]}" for value, _ in moved))
    return write_boxes_page(folder, run, shown, agrees, seen, model)


def about_run(folder: Path, model: str) -> tuple[dict[str, str], str]:
    """What a page says of a run: model, recipe, seed and versions by name; and its command with the recipe as TOML."""
    facts = read_run(folder) if (folder / "run.json").is_file() else {}
    settings = facts.get("settings", {})
    recipe = next((source["recipe"] for source in settings.get("sources", {}).values()), {"name": ""})
    about = {"model": model, "recipe": recipe["name"], "seed": str(settings.get("seed", ""))}
    return {**about, **facts.get("environment", {})}, f"{facts.get('command', '')}\n\n{tomli_w.dumps(recipe)}"


def scene_of(run: BoxesRun, i: int, name: str, shown: Layout, seen: Layout | None) -> SceneFrame:
    """Frame i of a run: what was asked, its pictures, and what is read from the made one and from the real one."""
    original = run.originals.get(run.names[i])
    return SceneFrame(
        name=name,
        truth=run.asked[i],
        original=None if original is None else pixels(original),
        on_original=seen,
        inverted=pixels(run.pictures[i]),
        on_inverted=shown,
    )


def on_originals(detector: CenterNet3D, run: BoxesRun) -> list[Layout | None]:
    """What the detector sees in the real pictures, for those frames that have one."""
    real = {name: layout for name, layout in zip(run.names, run.asked, strict=True) if name in run.originals}
    found = redetected(detector, [run.originals[name] for name in real], list(real.values()))
    seen = dict(zip(real, map(sure, found), strict=True))
    return [seen.get(name) for name in run.names]


def write_sweep(run: BoxesRun, shown: Sequence[Layout], folder: Path, quantity: str, values: Sequence[float]) -> None:
    """A contact sheet and a GIF of a sweep, captioned with the asked value and what is read."""
    unit = SWEEPS[quantity]
    captions = [
        f"{quantity} {value:g} {unit}; detected: {_read(asked, found, quantity)}"
        for value, asked, found in zip(values, run.asked, shown, strict=False)
    ]
    images = [pixels(picture) for picture in run.pictures]
    strip(
        folder / "figures" / "sweep.png",
        images,
        list(shown),
        captions,
        title=f"Sweep over the {quantity} of one object",
        note="Boxes: detections in the saved picture.",
        columns=2 if images[0].shape[1] > 640 else 3,
    )
    write_gif(folder / "figures" / "sweep.gif", images, captions, fps=4)


def _read(asked: Layout, found: Layout, quantity: str) -> str:
    """What a detector reads of the first object's quantity."""
    table = errors(asked, found)
    mine = [int(b) for a, b in table.pairs.tolist() if a == 0]
    if not mine:
        return "nothing"
    one = found.select(torch.tensor(mine))
    value = {
        "depth": one.centers[0, 2],
        "side": one.centers[0, 0],
        "yaw": one.yaws[0].rad2deg() % 360,
        "height": one.sizes[0, 0],
        "length": one.sizes[0, 2],
    }[quantity]
    return f"{float(value):.1f} {SWEEPS[quantity]}"


def write_differences(run: BoxesRun, folder: Path) -> list[Path]:
    """Where a run began with real pictures: what was changed in each, as a map of lighter and darker. Returns files."""
    settings, written = read_run(folder)["settings"] if (folder / "run.json").is_file() else {}, []
    if not any(source.get("start") for source in settings.get("sources", {}).values()):
        return []
    for name, picture in zip(run.names, run.pictures, strict=True):
        if name not in run.originals:
            continue
        before, after = pixels(run.originals[name]), pixels(picture)
        change, most = difference_map(before, after)
        wide = before.shape[1] > 1.5 * before.shape[0]
        largest, usual = levels_between(run.originals[name], picture)
        sheet = picture_sheet(
            folder / "figures" / f"{name}-change.png",
            [before, after, change],
            ["the picture", "changed", f"red: lighter, blue: darker, by up to {most:.2f}"],
            1 if wide else 3,
            title=f"{name}: the change for the requested layout",
            note=f"No value changes by more than {largest:.0f} of 255; root mean square {usual:.1f}.",
            width=900 if wide else 320,
        )
        written.append(sheet)
    return written


def judgment(agrees: Sequence[bool], asked: Sequence[Layout], shown: Sequence[Layout]) -> str:
    """What a detector reads of what was asked in some pictures, in words, and whether it sees just that in them
    (``Detector.agrees``): overlap, meters and degrees are means over the objects that it reads."""
    each = [errors(one, other) for one, other in zip(asked, shown, strict=True)]
    read, extra = sum(len(one.pairs) for one in each), sum(one.false for one in each)
    whole = f"The detector sees the requested layout in {share(sum(agrees), len(agrees))} pictures"
    words = [
        whole if len(agrees) > 1 else f"The detector {'sees' if any(agrees) else 'does not see'} the requested layout"
    ]
    words.append(f"{share(read, read + sum(one.missed for one in each))} objects found")
    if read:
        iou, depth, yaw = (
            float(torch.cat([getattr(one, k) for one in each]).mean()) for k in ("iou3d", "depth", "yaw")
        )
        words += [f"3-D overlap {iou:.2f}", f"{depth:.2f} m off in depth", f"{yaw:.0f} degrees off in yaw"]
    words.append(f"{extra or 'no'} extra object{'' if extra == 1 else 's'}")
    return "; ".join(words) + "."


def write_boxes_page(
    folder: Path,
    run: BoxesRun,
    shown: Sequence[Layout],
    agrees: Sequence[bool],
    seen: Sequence[Layout | None],
    model: str,
) -> Path:
    """The page: what the detector reads in words, figures of a sweep or of changes, pictures beside scenes to turn, and
    a table of the objects, asked and read.

    Args:
        folder: of the run.
        run: pictures and what was asked.
        shown: what is read from each picture.
        agrees: whether that is what was asked, see ``agreeing``.
        seen: what is read from the originals, in the order of the run, None where there is none.
        model: the detector.
    """
    frames = [
        replace(
            scene_of(run, i, name, shown[i], seen[i]),
            caption=judgment(agrees[i : i + 1], run.asked[i : i + 1], shown[i : i + 1]),
            badges={"steps": str(run.steps[i])},
        )
        for i, name in enumerate(run.names[:MOST_SCENES])
    ]
    about, recipe = about_run(folder, model)
    figures = {"sweep.png": "The sweep", "sweep.gif": "The sweep as an animation"}
    there = [(title, path) for name, title in figures.items() if (path := folder / "figures" / name).is_file()]
    there += [("What must change", path) for path in sorted((folder / "figures").glob("*-change.png"))[:MOST_PANELS]]
    return write_scene_page(
        folder,
        frames,
        about,
        title="Inverted layouts",
        subtitle=f"Detections of {Path(model).stem} in the saved 8-bit pictures. {judgment(agrees, run.asked, shown)}",
        pictures=there,
        recipe=recipe,
        notes=[
            "The detector sees the requested layout if the detections above a score of 0.3 are exactly the requested "
            "objects, with corners on average within 2 % of a diagonal.",
            "A picture that only its own detector understands is an adversarial example: "
            "invert3d evaluate boxes RUN --models OTHER measures what another detector sees.",
        ],
    )
