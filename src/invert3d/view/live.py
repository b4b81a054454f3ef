"""A page served to browsers, also of other machines, which follows a run that goes on."""

import contextlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AGAIN = 10  # seconds until a browser asks for a page that is not complete once more
#: what the page may do, as it says itself; here also of a page that somebody else wrote
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def serving(
    page: Callable[[], tuple[bytes, bool]], *, host: str = "127.0.0.1", port: int = 8080
) -> ThreadingHTTPServer:
    """A server of one page, which is made anew for every visit; ``.serve_forever()`` starts it.

    Args:
        page: the HTML, and whether it will change: then browsers ask for it again. What it raises as ValueError is
            what the visitor reads.
        host: the address to listen on; the default lets nobody else in.
        port: the port, or the next free one of twenty; 0 takes any. ``.server_port`` says which it is.

    Raises:
        ValueError: none of these ports is free, or the address is not of this machine.
    """

    class Visit(BaseHTTPRequestHandler):
        """Answers every path but / with 404."""

        def do_GET(self) -> None:
            status, body, more = 404, b"there is only one page here: /", False
            if self.path.partition("?")[0] == "/":
                try:
                    status, (body, more) = 200, page()
                except ValueError as error:
                    status, body, more = 503, str(error).encode(), True
            self.send_response(status)
            self.send_header("Content-Type", f"text/{'html' if status == 200 else 'plain'}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("Cache-Control", "no-store")
            if more:
                self.send_header("Refresh", str(AGAIN))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: visits are no news."""

    ports = range(port, min(port + 20, 65_536))
    for candidate in ports:
        with contextlib.suppress(OSError):
            return ThreadingHTTPServer((host, candidate), Visit)
    raise ValueError(f"port: none from {ports[0]} to {ports[-1]} can be listened on at {host}")
