"""List the bundled networks and the architectures."""

from dataclasses import asdict

from invert3d.cli.show import print_table


def models(name: str | None = None, *, record: bool = False) -> None:
    """List the bundled networks, from their cards, and the architectures.

    Args:
        name: Print the full card of this network.
        record: Measure the networks again, on held-out shapes and on ModelNet10's test grids, and write
            docs/results/points.json and explain.json.
    """
    from invert3d.models.weights import bundled
    from invert3d.registry import registered, unknown

    networks, detectors, flat = bundled("classifier"), bundled("detector"), bundled("2-D detector")
    described, decoders = bundled("descriptor"), bundled("decoder")
    if name is not None and record:
        raise ValueError("--record measures all bundled networks: give it without a name")
    if name is not None:
        cards = {**networks, **detectors, **flat, **described, **decoders}
        if name not in cards:
            raise ValueError(unknown("model", name, cards))
        for key, value in asdict(cards[name]).items():
            print(f"{key}: {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
        return
    size = ["size", "file"]
    rows = [
        [key, len(c.classes), f"{c.scores['accuracy']:.1%}", source(c.data), *sizes(c)] for key, c in networks.items()
    ]
    print_table("Bundled networks", ["weights", "classes", "test", "trained on", *size], rows)
    rows = [
        [key, f"{c.options['height']} x {c.options['width']}", precision(c.scores), source(c.data), *sizes(c)]
        for key, c in detectors.items()
    ]
    columns = ["detector", "pictures", "AP of cars", "trained on", *size]
    print_table("\nBundled monocular 3-D detectors", columns, rows, "AP: 2-D, bird's eye view, 3-D; moderate, percent")
    rows = [
        [key, f"{c.options['size']} x {c.options['size']}", *averages(c.scores), source(c.data), *sizes(c)]
        for key, c in flat.items()
    ]
    columns = ["detector", "pictures", "AP", "AP50", "masks", "trained on", *size]
    if flat:
        print_table(
            "\nBundled 2-D detectors", columns, rows, "AP: COCO's, of boxes and of masks, on held-out pictures, percent"
        )
    rows = [
        [key, f"{c.inputs['image']} x {c.inputs['image']}", said(c.scores), source(c.data), *sizes(c)]
        for key, c in described.items()
    ]
    if described:
        print_table("\nBundled descriptors", ["descriptor", "pictures", "test", "trained on", *size], rows)
    rows = [
        [key, f"{c.inputs['layer']} of {c.inputs['network']}", f"{c.scores['difference']:.3f}", *sizes(c)]
        for key, c in decoders.items()
    ]
    if decoders:
        print_table("\nBundled decoders", ["decoder", "decodes", "test", *size], rows, "Test: mean squared error")
    print("\nArchitectures, for use with --checkpoint:", *registered("model"))
    if record:
        from invert3d.study.accuracy import record_accuracies

        print(f"recorded in {record_accuracies(networks)}")


def source(data: str) -> str:
    """What a network was trained on, in two words; its card says all of it."""
    return "ModelNet10's grids" if "ModelNet10" in data else data.split(",")[0]


def sizes(card) -> list[str]:
    """Parameters and bytes of a card."""
    return [f"{card.parameters / 1e6:.2f} M", f"{card.bytes / 1e6:.1f} MB"]


def said(scores: dict[str, float]) -> str:
    """How well a descriptor does what it was trained for."""
    if "style accuracy" in scores:
        return f"{scores['style accuracy']:.1%}"
    return f"{scores['rotation error']:.1f} degrees"


def averages(scores: dict[str, float]) -> list[str]:
    """COCO's AP of boxes, at an overlap of a half, and of masks."""
    return [f"{scores[name]:.1f}" if name in scores else "-" for name in ("AP", "AP50", "AP of masks")]


def precision(ap: dict[str, float]) -> str:
    """AP of cars in the picture, from above and in space."""
    return "/".join(f"{ap.get(f'{view} Car', 0):.0f}" for view in ("2d", "bev", "3d"))
