"""invert3d: look inside 3-D vision networks, through the derivative of a frozen model with respect to its input.

    import invert3d

    result = invert3d.invert("pointnet2_ssg-shapes", ["airplane", "chair"], out="runs/first")

Names are imported when they are first used, so ``import invert3d`` is instant.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "invert3d.study.classes.job": ("invert",),
    "invert3d.study.explaining.job": ("explain",),
    "invert3d.study.attacks.job": ("Attacked", "attack"),
    "invert3d.study.attacks.detections": ("attack_detector",),
    "invert3d.methods.attacks": ("attack_recipe",),
    "invert3d.study.generation.job": ("Generated", "generate"),
    "invert3d.study.descriptors.job": ("Inverted", "invert_descriptor"),
    "invert3d.study.explaining.detections": ("Explanation", "explain_detection"),
    "invert3d.attribution.attribution": ("Attribution", "Method"),
    "invert3d.attribution.gradients": ("Gradient", "InputXGradient", "SmoothGrad"),
    "invert3d.attribution.integrated": ("IntegratedGradients",),
    "invert3d.attribution.rectified": ("Deconvolution", "Guided"),
    "invert3d.attribution.removal": ("PointSaliency", "RegionOcclusion"),
    "invert3d.attribution.features": ("GradCAM",),
    "invert3d.attribution.masks": ("ExtremalPerturbation",),
    "invert3d.attribution.random_masks": ("RISE",),
    "invert3d.jobs.options": ("RunOptions",),
    "invert3d.opening.networks": ("Network", "open_network"),
    "invert3d.opening.detectors": ("open_detector",),
    "invert3d.opening.box_detectors": ("open_box_detector",),
    "invert3d.study.layouts.job": ("BoxesRun", "invert_boxes"),
    "invert3d.study.layouts.flat": ("invert_layouts",),
    "invert3d.models.detectors.centernet3d": ("CenterNet3D",),
    "invert3d.models.detectors.candidates": ("CandidateDetector",),
    "invert3d.models.detectors.detr": ("DetrDetector",),
    "invert3d.models.detectors.fcos": ("FCOSDetector",),
    "invert3d.models.detectors.mask_rcnn": ("MaskRCNNDetector",),
    "invert3d.models.detectors.rcnn": ("FasterRCNNDetector",),
    "invert3d.models.detectors.retinanet": ("RetinaNetDetector",),
    "invert3d.models.detectors.rt_detr": ("RTDetrDetector",),
    "invert3d.models.detectors.ssd": ("SSDDetector",),
    "invert3d.ops.layouts": ("Layout",),
    "invert3d.ops.centers": ("CenterCodec",),
    "invert3d.objectives.detection": ("DetectionLoss", "LayoutContrast"),
    "invert3d.data.kitti": ("KittiFolder", "read_labels", "read_calibration"),
    "invert3d.data.scenes": ("read_scene",),
    "invert3d.data.coco": ("CocoFolder",),
    "invert3d.data.layout_files": ("read_layout",),
    "invert3d.data.worlds.rooms": ("make_room",),
    "invert3d.evaluate.coco": ("coco_ap",),
    "invert3d.evaluate.kitti": ("evaluate_kitti",),
    "invert3d.parameterizations.images": ("Fourier", "Normalized"),
    "invert3d.priors.images": ("Nearness", "TotalVariation"),
    "invert3d.priors.statistics": ("BatchNormStatistics",),
    "invert3d.projections.images": ("Blur", "ClipImage"),
    "invert3d.transforms.images": ("FlipScene", "Light", "MoveScene"),
    "invert3d.methods.recipes": ("load_recipe", "recipe_names"),
    "invert3d.methods.layouts": ("layout_recipe",),
    "invert3d.methods.stages": ("Recipe", "Stage"),
    "invert3d.methods.judge": ("Judge",),
    "invert3d.engine.loop": ("optimize",),
    "invert3d.engine.gradient": ("input_gradient",),
    "invert3d.engine.model": ("Frozen",),
    "invert3d.engine.space": ("Image", "Points", "Space", "Voxels"),
    "invert3d.engine.state": ("State",),
    "invert3d.engine.objective": ("Balanced", "Objective"),
    "invert3d.engine.parameterization": ("Parameterization",),
    "invert3d.engine.projection": ("Every", "Projection"),
    "invert3d.engine.transform": ("DropPoints", "Jitter", "Normalize", "Rotate", "Scale", "Shift", "Transform", "Warp"),
    "invert3d.engine.stepper": ("Stepper",),
    "invert3d.engine.recorder": ("Best", "ProgressBar", "Recorder", "Snapshots", "StopWhen", "Trace"),
    "invert3d.engine.result": ("Result",),
    "invert3d.objectives.classes": ("ClassScore", "Contrast", "CrossEntropy", "LogitGap", "Margin"),
    "invert3d.objectives.features": ("FeatureDistance", "FeatureMatch", "RelativeLoss"),
    "invert3d.priors.points": ("Repulsion", "Symmetry", "Uniformity"),
    "invert3d.projections.bounds": ("Ball", "Clip"),
    "invert3d.projections.smooth": ("KnnSmooth",),
    "invert3d.parameterizations.direct": ("Direct",),
    "invert3d.parameterizations.primitives": ("Primitives",),
    "invert3d.parameterizations.sheets": ("Sheets",),
    "invert3d.parameterizations.union": ("SolidsAndSheet",),
    "invert3d.models.weights": ("WeightCard", "bundled", "load_bundled", "load_checkpoint"),
    "invert3d.registry": ("register", "registered"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'invert3d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
