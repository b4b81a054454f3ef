"""Opening decoders of what a layer of a network makes of its inputs."""

from torch import nn

from invert3d.models.weights import WeightCard, bundled, find_card, load_checkpoint
from invert3d.registry import lookup, unknown


def open_decoder(spec: str) -> tuple[nn.Module, WeightCard]:
    """A decoder in eval mode on the CPU, and its card, by the name of bundled weights or the path of the card
    (``invert3d train decoder``). Its layer is ``card.inputs["layer"]``, and ``card.inputs["weights"]`` says which
    weights it decodes.

    Raises ValueError for what is no decoder, or a card that does not fit.
    """
    found = find_card(spec, "decoder")
    if found is None:
        raise ValueError(f"{unknown('decoder', spec, bundled('decoder'))}; others by the path of their card (.json)")
    card, path = found
    try:
        decoder = lookup("decoder", card.architecture)(**card.options)
    except TypeError as error:
        raise ValueError(f"the card of {card.name} does not fit {card.architecture}: {error}") from error
    return load_checkpoint(decoder, path).eval(), card
