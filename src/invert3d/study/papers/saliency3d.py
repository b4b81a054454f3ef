"""The figures and the table of *3D Point Cloud Feature Explanations Using Gradient-Based Methods*, remade."""

from typing import Any

from torch import Tensor

from invert3d.engine.space import Points
from invert3d.opening.inputs import read_inputs
from invert3d.opening.networks import Network, open_network
from invert3d.ops.seeds import EXPLAINED_SHAPES
from invert3d.registry import register
from invert3d.study.explaining.errors import analyze
from invert3d.study.explaining.job import explain_files
from invert3d.study.papers.figure import FigureOptions
from invert3d.study.pruning.job import prune_and_save
from invert3d.training.classifiers import TrainSettings

PAPER = "3D Point Cloud Feature Explanations"
VRN = "vrn-modelnet10"


def shapes_for(network: Network, seed: int) -> dict[str, Tensor]:
    """Procedural shapes of a few classes that the network knows, facing as it learned them."""
    wanted = ("airplane", "chair", "toilet", "guitar", "bed", "monitor", "table")
    names = [f"shapes:{name}" for name in wanted if name in network.classes][:4]
    return read_inputs(names, network.frozen.space, seed=EXPLAINED_SHAPES + seed, facing=network.facing)


@register("figure", "saliency3d/fig2")
def figure2(options: FigureOptions) -> dict[str, Any]:
    """Attribution maps of PointNet++: gradient, guided back-propagation, integrated gradients."""
    network = open_network(options.model or "pointnet2_ssg-shapes", device=options.device)
    if not isinstance(network.frozen.space, Points):
        raise ValueError(f"figure 2 shows clouds; {network.name} takes {network.takes}")
    inputs = shapes_for(network, options.run.seed)
    table = explain_files(network, inputs, ["gradient", "guided", "integrated_gradients"], options=options.run)
    return {**table, "title": f"Attribution maps ({PAPER}, figure 2)"}


@register("figure", "saliency3d/fig3")
def figure3(options: FigureOptions) -> dict[str, Any]:
    """Attribution maps of a voxel network: gradient, the gradient masked by the input, integrated gradients.

    And guided, which the paper leaves out, the rule not being defined for the ELU of VRN.
    """
    network = open_network(options.model or VRN, device=options.device)
    if isinstance(network.frozen.space, Points):
        raise ValueError(f"figure 3 shows voxel grids; {network.name} takes {network.takes}")
    methods = ["gradient", "input_x_gradient", "integrated_gradients", "guided"]
    table = explain_files(network, shapes_for(network, options.run.seed), methods, options=options.run)
    return {**table, "title": f"Attribution maps of voxels ({PAPER}, figure 3)"}


@register("figure", "saliency3d/fig5")
@register("figure", "saliency3d/fig4")
def figure4(options: FigureOptions) -> dict[str, Any]:
    """The confusion matrix, and misclassified shapes with their integrated gradients (figure 5): of one analysis."""
    network = open_network(options.model or "pointnet2_ssg-modelnet10", device=options.device)
    return analyze(network, options.run, title=f"Confusions ({PAPER}, figures 4 and 5)")


@register("figure", "saliency3d/table1")
@register("figure", "saliency3d/fig6")
def figure6(options: FigureOptions) -> dict[str, Any]:
    """Filters before pruning, after pruning, and after training; and the line of table 1 that goes with them."""
    network = open_network(options.model or VRN, device=options.device)
    real = network.card is not None and "ModelNet10" in network.card.data
    settings = TrainSettings(batch=32, rate=1e-3, seed=options.run.seed)
    table, _, _ = prune_and_save(
        network,
        "modelnet10-voxels" if real else "shapes",
        0.05,
        "magnitude",
        epochs=options.epochs,
        settings=settings,
        name=f"{options.model or VRN}-pruned",
        options=options.run,
    )
    return {**table, "title": f"Pruning ({PAPER}, table 1 and figure 6)"}
