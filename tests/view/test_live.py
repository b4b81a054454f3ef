"""The live view: it answers, follows a page that changes, says what is wrong, and stops."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from invert3d.view.live import POLICY, serving

PAGES: list[tuple[bytes, bool]] = []


def page() -> tuple[bytes, bool]:
    if not PAGES:
        raise ValueError("nothing to show yet")
    return PAGES[-1]


@pytest.fixture
def address() -> Iterator[str]:
    PAGES.clear()
    with serving(page, port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_page_is_made_for_every_visit_and_asked_for_again_until_it_is_whole(address: str) -> None:
    for made, again in ((b"half", "10"), (b"whole", None)):
        PAGES.append((made, again is not None))
        with urlopen(f"{address}/", timeout=10) as answer:
            assert (answer.status, answer.read(), answer.headers["Refresh"]) == (200, made, again)
            assert answer.headers["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize(("path", "status", "words"), [("/", 503, "nothing to show yet"), ("/run.json", 404, "only")])
def test_what_cannot_be_shown_is_said(address: str, path: str, status: int, words: str) -> None:
    with pytest.raises(HTTPError, match=str(status)) as told:
        urlopen(address + path, timeout=10)
    assert words in told.value.read().decode()


def test_a_taken_port_is_left_to_whoever_has_it() -> None:
    with serving(page, port=0) as first, serving(page, port=first.server_port) as second:
        assert first.server_port < second.server_port < first.server_port + 20
    with pytest.raises(ValueError, match="none from 8080 to 8099 can be listened on at 203.0.113.1"):
        serving(page, host="203.0.113.1")


def test_importing_the_pictures_imports_no_heavy_library() -> None:
    heavy = "torch", "matplotlib", "PIL", "trimesh", "scipy", "jinja2"
    pictures = "boxfigures, figures, files, live, matrix, page, scenes, trace"
    code = f"import sys; from invert3d.view import {pictures}; print([name for name in {heavy} if name in sys.modules])"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
