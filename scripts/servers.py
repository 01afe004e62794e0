"""servers.py: what scripts/compare_servers and scripts/check_serving share: servers that are started, and load on them."""
import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

TFRUN = Path(__file__).resolve().parent.parent / "build" / "bin" / "tfrun"


class Server:
    """A server of a command line, or of its words, in a process group of its own. One that rests is stopped, so that it takes no core."""

    def __init__(self, name, command, url, folder):
        self.name, self.url = name, url.rstrip("/")
        self.command = shlex.split(command) if isinstance(command, str) else list(map(str, command))
        self.log, self.process = Path(folder) / f"{name.replace('/', '_')}.log", None

    def start(self, patience_s=180):
        if self.is_ready():
            sys.exit(f"{self.name}: another server answers at {self.url}; end it, or take another port.")
        try:
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            sys.exit(f"{self.name}: `{shlex.join(self.command)}` can't be started: {error.strerror}.")
        end = time.monotonic() + patience_s
        while self.process.poll() is None and time.monotonic() < end:
            if self.is_ready():
                return
            time.sleep(0.2)
        code, last = self.process.poll(), self.log.read_text(errors="replace")[-2000:].strip()
        self.stop()
        what = f"did not answer at {self.url}/health within {patience_s} s" if code is None else f"ended with {code}"
        sys.exit(f"{self.name}: `{shlex.join(self.command)}` {what}; its last words:\n{last}")

    def is_ready(self):
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=2) as reply:
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def ask(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as reply:
            return reply.read()

    def signal(self, number):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def rest(self):
        self.signal(signal.SIGSTOP)

    def wake(self):
        self.signal(signal.SIGCONT)

    def stop(self):
        if self.process is None:
            return
        self.wake()
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()


class Awake:
    """with Awake(servers, one): that one runs, the others rest."""

    def __init__(self, servers, one=None):
        self.servers, self.one = servers, one

    def __enter__(self):
        for server in self.servers:
            server.wake() if server is self.one else server.rest()
        return self.one

    def __exit__(self, *_):
        for server in self.servers:
            server.rest()


def load(tfrun, target, *words):
    """The document of `tfrun load` on a URL, or on the words of --in-process; a request that fails ends everything."""
    target = [target] if isinstance(target, str) else target
    command = [str(word) for word in (tfrun, "load", *target, *words, "--json", "--quiet")]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"`{shlex.join(command)}` ended with {ran.returncode}: {ran.stderr.strip()}")
    return json.loads(ran.stdout)


def end_by_signals():
    """Who is ended by a signal ends what it started, by its `finally`; signals that come meanwhile do not hinder that."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def end(got, _frame):
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + got)

    for number in numbers:
        signal.signal(number, end)


def begin(folder):
    """What tfrun keeps of the costs of steps is measured now, not on a busier day; and who is ended ends the servers too."""
    os.environ["XDG_CACHE_HOME"] = str(folder)
    end_by_signals()


def parser_of(page, usage):
    """A parser whose help begins with the page of the script, and whose refusals are two lines."""
    return argparse.ArgumentParser(description=page, usage=f"%(prog)s {usage}", formatter_class=argparse.RawDescriptionHelpFormatter)


def run_json(*words):
    command = [str(word) for word in words]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode != 0:
        sys.exit(f"`{shlex.join(command)}` ended with {ran.returncode}")
    return json.loads(ran.stdout)


def median(values):
    return statistics.median(values) if values else float("nan")


def say(words):
    print(f"{time.strftime('%H:%M:%S')} {words}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
