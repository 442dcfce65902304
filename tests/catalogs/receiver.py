"""An HTTP server that records requests and answers them as a function says. It ends with the process."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Receiver:
    def __init__(self, answer):
        """`answer(request)` returns a status and what the body has as JSON."""
        self.requests = []
        receiver, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Otherwise the kernel holds the body back until the headers are acknowledged: 40 ms for each request.
            disable_nagle_algorithm = True

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                url = urlsplit(self.path)
                request = {
                    "method": self.command,
                    "path": unquote(url.path),
                    "query": parse_qs(url.query, keep_blank_values=True),
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": json.loads(body) if body else None,
                }
                # One after the other: what `answer` keeps has no lock of its own.
                with lock:
                    receiver.requests.append(request)
                    status, content = answer(request)
                    text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def taken(self):
        """The requests since the last call."""
        taken, self.requests = self.requests, []
        return taken


def same(ours, theirs, path=""):
    """The places where `ours` lacks a member of `theirs`, or has another value."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [
            one
            for key, value in theirs.items()
            for one in (same(ours[key], value, f"{path}.{key}") if key in ours else [f"{path}.{key} is missing"])
        ]
    return [] if ours == theirs else [f"{path}: {ours!r} instead of {theirs!r}"]
