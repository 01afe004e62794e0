"""What test_inject.py and scripts/inject share: how a command is run with a request refused or with a signal. The commands are
injecting_commands.py, what is right at their end injecting_ends.py. The tools are tests/support/inject*.c, which say what the kinds are."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

LIBRARY_KINDS = ("memory", "map", "thread", "vendor")
CALL_KINDS = ("machine", "open", "read", "stat", "write", "close", "rename", "interrupt", "short_read", "short_write", "sigint", "sigterm")
RANK_KINDS = ("memory_0", "memory_1", "message_0", "message_1")  # of a case with ranks alone, on that rank
KINDS = LIBRARY_KINDS + CALL_KINDS + RANK_KINDS
ALONE = ("interrupt", "short_read", "short_write", "sigint", "sigterm")  # never all after the first one too
PATIENCE_S = 60 * int(os.environ.get("TFRUN_TEST_PATIENCE", "1"))


class Skip(Exception):
    """What a case needs isn't there."""


class Run:
    """How a command ended."""

    def __init__(self, code, out, error, files, held, count, ways):
        self.code, self.out, self.error, self.files, self.held, self.count, self.ways = code, out, error, files, held, count, ways


class Case:
    """words: of the command line; text: on stdin. varies: results vary with the machine's speed and are compared by their form alone;
    times: so does the line of stdout that begins so; serves: an HTTP server; reports: a refusal stands in the report on stdout;
    program: another one than tfrun, which asks again where it was refused, so that one fault costs nothing; machine: they tell of the machine, and are compared so where the machine can't be looked at; spares: its files are a help for later, and may be missing."""

    def __init__(self, *words, text=b"", times=None, varies=False, serves=False, reports=False, machine=False,
                 spares=False, program=None, ranks=1):
        self.words, self.text, self.times = [str(word) for word in words], text, times
        self.program, self.ranks = program, ranks
        self.varies, self.serves, self.reports, self.machine, self.spares = varies, serves, reports, machine, spares


class Box:
    def __init__(self, program, source, folder, library="", calls="", mpiexec="mpiexec"):
        self.program, self.source, self.folder = str(pathlib.Path(program).resolve()), source.resolve(), pathlib.Path(folder)
        self.library, self.calls, self.mpiexec = library, calls, mpiexec
        self.golden = self.source / "tests" / "model" / "golden"
        self.out, self.count, self.n_calls = self.folder / "out", self.folder / "count", self.folder / "calls"
        self.ways = self.folder / "ways"
        self.made = {}

    def plain(self, *words, text=b""):
        """Without faults: what a case needs made beforehand."""
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, input=text, cwd=self.folder, check=False,
                              env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")}, timeout=PATIENCE_S)
        if done.returncode != 0:
            raise Skip(f"{words}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def make(self, name, how):
        if name not in self.made:
            self.made[name] = how()
        return self.made[name]

    def small(self):
        """A model with a tokenizer of 261 tokens: one of 50257 asks for memory 48,000 times."""
        def build():
            config = json.loads((self.golden / "base" / "config.json").read_text())
            (self.folder / "small.json").write_text(json.dumps({**config, "vocab_size": 261, "n_positions": 64}))
            self.plain("init", "small.json", "-o", "small", "--seed", 1)
            for file in (self.source / "tests" / "model" / "text" / "tokenizer").iterdir():
                shutil.copy(file, self.folder / "small")
            return self.folder / "small"
        return self.make("small", build)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def environment(self, kind, at, rest):
        given = {"TFR_INJECT_KIND": kind, "TFR_INJECT_AT": str(at), "TFR_INJECT_REST": str(int(rest)), "OMP_NUM_THREADS": "1",
                 "TFR_INJECT_COUNT": str(self.count), "TFR_INJECT_CALLS": str(self.n_calls), "TFR_INJECT_LIBRARY": self.library,
                 "XDG_CACHE_HOME": str(self.folder / "cache")}
        if kind in RANK_KINDS:
            given["TFR_INJECT_KIND"], given["TFR_INJECT_RANK"] = kind.split("_")
        return {**os.environ, **given, **({"LD_PRELOAD": self.library} if kind in LIBRARY_KINDS else {})}

    def files(self):
        return {str(path.relative_to(self.out)): path.read_bytes() for path in sorted(self.out.rglob("*")) if path.is_file()}

    def files_after(self, case, kind):
        """What was left for a later run may be less than the whole, as long as that one takes it without a word and completes it.
        What that one replaces in silence is not seen here. Without a vendor it is of other plugins, and may be replaced."""
        left = self.files()
        if not left:
            return left
        done = subprocess.run([self.program, *(word for word in case.words if word != "-q")], capture_output=True, cwd=self.out, check=False,
                              env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")}, timeout=PATIENCE_S)
        is_good = done.returncode == 0 and (kind == "vendor" or b"is not used" not in done.stderr)
        return self.files() if is_good else left

    def run(self, case, kind, at=0, rest=False, wants_ways=False):
        """With `wants_ways` it has the numbers of the first and the last request of each way through the program."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        for file in (self.count, self.n_calls, self.ways):
            file.unlink(missing_ok=True)
        words = [str(case.program or self.program), *case.words]
        if kind == "thread" and "-t" in words:
            words[words.index("-t") + 1] = "2"
        if kind in RANK_KINDS:
            messages = pathlib.Path(self.library).parent / "inject_messages.so"
            if shutil.which(self.mpiexec) is None or not messages.exists():
                raise Skip("MPI is not there, or not in this build")
            words = [self.mpiexec, "-n", str(case.ranks), "env", f"LD_PRELOAD={self.library}:{messages}", *words]
        words = [self.calls, *words] if kind in CALL_KINDS else words
        talk = serve if case.serves else converse
        environment = {**self.environment(kind, at, rest), **({"TFR_INJECT_WAYS": str(self.ways)} if wants_ways else {})}
        code, out, error = talk(words, case, self.out, environment)
        out = re.sub(case.times, b"", out, flags=re.MULTILINE) if case.times else out
        files = self.files_after(case, kind) if case.spares and at > 0 else self.files()
        held = dict(line.split(" ", 1) for line in self.count.read_text().splitlines() if " " in line) if self.count.exists() else {}
        n = int(self.n_calls.read_text() or 0) if self.n_calls.exists() else int(held.get("requests", 0))
        ways = sorted([int(number) for number in line.split()] for line in self.ways.read_text().splitlines()) if self.ways.exists() else []
        return Run(code, out, error.decode(errors="replace"), files, held, n, ways)


def kinds_of(case):
    return RANK_KINDS if case.ranks > 1 else LIBRARY_KINDS + CALL_KINDS


def converse(words, case, folder, environment):
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=environment)
    try:
        out, error = process.communicate(case.text, PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, error = process.communicate()
        return "hang", out, error
    return process.returncode, out, error


def ask(port):
    """One answer: its status and text, or None where the server broke off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S / 6)
    try:
        connection.request("POST", "/v1/completions", json.dumps({"prompt": [1, 2, 3], "max_tokens": 3, "temperature": 0}),
                           {"Content-Type": "application/json"})
        reply = connection.getresponse()
        body = json.loads(reply.read())
        return reply.status, body["choices"][0]["text"] if reply.status == 200 else body["error"]["message"]
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
    finally:
        connection.close()


def serve(words, _, folder, environment):
    """Three requests, then SIGTERM. stdout stands for the answers."""
    log = folder.parent / "log"
    with open(log, "wb") as file:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=folder, env=environment)
    until, port = time.monotonic() + PATIENCE_S, None
    while port is None and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
        found = re.search(rb"serving .* at http://[^ ]*:(\d+): ", log.read_bytes())
        port = int(found.group(1)) if found else None
    answers = [ask(port) for _ in range(3)] if port is not None else []
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = "hang"
    return code, json.dumps(answers).encode(), log.read_bytes()
