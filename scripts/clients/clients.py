"""clients.py: what the scripts of this folder share: environments of their own, servers, the commands of docs/serving.md, checks."""
import argparse
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import argtypes  # noqa: E402  (stands one folder up)
from servers import TFRUN, Server, end_by_signals  # noqa: E402

DEMO = ROOT / "configs" / "demo"
PAGE = ROOT / "docs" / "serving.md"
DOCUMENTED_URL, DOCUMENTED_FOLDER = "http://127.0.0.1:8080", "results/"


class Failed(Exception):
    """What a client saw is not what it should see."""


def check(condition, words):
    if not condition:
        raise Failed(words)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_until(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f"{what}: not within {seconds} s")
        time.sleep(0.05)


def block(language, number=0):
    """A fenced block of docs/serving.md: what the page shows is what is tried."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    check(len(found) > number, f"docs/serving.md has no block {number} of {language}")
    return found[number]


def documented(start, url, folder):
    """Words of the command of docs/serving.md that begins so, with this server and folder in place of the page's."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ").replace(DOCUMENTED_URL, url).replace(DOCUMENTED_FOLDER, f"{folder}/")
    found = [line for line in text.splitlines() if line.startswith(start + " ")]
    check(len(found) == 1, f"docs/serving.md has {len(found)} commands that begin with {start!r}, wanted one")
    return shlex.split(found[0], comments=True)


class Place:
    """A folder for one client's files, its environment, and the servers that it talks to."""

    def __init__(self, name, folder, environments, tfrun, config):
        self.name, self.folder, self.tfrun, self.config = name, Path(folder), Path(tfrun).resolve(), Path(config).resolve()
        self.environment = Path(environments or folder) / name
        self.python = self.environment / "bin" / "python"
        self.servers = []

    def install(self, packages, patience_s=600):
        """Python packages into a virtual environment of this client; says which versions came."""
        if not self.python.exists():
            self.run(sys.executable, "-m", "venv", self.environment)
        self.run(self.python, "-m", "pip", "install", "--quiet", *packages, patience_s=patience_s)
        names = [re.split(r"[=<>\[]", package)[0] for package in packages]
        code = "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
        return self.run(self.python, "-c", code, *names).strip()

    def debian(self, package, program):
        """A program of a Debian package: the installed one, or one that is unpacked here without installing it."""
        path = f"{os.environ.get('PATH', '')}:/usr/sbin"
        if shutil.which(program, path=path):
            return shutil.which(program, path=path)
        if not self.environment.exists():
            fetched = self.folder / "packages"
            fetched.mkdir()
            self.run("apt-get", "download", package, cwd=fetched)
            self.run("dpkg-deb", "-x", *fetched.glob("*.deb"), self.environment)
        return shutil.which(program, path=f"{self.environment}/usr/bin:{self.environment}/usr/sbin")

    def serve(self, *words, config=DEMO, env=None):
        port = free_port()
        command = shlex.join(map(str, (self.tfrun, "serve", config, "--port", port, *words)))
        if env:
            command = shlex.join(["env", *(f"{key}={value}" for key, value in env.items())]) + " " + command
        server = Server(f"server-{port}", command, f"http://127.0.0.1:{port}", self.folder)
        self.servers.append(server)
        server.start()
        return server

    def stop(self, server):
        server.stop()
        self.servers.remove(server)
        equal(server.process.returncode, 0, f"exit code of `{shlex.join(server.command)}` after SIGTERM")

    def tools(self, *words):
        """The lines that a command of tfrun prints."""
        return self.run(self.tfrun, *words).splitlines()

    def run(self, *words, cwd=None, env=None, given=None, patience_s=600):
        """What a command prints on stdout; one that fails ends the script with its last words."""
        words = [str(word) for word in words]
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", **(env or {})}
        process = subprocess.Popen(words, cwd=cwd or self.folder, env=env, text=True, start_new_session=True, **pipes)
        try:
            out, err = process.communicate(given, patience_s)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"`{shlex.join(words)}` took longer than {patience_s} s") from late
        finally:
            if process.poll() is None:  # also with what it started
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode != 0:
            raise Failed(f"`{shlex.join(words)}` ended with {process.returncode}:\n{(out[-3000:] + err[-3000:]).strip()}")
        return out

    def command(self, start, server, cwd=ROOT, change=("", ""), **more):
        """Runs a command of docs/serving.md from the environment of this client, in the root of the sources; results come here."""
        words = [word.replace(*change) for word in documented(start, server.url, self.folder)]
        print("  " + shlex.join(words), file=sys.stderr)
        return self.run(self.environment / "bin" / words[0], *words[1:], cwd=cwd, **more)


def main(description, attempt):
    """Runs one client; prints `pass: VERSIONS`, or what failed (exit code 1)."""
    name = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--tfrun", type=argtypes.program, default=str(TFRUN), help="the program [build/bin/tfrun]")
    parser.add_argument("--environments", help="folder where virtual environments stay for the next time")
    parser.add_argument("--config", type=argtypes.config, default=str(DEMO), help="folder of the model, where a client asks for one")
    options = parser.parse_args()
    end_by_signals()
    with tempfile.TemporaryDirectory(prefix=f"tfrun-{name}-") as folder:
        place = Place(name, folder, options.environments, options.tfrun, options.config)
        try:
            versions = attempt(place)
            for server in list(place.servers):
                place.stop(server)
        except Failed as failure:
            print(f"fail: {failure}")
            return 1
        finally:
            for server in place.servers:
                server.stop()
    print(f"pass: {versions}")
    return 0
