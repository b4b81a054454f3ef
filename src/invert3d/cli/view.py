"""``invert3d view``."""

from pathlib import Path


def view(run: Path, *, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Turn the shapes of a run in a browser, with a slider over the snapshots. Ctrl-C ends it.

    Parameters
    ----------
    run
        A run folder.
    host
        Where to serve.
    port
        The port.
    """
    from invert3d.engine.result import Result
    from invert3d.jobs.folder import read_run
    from invert3d.study.classes.report import page_clouds
    from invert3d.view.live import serve

    facts = read_run(run)
    result = Result.load(run)
    result.facts = result.facts or facts
    print(f"http://{host}:{port} shows {run}; Ctrl-C ends it", flush=True)
    serve(page_clouds(result), host=host, port=port)
