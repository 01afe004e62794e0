"""The commands that are run again and again with another request refused: see injecting.py."""
import json
import pathlib

from injecting import Case

COMMANDS = {}


def command(function):
    COMMANDS[function.__name__] = function
    return function


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
def detokenize(box):
    return Case("tokenize", box.small(), "--decode", "-p", "1 2 3")


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
    return Case("plugins", machine=True, times=rb"^  /.*$")  # files, which have several names


@command
def topology(_):
    return Case("topology", machine=True, times=rb"^(memory|nominal) .*$")


@command
def doctor(box):
    return Case("doctor", box.golden / "base", machine=True)


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
def bench_compare(box):
    def measure():
        return box.file("before.json", box.plain(*words).decode())
    words = ("bench", box.golden / "base", "-t", 1, "--repetitions", 10, "--no-roofs", "--cases", "decode:3", "--json", "-q")
    return Case(*words, "--compare", box.make("before", measure), varies=True)


@command
def profile(box):
    return Case("profile", box.golden / "base", "-t", 1, "--prompt-tokens", 4, "--context", 4, "--reps", 1, "--format", "json", varies=True)


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
