"""Reproduce a figure or table of a paper."""

from invert3d.cli.options import Count, MeasureOptions, Measuring, Positive, Run, Running
from invert3d.cli.show import print_recorded, print_scores


def reproduce(
    figure: str,
    *,
    model: str | None = None,
    steps: Count | None = None,
    epochs: Positive = 1.0,
    pictures: Count | None = None,
    measuring: Measuring = MeasureOptions(),
    run: Running = Run(),
) -> None:
    """Reproduce a figure of a paper, with a table that measures what the paper observes in it.

    Args:
        figure: inverting3d/fig1, fig2, fig3, fig4, fig5; saliency3d/fig2, fig3, fig4, fig5, fig6, table1;
            layout-inversion/fig4 to fig13 and table1; winn3d/table2 to table7, fig3, fig4; essence-of-pose/fig5 to
            fig10, table1, table2.
        model: Bundled weights; by default a network as in the figure. Figures of layout-inversion take several, comma
            separated, and by default all bundled 2-D detectors; essence-of-pose/fig7 takes a decoder.
        steps: Steps of the published recipe, instead of 1,000 (figures 4, 5) or 2,000 (1 to 3); for layout-inversion
            steps of our recipe; for winn3d of ascent (fig3, tables 2 to 4) or training (fig4); for essence-of-pose of
            inversion, or of training (fig6, fig8, table2).
        epochs: Epochs for which a pruned network is trained.
        pictures: For layout-inversion, number of rooms, or of pictures of each object, instead of the few of a quick
            look; for winn3d, number of shapes of each class; for essence-of-pose, number of pictures (6).
        run.out: The run folder; by default runs/FIGURE.
    """
    from invert3d.registry import lookup
    from invert3d.study.papers.figure import FigureOptions

    make = lookup("figure", figure)
    run = run.at(f"runs/{figure.replace('/', '-')}")
    options = FigureOptions(
        run=run, model=model, steps=steps, epochs=epochs, device=measuring.device, pictures=pictures
    )
    table = make(options)
    print_scores(table)
    print(f"open {run.folder() / 'index.html'}")
    if measuring.record:
        paper, _, number = figure.partition("/")
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
        print_recorded(paper, {}, [{"table": number, **row} for row in rows])
