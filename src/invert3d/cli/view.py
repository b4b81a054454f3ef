"""Show a run in a browser: shapes to turn, pictures, scores."""

import contextlib
from functools import partial

from invert3d.cli.options import Folder, Host, Port


def view(run: Folder, *, host: Host = "127.0.0.1", port: Port = 8080) -> None:
    """Show a run of any kind in a browser, also from another machine, and follow it while it goes on. Ctrl-C ends it.

    Args:
        run: A run folder.
        host: Where to serve; 0.0.0.0 lets others in.
        port: The port, or the next that is free.
    """
    from invert3d.study.viewing import page_of
    from invert3d.view.live import serving

    page_of(run)
    server = serving(partial(page_of, run), host=host, port=port)
    print(f"http://{host}:{server.server_port} shows {run}; Ctrl-C ends it", flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
