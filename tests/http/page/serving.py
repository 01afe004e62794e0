"""serving.py - a `tfrun serve` of a test's own, on a port of its own, and what it says of itself."""
import json
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request


class Serving:
    def __init__(self, program, config, *options, port=0):
        self.log = tempfile.NamedTemporaryFile(prefix="serve-", suffix=".log")
        self.process = subprocess.Popen([str(program), "serve", str(config), "--port", str(port), *options], stderr=self.log,
                                        stdout=subprocess.DEVNULL)
        self.address = self.until(lambda: re.search(r"at (http://[^\s:]+:\d+)", self.said()), "its address")[1]
        self.until(lambda: self.get("/health"), "that it is ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)

    def said(self):
        return pathlib.Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def until(self, ask, what, seconds=60):
        end = time.monotonic() + seconds
        while not (answer := ask()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the server did not say {what}: {self.said()}")
            time.sleep(0.02)
        return answer

    def get(self, path, body=None):
        """The JSON or text of a reply; None where there is no good one."""
        request = urllib.request.Request(self.address + path, json.dumps(body).encode() if body else None,
                                         {"Content-Type": "application/json"} if body else {})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                text, kind = reply.read().decode(), reply.headers.get_content_type()
        except (urllib.error.URLError, ConnectionError):
            return None
        return json.loads(text) if kind == "application/json" else text

    @property
    def serving(self):
        """What the engine is doing."""
        return self.get("/tfrun/v1/info")["serving"]

    @property
    def port(self):
        return int(self.address.rsplit(":", 1)[1])

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(60)
