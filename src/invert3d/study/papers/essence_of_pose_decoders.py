"""The figures and the table of *The Essence of Pose* that are about decoders (section 5.3).

Figures 6 and 8 and table 2 train decoders of their own, small ones for a few minutes, each in a folder beside the
page. Figure 7 has the bundled one.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from invert3d.jobs.execute import execute
from invert3d.jobs.folder import MARK, opened
from invert3d.jobs.report import report
from invert3d.models.weights import NotFinite, WeightCard
from invert3d.opening.decoders import open_decoder
from invert3d.opening.networks import open_network
from invert3d.registry import register
from invert3d.study.descriptors.decoders import STOPPED, Making, made_rows, sources_of
from invert3d.study.descriptors.decoders_report import titled
from invert3d.study.descriptors.job import decoded, descriptors_job
from invert3d.study.descriptors.kept import named_pictures, picture_side, reconstructions, scenes
from invert3d.study.descriptors.kept_report import SHOWN, figure
from invert3d.study.layouts.files import pixels
from invert3d.study.papers.essence_of_pose import JUDGE, MODEL, PAPER
from invert3d.study.papers.figure import FigureOptions
from invert3d.training.decoder_runs import DecoderTraining, described, inputs_of, read_losses, train_decoder
from invert3d.training.decoders import DecoderSettings
from invert3d.training.runs import TrainRun

DECODER, LAYER, WIDTH, VIEWS = "posenet-facades-fc5-decoder", "fc5", 12, 4
#: learning rates of table 2: the paper's, which is also that of its table 1, and others around that of Adam's authors
RATES = (26.6, 1e-2, 1e-3, 1e-4)


def begun(options: FigureOptions, kind: str) -> AbstractContextManager[Any]:
    """The figure's run folder, in which decoders are trained. Raises ValueError as ``opened``."""
    asked = {"model": options.model, "steps": options.steps, "pictures": options.pictures, "seed": options.run.seed}
    run = options.run
    return opened(options.folder, {"kind": kind, "settings": asked}, {}, resume=run.resume, overwrite=run.overwrite)


def trained(options: FigureOptions, name: str, training: DecoderTraining) -> WeightCard:
    """Train a decoder in a subfolder of the figure's, or load the one that is finished there."""
    folder = options.folder / name
    network = open_network(training.network, device=options.device)
    where = TrainRun(name=name, out=folder, device=options.device, resume=(folder / MARK).is_file())
    return train_decoder(training, network, where)


def training_of(options: FigureOptions, pictures: int, steps: int, width: int = WIDTH, **how: Any) -> DecoderTraining:
    """A training of so many pictures and steps, if the options say nothing else; ``how``: the settings of it."""
    scenes = -(-(options.pictures or pictures) // VIEWS)
    settings = DecoderSettings(steps=options.steps or steps, seed=options.run.seed, **how)
    return DecoderTraining(
        network=options.model or MODEL, layer=LAYER, scenes=scenes, held_out=8, width=width, settings=settings
    )


def loss_row(folder: Path, **names: Any) -> dict[str, Any]:
    """Training and held-out error, mean squared errors of pictures, of the last quarter of a training that has them."""
    if not (folder / "losses.json").is_file():
        return names
    losses = read_losses(folder / "losses.json")
    last = slice(-max(1, len(losses["step"]) // 4), None)
    errors = {"training error": losses["inputs"], "held-out error": losses["held-out inputs"]}
    return {**names, **{name: f"{float(each[last].mean()):.4f}" for name, each in errors.items()}}


@register("figure", "essence-of-pose/fig6")
def figure6(options: FigureOptions) -> dict[str, Any]:
    """A decoder that sees the same few pictures again and again: does it learn them by heart?"""
    from invert3d.view.figures import Panel, contact_sheet, save_png

    training = training_of(options, pictures=8, steps=400, batch=8)
    with begun(options, "fig6"):
        trained(options, "few", training)
    network = open_network(training.network, device=options.device)
    known = described(network, inputs_of(training, network)[0], LAYER)
    decoder, _ = open_decoder(str(options.folder / "few" / "few.json"))
    x, made = known.x(slice(None)), decoded(decoder, known.features)
    rows = [[Panel(image=pixels(one)) for one in each[:8]] for each in (x, made)]
    save_png(
        contact_sheet(
            rows, row_titles=["original", "decoder"], title="Few pictures, again and again", panel_size=(130, 130)
        ),
        options.folder / "figure.png",
    )
    mean = float((x - x.mean(0)).square().mean())
    table = [
        {"pictures": "seen in training", "mean squared error": f"{float((made - x).square().mean()):.5f}"},
        {"pictures": "the mean of those seen, for each", "mean squared error": f"{mean:.5f}"},
    ]
    return report(options.folder, f"Overfitting a decoder ({PAPER}, figure 6)", table, "", pictures_in(options.folder))


@register("figure", "essence-of-pose/fig7")
def figure7(options: FigureOptions) -> dict[str, Any]:
    """What the bundled decoder makes of held-out pictures, beside optimization: the border of the sky, and blur."""
    from invert3d.view.figures import save_png

    name = options.model or DECODER
    making = Making(steps=options.steps)
    sources = sources_of({"decoder": name}, [str(open_decoder(name)[1].inputs["layer"])], making, options.device)
    known = scenes(options.pictures or 6, picture_side({key: each.network for key, each in sources.items()}))
    job = descriptors_job(sources, named_pictures(known))
    outcome = execute(job, options.run).whole()
    found, title = reconstructions(outcome), "Inversions by a decoder"
    save_png(figure(found, list(map(titled, found)), known[:SHOWN], title), options.folder / "figure.png")
    note = STOPPED.format(loss=making.loss, judge=JUDGE)
    rows = made_rows(outcome, known, open_network(JUDGE, device=options.device), making.loss)
    return report(options.folder, f"{title} ({PAPER}, figure 7)", rows, note, pictures_in(options.folder))


@register("figure", "essence-of-pose/fig8")
def figure8(options: FigureOptions) -> dict[str, Any]:
    """Training and held-out error over the steps, of a decoder and of one that is twice as wide."""
    from invert3d.view.figures import save_png
    from invert3d.view.trace import trace_plot

    curves, rows, widths = {}, [], (WIDTH, 2 * WIDTH)
    with begun(options, "fig8"):
        for width in widths:
            trained(options, f"width-{width}", training_of(options, pictures=2000, steps=500, width=width))
    for width in widths:
        name = f"width-{width}"
        losses = {key: each.numpy() for key, each in read_losses(options.folder / name / "losses.json").items()}
        curves |= {f"training, width {width}": losses["inputs"], f"held-out, width {width}": losses["held-out inputs"]}
        rows.append(loss_row(options.folder / name, width=width))
        steps = losses["step"]
    save_png(
        trace_plot(curves, steps=steps, title="Errors of decoders in training", y_label="mean squared error"),
        options.folder / "figure.png",
    )
    note = "Means of the last quarter of the steps. The paper: a more powerful decoder did not do significantly better."
    return report(options.folder, f"Losses of a decoder ({PAPER}, figure 8)", rows, note, pictures_in(options.folder))


@register("figure", "essence-of-pose/table2")
def table2(options: FigureOptions) -> dict[str, Any]:
    """Decoders trained at the learning rate that the paper prints and at others."""
    fates, rows = {}, []
    with begun(options, "table2"):
        for rate in RATES:
            training = training_of(options, pictures=1000, steps=150, rate=rate, beta1=0.9, beta2=0.99)
            try:
                trained(options, f"rate-{rate:g}", training)
                fates[rate] = "finite"
            except NotFinite as error:  # the printed rate can end in weights that no file holds
                fates[rate] = str(error)
    for rate, fate in fates.items():
        named = {"learning rate": f"{rate:g}", "from": "paper" if rate == RATES[0] else "-"}
        rows.append({**loss_row(options.folder / f"rate-{rate:g}", **named), "weights": fate})
    note = "Mean squared errors of pictures, means of the last quarter of the steps."
    return report(options.folder, f"Settings of the decoder ({PAPER}, table 2)", rows, note)


def pictures_in(folder: Path) -> list[tuple[str, Path]]:
    """The picture of a figure, for its page."""
    return [("", folder / "figure.png")]
