"""Turn the shapes of a run in a browser, live."""

from invert3d.cli.options import Folder, Host, Port


def view(run: Folder, *, host: Host = "127.0.0.1", port: Port = 8080) -> None:
    """Turn the shapes of a run in a browser, with a slider over the snapshots. Ctrl-C ends it.

    Args:
        run: A run folder.
        host: Where to serve.
        port: The port.
    """
    from invert3d.study.classes.job import read_shapes
    from invert3d.study.classes.report import page_clouds
    from invert3d.view.live import serve

    _, result = read_shapes(run)
    print(f"http://{host}:{port} shows {run}; Ctrl-C ends it", flush=True)
    serve(page_clouds(result), host=host, port=port)
