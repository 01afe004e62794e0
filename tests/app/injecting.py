"""What test_inject.py and scripts/inject share: commands that are run again and again, each time with another request refused or
another signal, and what is right at their end. The tools are tests/support/inject*.c, which say what the kinds are."""
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
PASSING = ("short_read", "short_write")  # nothing is lost: the result is whole
OWN_WORDS = ("libgomp: Out of memory", "libgomp: Thread creation failed", "topology-linux.c")  # of vendors that end the process themselves
MACHINES = 4  # records of the machine, kept for plugins: another one where it can be looked at only in part
OTHER_PRIMITIVES = 16  # that oneDNN's plugin keeps where a refused call makes the plan take another one
FAULTS = ("crash", "hang", "silent", "wrong", "half", "leak")
PATIENCE_S = 60 * int(os.environ.get("TFRUN_TEST_PATIENCE", "1"))
COMMANDS = {}


def command(function):
    COMMANDS[function.__name__] = function
    return function


class Skip(Exception):
    """What a case needs isn't there."""


class Run:
    """How a command ended."""

    def __init__(self, code, out, error, files, held, count):
        self.code, self.out, self.error, self.files, self.held, self.count = code, out, error, files, held, count


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

    def run(self, case, kind, at=0, rest=False):
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        for file in (self.count, self.n_calls):
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
        code, out, error = talk(words, case, self.out, self.environment(kind, at, rest))
        out = re.sub(case.times, b"", out, flags=re.MULTILINE) if case.times else out
        files = {str(path.relative_to(self.out)): path.read_bytes() for path in sorted(self.out.rglob("*")) if path.is_file()}
        held = dict(line.split(" ", 1) for line in self.count.read_text().splitlines() if " " in line) if self.count.exists() else {}
        n = int(self.n_calls.read_text() or 0) if self.n_calls.exists() else int(held.get("requests", 0))
        return Run(code, out, error.decode(errors="replace"), files, held, n)


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


def may_lack_report(case, run):
    """A signal ended the process, or MPI_Abort and the launcher the ranks, or a server was told a second time to end and said so."""
    return run.code < 0 or (case.ranks > 1 and run.code != 0) or (case.serves and run.code > 128 and bool(said(case, run)))


def leak(case, run, clean, kind):
    """What is held at the end and was not in a run without a fault. A vendor that ends the process leaves no report: not asked then."""
    if not run.held and not may_lack_report(case, run):
        return f"exit code {run.code}, and no report of what is held"
    for name, room in (("blocks", MACHINES if kind == "machine" else 0), ("kept", OTHER_PRIMITIVES), ("mapped", 0), ("files", 0)):
        if run.held and int(run.held[name]) > int(clean.held[name]) + room:
            return f"{name}: {run.held[name]}, without a fault {clean.held[name]}; requests {run.held.get('held', '')}; files {run.held.get('names', '')}"
    return None


def is_whole_text(text):
    """Of a file whose figures vary."""
    if text.lstrip().startswith((b"{", b"[")):
        try:
            json.loads(text)
        except ValueError:
            return False
    return text != b""


def has_same_results(case, kind, run, clean):
    if not case.varies and not (case.machine and kind in ("machine", "vendor")):
        return run.out == clean.out and (run.files == clean.files or (case.spares and not run.files))
    return run.files.keys() == clean.files.keys() and bool(run.out) == bool(clean.out) and all(map(is_whole_text, run.files.values()))


def half_written(case, run, clean):
    """Names of files that are neither absent nor whole. What stands in the names' folder beforehand is none."""
    def is_whole(name, content):
        return name in clean.files and (is_whole_text(content) if case.varies else clean.files[name] == content)
    return [name for name, content in run.files.items() if not is_whole(name, content)]


def said(case, run):
    """The sentence of a refusal."""
    lines = [line for line in run.error.splitlines() if line.startswith("tfrun: ") and not line.startswith("tfrun: warning")]
    return lines or (["in the report"] if case.reports and b"refused" in run.out else [])


def judge_serve(run, clean, rest):
    answers, wanted = json.loads(run.out), json.loads(clean.out)
    for answer, want in zip(answers, wanted):
        if answer is not None and answer[0] == 200 and answer != want:
            return "wrong", f"the answer is {answer}"
    n_other = sum(answer != want for answer, want in zip(answers, wanted)) + len(wanted) - len(answers)
    if n_other > 1 and not rest and run.code == 0:
        return "silent", f"one fault, and more than one answer is another: {answers}"
    return ("whole", "") if answers == wanted else ("refused", f"{answers}")


def judge_signal(case, kind, run, clean):
    number = int(signal.SIGINT if kind == "sigint" else signal.SIGTERM)
    if run.code not in (0, -number, 128 + number):
        return "crash", f"exit code {run.code}: {run.error[-300:]}"
    if run.code == 0 and not case.serves and not has_same_results(case, kind, run, clean):
        return "wrong", f"exit code 0, but {run.out[:200]!r} and {sorted(run.files)}"
    if run.code == -number and not case.program and not said(case, run):
        return "silent", f"no sentence: {run.error!r}"
    if run.code == 128 + number and not said(case, run) and not case.varies and not clean.out.startswith(run.out.rstrip()):
        return "wrong", f"stopped in order, but what there is is no beginning of the whole: {run.out[:200]!r}"
    return ("whole" if run.code == 0 else "refused"), ""


def judge_end(case, kind, run, clean, rest):
    if run.code == "hang":
        return "hang", run.error[-300:]
    if kind.startswith("sig"):
        return judge_signal(case, kind, run, clean)
    if any(words in run.error for words in OWN_WORDS):
        return "vendor", ""
    if run.code < 0 or run.code > 6:
        return "crash", f"exit code {run.code}: {run.error[-300:]}"
    if case.serves and run.code == 0:
        return judge_serve(run, clean, rest)
    if run.code == 0:
        return ("whole", "") if has_same_results(case, kind, run, clean) else ("wrong", f"exit code 0, but {run.out[:300]!r} and {sorted(run.files)}; {run.error[-300:]}")
    if not said(case, run):
        return "silent", f"exit code {run.code} without a sentence: {run.error!r}"
    return "refused", ""


def judge(case, kind, run, clean, rest=False):
    """(outcome, what is wrong): whole, refused or vendor are right, others are FAULTS."""
    outcome, what = judge_end(case, kind, run, clean, rest)
    if outcome in FAULTS:
        return outcome, what
    half = half_written(case, run, clean)
    if half:
        return "half", f"exit code {run.code}, but there is {half}"
    if kind in PASSING and outcome == "refused":
        return "wrong", f"nothing was lost, but exit code {run.code}: {run.error[-300:]}"
    if case.program and outcome == "refused" and not rest and not kind.startswith("sig"):
        return "wrong", f"one fault, and the engine is of no more use: {run.error[-300:]}"
    held = leak(case, run, clean, kind) if outcome != "vendor" else None
    return ("leak", held) if held else (outcome, "")


@command
def generate(box):
    return Case(box.golden / "base", "--prompt-ids", "1,2,3", "-n", 3, "-q", "-t", 1)


@command
def generate_text(box):
    return Case(box.small(), "-p", "Once upon", "-n", 3, "-q", "-t", 1, "--temperature", 0)


@command
def generate_json(box):
    return Case(box.golden / "base", "--prompt-ids", "1,2", "--prompt-ids", "5", "-n", 3, "-q", "-t", 1, "-o", "result")


@command
def generate_int8(box):
    return Case(box.golden / "base", "--prompt-ids", "1,2", "-n", 3, "-q", "-t", 1, "--dtype", "int8", "--kv-dtype", "int8", "--seed", 3,
                "--temperature", 0.7, "--cache-save", "kept")


@command
def beams(box):
    return Case(box.golden / "base", "--prompt-ids", "1,2,3", "-n", 4, "-q", "-t", 1, "--num-beams", 3, "--num-return-sequences", 2)


@command
def lora(box):
    return Case(box.golden / "lora" / "models" / "f32", "--adapter", box.golden / "lora" / "all", "--prompt-ids", "3,14,15", "-n", 3, "-q", "-t", 1)


@command
def torch_file(box):
    return Case(box.golden / "bin" / "f32", "--prompt-ids", "3,14,15", "-n", 3, "-q", "-t", 1)


@command
def packs(box):
    return Case(box.golden / "base", "--prompt-ids", "1,2", "-n", 2, "-q", "-t", 1, "--pack-cache", "packs", spares=True)


@command
def forward(box):
    model = box.source / "tests" / "model" / "forward" / "lm"
    return Case("forward", model, "--in", model / "request.safetensors", "--out", "result", "-t", 1)


@command
def tokenize(box):
    return Case("tokenize", box.small(), "-p", "Once upon a time")


@command
def evaluate(box):
    return Case("eval", box.small(), "--data", box.file("text", "Once upon a time there was a king."), "-q", "-t", 1,
                times=rb"^time .*$")


@command
def score(box):
    lines = '{"context": "Once", "continuation": " upon"}\n{"context": "The", "continuation": " king"}\n'
    return Case("score", box.small(), "--pairs", box.file("lines", lines), "-q", "-t", 1)


@command
def classify(box):
    text = box.source / "tests" / "model" / "text"
    return Case("classify", text / "single", "--tokenizer", text / "tokenizer", "-p", "The king went home.", "--labels", 0, "-q", "-t", 1)


@command
def plan(box):
    return Case("plan", box.golden / "base", "-t", 1, "--explain", machine=True)


@command
def summary(box):
    return Case("summary", box.golden / "base", "-t", 1, machine=True)


@command
def graph(box):
    return Case("graph", box.golden / "base", "-t", 1, "--stage", "both", "--ranks", 2, "--critical-path", machine=True)


@command
def graph_measured(box):
    return Case("graph", box.source / "configs" / "demo", "-t", 1, "--ranks", 3, "--format", "json", "--measured", box.source / "docs" / "examples" / "trace.json",
                machine=True)


@command
def cost(box):
    return Case("cost", box.golden / "base", "--format", "json")


@command
def check(box):
    return Case("check", box.golden / "base", reports=True)


@command
def config(box):
    return Case("config", box.golden / "base")


@command
def plugins(_):
    return Case("plugins", machine=True)


@command
def init(box):
    return Case("init", box.golden / "base" / "config.json", "-o", "model")


@command
def quantize(box):
    return Case("quantize", box.golden / "base", "--to", "int8", "-o", "model")


@command
def quantize_data(box):
    return Case("quantize", box.small(), "--to", "int4", "-o", "model", "-t", 1, "--data", box.file("text", "Once upon a time there was a king."))


@command
def scaling(box):
    def measure(threads):
        words = ("bench", box.golden / "base", "--threads", threads, "--repetitions", 10, "--no-roofs", "--cases", "decode:3", "--json")
        return box.file(f"bench-{threads}.json", box.plain(*words).decode())
    documents = box.make("documents", lambda: [measure(1), measure(2)])
    return Case("scaling", "--report", *documents, "-o", "study")


@command
def bench(box):
    return Case("bench", box.golden / "base", "-t", 1, "--repetitions", 10, "--no-roofs", "--cases", "decode:3", "--json", "--save", "result", "-q", varies=True)


@command
def load(box):
    return Case("load", "--in-process", box.golden / "base", "-t", 1, "--clients", 1, "--requests", 2, "--warmup", 0, "--prompt-tokens", 4, "--output-tokens", 2,
                "-q", "--json", "-o", "result", varies=True)


@command
def repl(box):
    return Case("repl", box.small(), "-t", 1, text=b"/set max_tokens 3\nOnce upon\n/tokens\n/undo\n")


@command
def library(box):
    return Case(box.golden / "base", "kept", program=pathlib.Path(box.library).parent / "inject_engine")


@command
def ranks(box):
    return Case(box.golden / "base", "--prompt-ids", "1,2,3", "-n", 3, "-q", "-t", 1, ranks=2)


@command
def serve_http(box):
    return Case("serve", box.small(), "-t", 1, "--port", 0, serves=True)
