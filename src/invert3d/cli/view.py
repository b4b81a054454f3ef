"""Show a run in a browser: interactive shapes, pictures, scores."""

import contextlib
from functools import partial

from invert3d.cli.options import Folder, Host, Port


def view(run: Folder, *, host: Host = "127.0.0.1", port: Port = 8080) -> None:
    """Show any run in a browser, also on another machine, and follow it while it is running. Ctrl-C stops the server.

    Args:
        run: A run folder.
        host: Address to serve on; 0.0.0.0 makes the page reachable from other machines.
        port: The port; if it is in use, the next free one.
    """
    from invert3d.study.viewing import page_of
    from invert3d.view.live import serving

    page_of(run)
    server = serving(partial(page_of, run), host=host, port=port)
    print(f"http://{host}:{server.server_port} shows {run}; Ctrl-C stops the server", flush=True)
    with server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()
