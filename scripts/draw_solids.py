"""Draw docs/pictures/solids.png: four layouts of one object each, inverted with free pixels and with solids.

python scripts/draw_solids.py [STEPS]    # some minutes on two cores; with STEPS a quick look
"""

import sys
from pathlib import Path

import torch
from PIL import Image

from invert3d.jobs.options import RunOptions
from invert3d.methods.layouts import layout_recipe
from invert3d.opening.detectors import open_detector
from invert3d.ops.layouts import Layout
from invert3d.ops.seeds import HELD_OUT
from invert3d.study.layouts.job import invert_boxes
from invert3d.training.streets import street_frames
from invert3d.view.figures import Panel, contact_sheet

#: kind, height, width and length in meters, right of and before the camera in meters, rotation_y in radians
ASKED = (
    ("Car", (1.5, 1.7, 4.2), (-2.0, 9.0), -1.2),
    ("Car", (1.5, 1.7, 4.2), (0.5, 8.0), -1.57),
    ("Pedestrian", (1.75, 0.6, 0.7), (-1.5, 6.0), 0.0),
    ("Pedestrian", (1.75, 0.6, 0.7), (2.0, 8.0), 1.5),
)
NAMES = ("car1", "car3", "person1", "person2")  # what is drawn at random follows from these and the seed
GROUND = 1.65  # meters below the camera


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else None
    detector, options = open_detector("centernet3d-small"), RunOptions(seed=1, workers=2)
    size = detector.height, detector.width
    camera = street_frames(1, *size, seed=HELD_OUT).layouts[0].projection
    layouts = [
        Layout.of([kind], torch.tensor([sides]), torch.tensor([[x, GROUND, z]]), torch.tensor([yaw]), camera, *size)
        for kind, sides, (x, z), yaw in ASKED
    ]
    columns = [
        invert_boxes(
            detector, layouts, recipe=layout_recipe(name, detector, steps=steps), names=NAMES, options=options
        ).pictures
        for name in ("ours", "solids")
    ]
    rows = [
        [Panel(image=(255 * picture).byte().permute(1, 2, 0).numpy()) for picture in row]
        for row in zip(*columns, strict=True)
    ]
    sheet = contact_sheet(
        rows,
        column_titles=["free pixels (ours)", "drawn with solids"],
        row_titles=[f"a {kind.lower()}" for kind, *_ in ASKED],
        panel_size=(480, 144),
    )
    half = sheet.convert("RGB").resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS)
    half.quantize(200).save(Path("docs/pictures/solids.png"), optimize=True)


if __name__ == "__main__":
    main()
