"""Pictures: clouds splatted without OpenGL, figures, files for other programs, pages and a live view."""

from invert3d.data.clouds import read_points
from invert3d.view.boxes import difference_map, draw_layout, kind_color
from invert3d.view.boxfigures import four_panels, picture_sheet, strip, write_gif
from invert3d.view.camera import Camera, to_z_up
from invert3d.view.color import colorize
from invert3d.view.figures import Panel, contact_sheet, save_png
from invert3d.view.files import write_glb, write_ply
from invert3d.view.gallery import Cloud
from invert3d.view.live import serve
from invert3d.view.matrix import matrix_plot
from invert3d.view.page import Table, write_page
from invert3d.view.plan import birds_eye
from invert3d.view.raster import splat
from invert3d.view.scenes import SceneFrame, write_scene_page
from invert3d.view.trace import trace_plot

__all__ = [
    "Camera",
    "Cloud",
    "Panel",
    "SceneFrame",
    "Table",
    "birds_eye",
    "colorize",
    "contact_sheet",
    "difference_map",
    "draw_layout",
    "four_panels",
    "kind_color",
    "matrix_plot",
    "picture_sheet",
    "read_points",
    "save_png",
    "serve",
    "splat",
    "strip",
    "to_z_up",
    "trace_plot",
    "write_gif",
    "write_glb",
    "write_page",
    "write_ply",
    "write_scene_page",
]
