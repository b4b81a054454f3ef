"""Shares in words."""

FEW = 100  # things of which a share is said as a count


def share(count: int, total: int) -> str:
    """How many of how many: "7 of 8"; of 100 and more in percent, "88%", for then nobody counts."""
    return f"{count} of {total}" if total < FEW else f"{count / total:.0%}"
