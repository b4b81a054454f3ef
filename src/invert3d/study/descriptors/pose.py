"""``invert3d evaluate pose``: how well networks find the relative pose of two pictures, and whether they match."""

from typing import Any

from invert3d.models.weights import bundled, find_card
from invert3d.registry import unknown

#: scores of a card (``training.descriptors.scored``), by their titles in the table
TITLES = {
    "rotation error (degrees)": "rotation error",
    "rotation error of a guess (degrees)": "rotation error, guess",
    "place error (m)": "place error",
    "place error of a guess (m)": "place error, guess",
    "match error": "match error",
}
NOTE = (
    "Medians over all pairs of views of held-out terraces, as the trainings measured them; a guess is the mean pose of "
    "the training set. Match error: the share of pairs, half of them of two terraces, that is judged wrong (0.5 by "
    "chance). Networks of other seeds were trained and measured on other terraces. A siamese network describes each "
    "picture by itself; a stacked one sees both at once."
)


def pose_row(spec: str) -> dict[str, Any]:
    """The errors of a network, by its name or the path of its card.

    Raises ValueError for what is no network of pictures, or one that was trained for something else.
    """
    found = find_card(spec, "descriptor")
    if found is None:
        raise ValueError(f"{unknown('network', spec, bundled('descriptor'))}; others by the path of their card (.json)")
    card = found[0]
    if not set(TITLES.values()) <= set(card.scores):
        raise ValueError(f"{card.name} was not trained to find poses ({card.notes})")
    pictures = "stacked" if card.options.get("channels") == 6 else "siamese"
    scores = {title: round(card.scores[score], 4) for title, score in TITLES.items()}
    facts = {"pictures": pictures, "training": card.notes, "seed": card.seed, "terraces": card.held_out}
    return {"network": card.name, **facts, **scores}
