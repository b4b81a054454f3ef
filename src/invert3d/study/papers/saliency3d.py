"""The figures and the table of *3D Point Cloud Feature Explanations Using Gradient-Based Methods*, remade."""

from pathlib import Path
from typing import Any

from invert3d.engine.space import Points
from invert3d.study.explaining.errors import analyze
from invert3d.study.explaining.held_out import SEED
from invert3d.study.explaining.job import explain_files
from invert3d.study.inputs import read_inputs
from invert3d.study.networks import Network, open_network
from invert3d.study.pruning.job import prune_and_save
from invert3d.training.classifiers import TrainSettings

PAPER = "3D Point Cloud Feature Explanations"
VRN = "vrn-modelnet10"


def shapes_for(network: Network) -> list[str]:
    """Procedural shapes of a few classes that the network knows."""
    wanted = ("airplane", "chair", "toilet", "guitar", "bed", "monitor", "table")
    return [f"shapes:{name}" for name in wanted if name in network.classes][:4]


def figure2(out: Path, *, model: str, seed: int, epochs: float, device: str) -> dict[str, Any]:
    """Attribution maps of PointNet++: gradient, guided back-propagation, integrated gradients."""
    network = open_network(model, device=device)
    if not isinstance(network.frozen.space, Points):
        raise ValueError(f"figure 2 shows clouds; {network.name} takes {network.takes}")
    inputs = read_inputs(shapes_for(network), network.frozen.space, seed=SEED + seed)
    table = explain_files(network, inputs, ["gradient", "guided", "integrated_gradients"], out=out, overwrite=True)
    return {**table, "title": f"Attribution maps ({PAPER}, figure 2)"}


def figure3(out: Path, *, model: str, seed: int, epochs: float, device: str) -> dict[str, Any]:
    """Attribution maps of a voxel network: gradient, the gradient masked by the input, integrated gradients.

    And guided, which the paper leaves out, the rule not being defined for the ELU of VRN.
    """
    network = open_network(model, device=device)
    if isinstance(network.frozen.space, Points):
        raise ValueError(f"figure 3 shows voxel grids; {network.name} takes {network.takes}")
    methods = ["gradient", "input_x_gradient", "integrated_gradients", "guided"]
    inputs = read_inputs(shapes_for(network), network.frozen.space, seed=SEED + seed)
    table = explain_files(network, inputs, methods, out=out, overwrite=True)
    return {**table, "title": f"Attribution maps of voxels ({PAPER}, figure 3)"}


def figures4and5(out: Path, *, model: str, seed: int, epochs: float, device: str) -> dict[str, Any]:
    """The confusion matrix, and misclassified shapes with their integrated gradients."""
    network = open_network(model, device=device)
    return analyze(network, out, seed=seed, overwrite=True, title=f"Confusions ({PAPER}, figures 4 and 5)")


def figure6(out: Path, *, model: str, seed: int, epochs: float, device: str) -> dict[str, Any]:
    """Filters before pruning, after pruning, and after training; and the line of table 1 that goes with them."""
    network = open_network(model, device=device)
    settings = TrainSettings(batch=32, rate=1e-3, seed=seed)
    table = prune_and_save(
        network,
        data_of(network),
        0.05,
        "magnitude",
        epochs=epochs,
        settings=settings,
        name=f"{model}-pruned",
        out=out,
        overwrite=True,
    )
    return {**table, "title": f"Pruning ({PAPER}, table 1 and figure 6)"}


def data_of(network: Network) -> str:
    """The name of what a bundled network was trained on."""
    return "modelnet10-voxels" if network.card is not None and "ModelNet10" in network.card.data else "shapes"


#: what makes each figure, and the network it is made with if none is named
FIGURES = {
    "saliency3d/fig2": (figure2, "pointnet2_ssg-shapes"),
    "saliency3d/fig3": (figure3, VRN),
    "saliency3d/fig4": (figures4and5, "pointnet2_ssg-modelnet10"),
    "saliency3d/fig5": (figures4and5, "pointnet2_ssg-modelnet10"),
    "saliency3d/fig6": (figure6, VRN),
    "saliency3d/table1": (figure6, VRN),
}
