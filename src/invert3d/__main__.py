"""``python -m invert3d``."""

from invert3d.cli import main

if __name__ == "__main__":
    main()
