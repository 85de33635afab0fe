"""A proxy with a fault: it forwards every request to a server, but answers one operation with a malformed 500. Argument: the
server's address. Prints its own address."""

import http.server
import sys
import urllib.error
import urllib.request

OTHER = sys.argv[1]


class Failing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        if self.path.startswith("/api/patients/"):
            return self.send(500, {"Content-Type": "text/plain"}, b"oops")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
        request = urllib.request.Request(OTHER + self.path, body, headers, method=self.command)
        try:
            with urllib.request.urlopen(request) as answer:
                return self.send(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as answer:
            return self.send(answer.code, answer.headers, answer.read())

    def send(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = do_TRACE = answer


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
