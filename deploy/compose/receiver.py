"""Prints every request that it is sent and says "ok"."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        print(f"--- {self.path}\n{body.decode(errors='replace')}")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_arguments) -> None:
        """The line above is enough."""


ThreadingHTTPServer(("0.0.0.0", 8080), Receiver).serve_forever()
