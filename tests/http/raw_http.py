"""What the tests of the transport share: a probe server, and a reader of replies that takes nothing but what the RFC allows."""
import json
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import SLOWER, case, expect, expect_same, main  # noqa: E402, F401

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE = 20 * SLOWER  # seconds that anything may take on a busy machine


def get(path):
    return b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode()


def post(path, size, headers=b""):
    """The head alone."""
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n" % (path.encode(), size, headers)


class Reply:
    """One reply; `size` bytes of the input were its own."""

    def __init__(self, status, headers, body, size):
        self.status, self.headers, self.body, self.size = status, headers, body, size


def head_of(data):
    """(status, headers in lower case, bytes of the head), or None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = data[:end].decode("ascii").split("\r\n")
    status = re.fullmatch(r"HTTP/1\.1 (\d{3}) [\x20-\x7e]+", first)
    expect(status, "status line", first)
    headers = {}
    for line in lines:
        parts = re.fullmatch(r"([A-Za-z0-9-]+): ([\t\x20-\x7e]*)", line)
        expect(parts and parts[1].lower() not in headers, "header line", line)
        headers[parts[1].lower()] = parts[2]
    return int(status[1]), headers, end + 4


def chunks_of(data):
    """(body, bytes used) of a chunked body, or None while it is not whole."""
    body, at = b"", 0
    while True:
        line = re.match(rb"([0-9a-f]+)\r\n", data[at:])
        if not line:
            expect(re.fullmatch(rb"[0-9a-f]*\r?", data[at:]), "chunk", data[at:at + 40])
            return None
        size, start = int(line[1], 16), at + line.end()
        if len(data) < start + size + 2:
            return None
        expect_same(data[start + size:start + size + 2], b"\r\n")
        body, at = body + data[start:start + size], start + size + 2
        if size == 0:
            return body, at


def reply_of(data, method="GET", closed=False):
    """The first reply in `data`, or None while it is not whole."""
    head = head_of(data)
    if head is None:
        return None
    status, headers, start = head
    if status < 200 or status in (204, 304) or method == "HEAD":
        expect("content-length" not in headers or status not in (100, 204, 304), headers)
        return Reply(status, headers, b"", start)
    expect("date" in headers, headers)
    if "transfer-encoding" in headers:
        expect_same((headers["transfer-encoding"], "content-length" in headers), ("chunked", False))
        body = chunks_of(data[start:])
        return body and Reply(status, headers, body[0], start + body[1])
    if "content-length" in headers:
        size = int(headers["content-length"])
        return Reply(status, headers, data[start:start + size], start + size) if len(data) >= start + size else None
    expect_same(headers.get("connection"), "close")
    return Reply(status, headers, data[start:], len(data)) if closed else None


class Client:
    """A connection to the probe, byte by byte as one likes."""

    def __init__(self, probe, local=None, receive=None):
        family = socket.AF_UNIX if probe.address.startswith("unix:") else socket.AF_INET6 if "[" in probe.address else socket.AF_INET
        self.socket = socket.socket(family)
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        if local:
            self.socket.bind((local, 0))
        self.socket.settimeout(PATIENCE)
        self.socket.connect(probe.place)
        self.data, self.closed = b"", False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, data):
        """All of it, or as much as a server takes that closes meanwhile."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            pass
        return self

    def read(self):
        """Some more bytes; False at the end of the connection."""
        try:
            got = self.socket.recv(1 << 18)
        except ConnectionError:
            got = b""
        self.closed |= not got
        self.data += got
        return bool(got)

    def reply(self, method="GET"):
        """The next reply, waited for."""
        while True:
            reply = reply_of(self.data, method, self.closed)
            if reply:
                self.data = self.data[reply.size:]
                return reply
            expect(not self.closed, "the connection ended inside of a reply:", self.data[:200])
            self.read()

    def until_closed(self):
        """Seconds until the server closes, and what it sent before."""
        start = time.monotonic()
        while self.read():
            pass
        return time.monotonic() - start

    def silent(self, seconds):
        """Whether neither bytes nor an end come."""
        return not select.select([self.socket], [], [], seconds)[0]

    def reset(self):
        """Closes by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


class Probe:
    """A running http_probe."""

    def __init__(self, program, *flags, address="127.0.0.1:0"):
        self.process = subprocess.Popen([program, "--host=x", *flags, address], stdout=subprocess.PIPE, text=True)
        self.address = self.line().removeprefix("listening ")
        host, _, port = self.address.rpartition(":")
        self.place = self.address[5:] if self.address.startswith("unix:") else (host.strip("[]"), int(port))

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        """It must end by itself, whatever is under way, having freed all (or a sanitizer says so by its exit code)."""
        if error is None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGINT)
        else:
            self.process.kill()
        self.process.stdout.read()
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        expect(error or code in (0, -signal.SIGKILL), "the probe ended with", code)

    def line(self):
        """The next line that the probe prints."""
        expect(select.select([self.process.stdout], [], [], PATIENCE)[0], "the probe says nothing")
        return self.process.stdout.readline().rstrip("\n")

    def client(self, **keywords):
        return Client(self, **keywords)

    def get(self, path, method="GET"):
        with self.client() as client:
            client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return client.reply(method)

    def counts(self):
        return json.loads(self.get("/counts").body)

    def wait_for(self, name, value):
        """Until a count is that."""
        end = time.monotonic() + PATIENCE
        while self.counts()[name] != value:
            expect(time.monotonic() < end, name, self.counts())
            time.sleep(0.01)
