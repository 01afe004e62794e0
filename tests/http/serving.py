"""What the tests of `tfrun serve` share: a server on a free port, requests to it, its events, and the tables of the sources."""
import ast
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import SLOWER  # noqa: E402

PATIENCE = 60 * SLOWER
ENOUGH = 3600  # seconds of --drain that no machine is too slow for
PROMPT = "Once upon a time"


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {name.lower(): value for name, value in headers}, body

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """`tfrun serve MODEL` until the block ends; what it says on stderr is in self.lines() afterwards."""

    def __init__(self, program, model, folder, *flags, env=None, wait=True, stderr=None, launcher=()):
        self.log = pathlib.Path(folder) / f"serve-{time.monotonic_ns()}.log"
        with open(self.log, "wb") as file:
            self.process = subprocess.Popen([*launcher, program, "serve", str(model), "--port", "0", *map(str, flags)],
                                            stdout=subprocess.PIPE, stderr=stderr or file, env={**os.environ, **(env or {})})
        self.port = None
        if wait:
            self.wait()

    def wait(self):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            found = re.search(r"serving .* at http://[^ ]*:(\d+): ", self.log.read_text())
            if found:
                self.port = int(found.group(1))
                return
            time.sleep(0.01)
        raise AssertionError(f"no server: {self.log.read_text()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def lines(self):
        return self.log.read_text().splitlines()

    def start_line(self):
        return next(line for line in self.lines() if line.startswith("tfrun: serving "))

    def end(self, number=signal.SIGTERM):
        """Exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        given = {"Content-Type": "application/json"} if body is not None else {}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, {**given, **(headers or {})})
        reply = connection.getresponse()
        result = Reply(reply.status, reply.getheaders(), reply.read())
        connection.close()
        return result

    def post(self, body, path="/v1/completions", headers=None):
        return self.call("POST", path, body, headers)

    def ask(self, **fields):
        """The answer to a request that is right."""
        reply = self.post(fields)
        if reply.status != 200:
            raise AssertionError(f"{fields}: {reply.status} {reply.body}")
        return reply.json

    def text(self, **fields):
        return self.ask(**fields)["choices"][0]["text"]

    def refused(self, status, param, *words, path="/v1/completions", **fields):
        """A request that is wrong, and what is said of it."""
        reply = self.post(fields, path)
        error = reply.json["error"] if reply.body else {}
        good = reply.status == status and error.get("param") == param and all(word in error["message"] for word in words)
        if not good:
            raise AssertionError(f"{fields}: {reply.status} {reply.body}, wanted {status} of {param} with {words}")
        return error

    def connect(self, receive=None):
        """A socket; of few bytes that the other side may send ahead."""
        sock = socket.socket()
        if receive is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def raw(self, body, path="/v1/completions", receive=None, **fields):
        """A socket on which the request has been sent."""
        sock = self.connect(receive)
        text = json.dumps({**body, **fields}).encode()
        sock.sendall(b"POST " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
                     + str(len(text)).encode() + b"\r\n\r\n" + text)
        return sock

    def events(self, **fields):
        """The events of a stream as they stand in the body: JSON but for the last; the body is exactly that."""
        reply = self.post({**fields, "stream": True})
        if reply.status != 200:
            raise AssertionError(f"{fields}: {reply.status} {reply.body}")
        return split_events(reply.body)

    def metric(self, name):
        found = re.search(rf"^{re.escape(name)} ([0-9.e+-]+)$", self.call("GET", "/metrics").body.decode(), re.MULTILINE)
        return float(found.group(1))


class Setting:
    """The program under test, and the demo model."""

    def __init__(self, program, source_dir, folder):
        self.program, self.source_dir, self.folder = program, source_dir, folder
        self.demo = source_dir / "configs" / "demo"

    def serve(self, *flags, model=None, **more):
        return Server(self.program, model or self.demo, self.folder, *flags, **more)

    def run(self, *words):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, timeout=PATIENCE, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{words}: {done.returncode} {done.stderr}")
        return done.stdout

    def tiny_gpt2(self):
        """Random weights of a small model with GPT-2's vocabulary and length."""
        config, model = self.folder / "tiny.json", self.folder / "tiny"
        config.write_text(json.dumps({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 1, "n_head": 2, "n_embd": 16}))
        self.run("init", config, "-o", model, "--seed", 1)
        return model

    def ids(self, text):
        return [int(word) for word in self.run("tokenize", self.demo, "-p", text).split()]


def split_events(body):
    parts = body.split(b"\n\n")
    if parts[-1] != b"" or parts[-2] != b"data: [DONE]":
        raise AssertionError(f"the stream ends in {parts[-2:]}")
    events = [part for part in parts[:-2] if part != b": ping"]  # a comment, which says on a slow machine that the server is there
    for part in events:
        if not part.startswith(b"data: {") or b"\n" in part:
            raise AssertionError(f"not an event: {part}")
    return [json.loads(part[6:]) for part in events]


def read_head(sock):
    """The head of a reply off a socket, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            break
        data += more
    return data.split(b"\r\n\r\n", 1)


def read_until(sock, end):
    """All that comes until there is this in it."""
    data = b""
    while end not in data:
        more = sock.recv(65536)
        if not more:
            raise AssertionError(f"the connection ended in {data[-300:]}")
        data += more
    return data


def table(source_dir, path, macro, columns):
    """Rows of a table of the sources: TFR_FIELD(name, TYPE, "default", ...)."""
    rows = []
    for line in (source_dir / path).read_text().splitlines():
        found = re.match(rf"{macro}\((.*)\)$", line)
        if found:
            cells = [cell.strip() for cell in re.findall(r'(?:"(?:\\.|[^"\\])*"|[^,"])+', found.group(1))]
            values = [None if cell == "NULL" else ast.literal_eval(cell) if cell.startswith('"') else cell for cell in cells]
            rows.append(dict(zip(columns, values)))
    return rows


def completion_fields(source_dir):
    return table(source_dir, "core/app/http/completion_fields.def", "TFR_FIELD",
                 ("name", "type", "default", "min", "max", "setting", "help"))
