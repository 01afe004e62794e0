"""fleet.py: the processes that scripts/compare_peers.py starts and asks: one peer with one precision each; see worker.py."""

import array
import contextlib
import json
import math
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import time

from peers import CLASSES, CONVERT, LIMITS

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE_S = 300
STARTED = []


class Failed(Exception):
    """Why a peer is left out."""


class Worker:
    """A process that answers questions, stopped whenever it is not asked, so that nobody's waiting threads take a core."""

    def __init__(self, peer, precision, command, environment, files, options):
        self.peer, self.precision, self.name = peer, precision, f"{peer} {precision}"
        self.command, self.files, self.options = [str(word) for word in command], files, options
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), **environment}
        self.process, self.samples, self.agreement, self.loaded, self.is_over = None, {}, None, {}, False
        self.log = options.logs / (self.name.replace("/", "_") + ".log")

    def load(self):
        try:
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=self.environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise Failed(f"{self.command[0]} can't be started: {error.strerror}") from error
        STARTED.append(self)
        with self.awake():
            self.loaded = self.ask(
                {
                    "do": "load",
                    "model": str(self.options.model),
                    "precision": self.precision,
                    "threads": self.options.threads,
                    "files": str(self.files),
                }
            )

    def ask(self, question):
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Failed(self.last_words()) from error
        if not select.select([self.process.stdout], [], [], PATIENCE_S)[0]:
            raise Failed(f"no answer to {question['do']} in {PATIENCE_S} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(self.last_words())
        try:
            reply = json.loads(line)
        except ValueError as error:
            raise Failed(f"answers {question['do']} with no JSON: {line[:100]!r}") from error
        if "error" in reply:
            raise Failed(reply["error"])
        return reply

    def last_words(self):
        code = self.process.wait()
        said = self.log.read_text(errors="replace").strip().splitlines()
        return f"ended with {code}" + (f": {said[-1]}" if said else "")

    def signal(self, number):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    @contextlib.contextmanager
    def awake(self):
        self.signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.signal(signal.SIGSTOP)

    def end(self):
        self.is_over = True
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()

    def logits(self, asked, file):
        """[(ids, the row of logits behind them)] of what a check gave."""
        with self.awake():
            sequences = self.ask({"do": "check", "logits": str(file), **asked})["sequences"]
        rows = array.array("f", file.read_bytes())
        n = len(rows) // len(sequences)
        return [(tuple(ids), rows[i * n : (i + 1) * n]) for i, ids in enumerate(sequences)]

    def measure_start(self, text, ids):
        """A fresh process: s until the first byte of its answer, and the most memory that it had, in MB."""
        default = [*self.command, "--start", self.options.model, self.precision, self.options.threads, self.files, "{ids}"]
        if not self.loaded.get("start") and not self.command[-2].endswith("worker.py"):
            return {}
        words = [
            str(word).replace("{ids}", ",".join(map(str, ids))).replace("{text}", text)
            for word in self.loaded.get("start") or default
        ]
        begin = time.perf_counter()
        with open(self.log, "wb") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self.environment)
        with process.stdout:
            os.read(process.stdout.fileno(), 1)
            seconds = time.perf_counter() - begin
            process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said = self.log.read_text(errors="replace").strip().splitlines()
            raise Failed(f"`{' '.join(words)}` ended with {process.returncode}" + (f": {said[-1]}" if said else ""))
        return {"start": [seconds], "peak": [usage.ru_maxrss * 1.024e-3]}


def end_all():
    for worker in STARTED:
        worker.end()


def known(peer, precision, options):
    """The worker of a peer that this project knows; its files are made where they are missing."""
    venvs = options.venvs.resolve()
    python = pathlib.Path(sys.executable) if peer.name == "tfrun" else venvs / peer.module / "bin" / "python"
    if not (HERE / f"with_{peer.module}.py").is_file():
        raise Failed(
            f"scripts/peers has no with_{peer.module}.py: not installed anywhere yet (pip install {' '.join(peer.packages)})"
        )
    if not python.is_file():
        raise Failed(
            f"{python} is missing; scripts/peers/setup {options.venvs} {peer.module} (pip install {' '.join(peer.packages)})"
        )
    environment = {key: value.format(venvs=venvs, tfrun=options.tfrun.resolve()) for key, value in peer.environment.items()}
    files = "-"
    if precision in peer.makes:
        files = options.files.resolve() / peer.module / precision
        make_files(peer, precision, files, environment, options)
    return Worker(peer.name, precision, [python, "-B", HERE / "worker.py", peer.module], environment, files, options)


def make_files(peer, precision, files, environment, options):
    """Converted once; a note beside them says of which weights, so that another model's are not taken."""
    facts = (options.model / "model.safetensors").resolve().stat()
    origin, note = f"{facts.st_size} bytes of {facts.st_mtime_ns}", files / "made-of.txt"
    if note.is_file() and note.read_text(encoding="utf-8") == origin:
        return
    python = options.venvs.resolve() / CONVERT / "bin" / "python" if peer.packages else pathlib.Path(sys.executable)
    if not python.is_file():
        raise Failed(
            f"{files} has no files of this model, and {python}, which makes them, is missing; "
            f"scripts/peers/setup {options.venvs} {CONVERT}"
        )
    options.say(f"{peer.name} {precision}: making {files}")
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    ran = subprocess.run(
        [python, "-B", HERE / "worker.py", peer.module, "--convert", options.model, precision, files],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        shutil.rmtree(files)
        raise Failed("can't be converted: " + (ran.stderr.strip().splitlines() or ["no reason given"])[-1])
    note.write_text(origin, encoding="utf-8")


def agreement(found, known_rows, precision):
    """How far rows are from the reference's, but for a constant, on which no probability depends: see LIMITS."""
    most, squares, variances, equal, count = 0.0, 0.0, 0.0, 0, 0
    for ids, row in found:
        true = known_rows[ids]
        if len(row) != len(true) or not all(map(math.isfinite, row)):
            raise Failed(f"{len(row)} logits, {len(true)} are expected, all of them finite")
        mean, shift = math.fsum(true) / len(true), (math.fsum(row) - math.fsum(true)) / len(true)
        differences = [a - b - shift for a, b in zip(row, true)]
        most = max(most, max(map(abs, differences)))
        squares += math.fsum(d * d for d in differences)
        variances += math.fsum((b - mean) ** 2 for b in true)
        equal += max(range(len(row)), key=row.__getitem__) == max(range(len(true)), key=true.__getitem__)
        count += 1
    relative = math.sqrt(squares / variances)
    return {
        "max_abs": most,
        "relative": relative,
        "argmax_equal": equal,
        "rows": count,
        "limit": LIMITS[CLASSES[precision]],
        "is_right": relative <= LIMITS[CLASSES[precision]],
    }
