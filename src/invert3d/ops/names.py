"""Names from files and command lines that become parts of paths: frames, classes, shapes, inputs."""

_LONGEST = 100


def checked_name(name: str, what: str) -> str:
    """The name itself, once it is seen that as part of a path it stays in its folder.

    It has letters, digits, spaces and - _ . +, at most 100 bytes in UTF-8, starts with no dot and neither starts nor
    ends with a space. Raises ValueError, naming ``what`` it is of, for another: ``../x``, ``a/b``, ``.hidden``.
    """
    plain = all(sign.isalnum() or sign in "-_.+ " for sign in name)
    if not plain or not name or name[0] == "." or name != name.strip() or len(name.encode()) > _LONGEST:
        shown = name if len(name) <= _LONGEST else f"{name[:20]}... ({len(name)} characters)"
        accepted = f"at most {_LONGEST} letters, digits, spaces and - _ . +, not starting with a dot"
        raise ValueError(f"{what}: got the name {shown!r}, accepted are {accepted}")
    return name
