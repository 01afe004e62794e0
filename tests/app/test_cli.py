#!/usr/bin/env python3
"""test_cli.py TFRUN NAME SOURCE_DIR: tfrun from outside, one behaviour a case.

`test_cli.py --list` prints the names. Runs the demo model on few tokens. Python's own library only.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

from cases import SLOWER, case, expect, expect_same, main

PROMPT = "Once upon a time there was"


class Tfrun:
    """The program and the folders that a case works with."""

    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder
        self.demo = source_dir / "configs" / "demo"

    def run(self, *arguments, stdin=b"", code=0):
        command = [self.program, *map(str, arguments)]
        ran = subprocess.run(command, input=stdin, capture_output=True, timeout=120 * SLOWER)
        if code is not None and ran.returncode != code:
            raise AssertionError(f"exit code {ran.returncode}, expected {code}: {ran.stderr.decode()}")
        return ran

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def text(self, *arguments, **keywords):
        return self.run(*arguments, **keywords).stdout.decode()

    def json(self, *arguments, **keywords):
        return json.loads(self.run(*arguments, "--json", **keywords).stdout)

    def greedy(self, *arguments, n=12):
        """One greedy generation as JSON; the demo's own sampling settings are put aside."""
        return self.json(self.demo, "--temperature", 0, "-n", n, *arguments)

    def demo_files(self):
        """"model" of a config elsewhere that uses the demo model."""
        return {"weights": str(self.demo / "model.safetensors"), "tokenizer": str(self.demo)}

    def options(self):
        """(key, flag) of every line of the option table."""
        text = (self.source / "core" / "config" / "config.def").read_text()
        word, number = r'\s*(?:"[^"]*"|NULL),', r"[^,]+,"
        pattern = rf'TFR_OPTION\(\w+,\s*"([^"]+)",\s*\w+,\s*\w+,{word}{number}{number}{word}\s*(?:"([^"]+)"|NULL)'
        return re.findall(pattern, text)


# ---- help and reports


def commands(text):
    """The commands that --help lists."""
    names = re.findall(r"^  ([a-z]+) ", text[text.index("Commands:"):text.index("Options of")], re.M)
    expect("generate" in names and "plan" in names, names)
    return names


@case
def help_lists_every_flag(tfrun):
    text = tfrun.text("--help")
    text += "".join(tfrun.text(command, "--help") for command in commands(text))
    options = tfrun.options()
    expect(len(options) > 30, len(options), "options read from config.def")
    for _, flag in options:
        expect(not flag or re.search(rf"--{flag}\b", text), "no", flag)
    expect("--set" in text and "--prompt-ids" in text and "--json" in text, text)


@case
def help_fits_110_columns(tfrun):
    text = tfrun.text("--help")
    for line in "\n".join([text, *(tfrun.text(command, "--help") for command in commands(text))]).splitlines():
        expect(len(line) <= 110, len(line), line)


@case
def help_of_a_command_names_its_flags(tfrun):
    expect("--decode" in tfrun.text("tokenize", "--help"), "--decode")
    expect("--explain" in tfrun.text("plan", "--help"), "--explain")
    for command in ("init", "quantize"):
        told = " ".join(tfrun.text(command, "--help").split())
        expect("-o, --output DIR the folder to write" in told and "instead of stdout" not in told, told)


@case
def no_arguments_shows_help_and_fails(tfrun):
    ran = tfrun.run(code=2)
    expect_same(ran.stdout, tfrun.run("--help").stdout)
    expect_same(ran.stderr.count(b"\n"), 1)


@case
def version_is_one_line(tfrun):
    expect(re.fullmatch(r"tfrun \d+\.\d+\.\d+\n", tfrun.text("--version")), tfrun.text("--version"))


@case
def plan_shows_every_node_with_a_kernel(tfrun):
    text = tfrun.text("plan", tfrun.source / "configs" / "gpt2.json", "--explain")
    for layer in range(12):
        expect(re.search(rf"\bh\.{layer}\.", text), "no node of block", layer)
    for word in ("ln_f", "lm_head", "attention.f32.", "linear.f32.", "FLOPs", "read", "written", "predicted", "nominal peaks"):
        expect(word in text, word)


@case
def plan_as_json_parses(tfrun):
    json.loads(tfrun.text("plan", tfrun.demo, "--json", "--rows", 64))


@case
def plan_tells_the_bytes_of_caches(tfrun):
    model = tfrun.source / "configs" / "gpt2.json"
    expect("kv cache of a sequence: f32, growing, 73728 bytes a position, 75.50 MB for 1024 positions" in tfrun.text("plan", model),
           "f32")
    cache = json.loads(tfrun.text("plan", model, "--json", "--kv-dtype", "int8", "--kv-capacity", 500, "--ranks", 2))["kv_cache"]
    expect(sum(cache.pop("position_bytes")) == 19584, "int8")
    expect(cache == {"dtype": "int8", "kind": "growing", "capacity": 500}, cache)
    for dtype in "bf16", "int8", "int8w", "int4":  # auto
        cache = json.loads(tfrun.text("plan", model, "--json", "--dtype", dtype))["kv_cache"]
        expect([cache["dtype"], sum(cache["position_bytes"])] == ["bf16", 36864], dtype, cache)


@case
def plan_refuses_what_it_would_pass_over(tfrun):
    for command in ("plan", "graph", "summary", "calibrate"):
        for words in (["--warmup"], ["--pack-cache", "auto"], ["--set", "runtime.warmup=true"]):
            told = tfrun.run(command, tfrun.demo, *words, code=2).stderr.decode()
            expect(f"has no effect on `tfrun {command}`" in told and told.count("\n") == 1, told)
        expect("--warmup" not in tfrun.text(command, "--help"), command)
    for words in (["--warmup"], ["--set", "runtime.pack_cache=auto"]):
        told = tfrun.run("cost", tfrun.demo, *words, code=2).stderr.decode()
        expect("has no effect on `tfrun cost` without --measured" in told and told.count("\n") == 1, told)
    tfrun.run("plan", tfrun.demo, "--context", 511, "--rows", 513, "--max-rows", 600)
    for words, told in ((["--context", 512], "--context 512: a sequence of "), (["--cache", 600], "has 512 positions, its n_positions; give 511 at most"),
                        (["--rows", 513], "has 512 at most (runtime.max_rows)"),
                        (["--context", 100, "--kv-capacity", 64], "has 64 positions, which runtime.kv_capacity says; give 63 at most")):
        error = tfrun.run("plan", tfrun.demo, *words, code=2).stderr.decode()
        expect(told in error and error.count("\n") == 1, error)
    expect_same(tfrun.text("plan", tfrun.demo, "--kv-capacity", 64), tfrun.text("plan", tfrun.demo, "--kv-capacity", 64, "--context", 63))


@case
def what_is_said_by_name_beats_its_short_forms(tfrun):
    for words, has_stats, has_debug in ((["-q"], False, False), (["-q", "--stats", "on"], True, False), (["-v", "--log", "debug"], True, True),
                                        (["--log", "debug", "-q"], False, True), (["--log", "error", "-v", "-v"], True, False)):
        said = tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 2, *words).stderr
        expect_same((words, b"first token" in said, b"tfrun [" in said), (words, has_stats, has_debug))


@case
def what_is_refused_is_named_by_its_key(tfrun):
    pairs = tfrun.file("pairs.jsonl", json.dumps({"context": "a", "continuation": " b"}))
    for words, told in ((["score", tfrun.demo, "--pairs", pairs, "--set", "eval.ctx=9"], "eval.ctx is about one text"),
                        (["score", tfrun.demo, "--pairs", pairs, "--ctx", 9], "--ctx is about one text"),
                        (["calibrate", "--set", "parallel.wait=spin"], "parallel.wait is about ranks"),
                        (["bench", "--rerun", "none", "--set", "runtime.dtype=bf16"], "leave runtime.dtype out"),
                        (["load", "http://h:1", "--set", "runtime.dtype=bf16"], "runtime.dtype has no effect on a server")):
        ran = tfrun.run(*words, code=2)
        expect(told in ran.stderr.decode() and ran.stderr.count(b"\n") == 1, words, ran.stderr)


@case
def options_of_other_commands_are_refused_by_their_owner(tfrun):
    for words, told in (([tfrun.demo, "-p", "x", "--alias", "n"], "--alias has no effect on `tfrun generate` (it belongs to serve); leave it out"),
                        (["serve", tfrun.demo, "--logprobs", 3], "--logprobs has no effect on `tfrun serve` (it belongs to generate); leave it out"),
                        (["repl", tfrun.demo, "--port", 9], "--port has no effect on `tfrun repl` (it belongs to serve)"),
                        (["load", "--in-process", tfrun.demo, "--access-log", "none"], "--access-log has no effect on `tfrun load` (it belongs to serve)"),
                        (["profile", tfrun.demo, "--stats", "off"], "--stats has no effect on `tfrun profile` (it belongs to generate, eval, score)"),
                        (["bench", tfrun.demo, "--stats", "off"], "--stats has no effect on `tfrun bench`"),
                        (["quantize", tfrun.demo, "--to", "int8", "--set", "output.format=json"], "--set output.format has no effect on `tfrun quantize`"),
                        (["plan", tfrun.demo, "--wait", "spin"], "--wait has no effect on `tfrun plan`"),
                        (["graph", tfrun.demo, "--hugepages", "off"], "--hugepages has no effect on `tfrun graph`"),
                        (["summary", tfrun.demo, "--max-slots", 40], "--max-slots has no effect on `tfrun summary`")):
        ran = tfrun.run(*words, code=2)
        expect(told in ran.stderr.decode() and ran.stderr.count(b"\n") == 1 and ran.stdout == b"", words, ran.stderr)


@case
def commands_without_a_config_refuse_what_they_would_pass_over(tfrun):
    for words, told in ((["topology", "--set", "bogus.key=1"], "--set bogus.key has no effect on `tfrun topology`"),
                        (["plugins", "--set", "bogus.key=1"], "--set bogus.key has no effect on `tfrun plugins`"),
                        (["scaling", "--report", "--set", "bogus.key=1", "none"], "--set bogus.key has no effect on `tfrun scaling`"),
                        (["tokenize", tfrun.demo, "-p", "x", "--set", "parallel.device_map={}"], "--set parallel.device_map has no effect on `tfrun tokenize`"),
                        (["tokenize", tfrun.demo / "tokenizer.json", "-p", "x", "--tokenizer", tfrun.demo], "tokenizer.json is a tokenizer itself"),
                        (["tokenize", tfrun.demo / "tokenizer.json", "-p", "x", "--set", "bogus.key=1"], "unknown key bogus.key"),
                        (["doctor", "--set", "bogus.key=1"], "unknown key bogus.key"), (["doctor", "--threads", "none"], "--threads"),
                        (["doctor", "--threads", 4097], "outside 1..4096"), (["doctor", "--tensor", 2], "--tensor is about the blocks of a model"),
                        (["calibrate", "--show", "--threads", "none"], "\"none\" is neither a whole number in 1..4096 nor auto"),
                        (["calibrate", "--show", "--threads", 1 << 32], "is neither a whole number in 1..4096 nor auto"),
                        (["calibrate", "--weights", "none"], "--weights are those of a config")):
        ran = tfrun.run(*words, code=2)
        expect(told in ran.stderr.decode() and ran.stderr.count(b"\n") == 1 and ran.stdout == b"", words, ran.stderr)


@case
def two_results_are_not_written_into_one_file(tfrun):
    one, other = tfrun.folder / "one", f"{tfrun.folder}/./one"
    for words in ([tfrun.demo, "-p", PROMPT, "-n", 2, "-o", one, "--trace", other], [tfrun.demo, "-p", PROMPT, "--cache-save", one, "-o", other, "--force"],
                  ["forward", tfrun.demo, "--in", "none", "--out", one, "--trace", other], ["profile", tfrun.demo, "--svg", one, "-o", other],
                  ["load", "--in-process", tfrun.demo, "--svg", one, "-o", other], ["load", "http://h:1", "--svg", one, "-o", other]):
        for there in False, True:
            one.write_text("old") if there else one.unlink(missing_ok=True)
            told = tfrun.run(*words, code=2 if shutil.which("gnuplot") or words[0] != "profile" else None).stderr.decode()
            expect(told.count("\n") == 1 and ("both name" in told or "gnuplot-nox" in told), words, told)
            expect(one.read_text() == "old" if there else not one.exists(), words)


@case
def a_key_may_have_its_section_before_it(tfrun):
    expect_same(tfrun.text("tokenize", tfrun.demo, "--set", "tfrun.input.prompt=hi there"), tfrun.text("tokenize", tfrun.demo, "-p", "hi there"))
    told = tfrun.run("calibrate", "--show", "--file", "none", "--set", "tfrun.runtime.threads=2", code=2).stderr.decode()
    expect("--threads finds it in the cache folder: give one" in told, told)


@case
def plan_needs_no_weights(tfrun):
    expect(tfrun.text("plan", tfrun.source / "configs" / "gpt2-xl.json", "--ranks", 4), "a plan")


@case
def plugins_are_listed(tfrun):
    text = tfrun.text("plugins")
    for name in ("ref", "onednn", "attention", "layernorm", "pointwise", "gemv"):
        expect(re.search(rf"\b{name}\b", text), name, "is not listed")
    json.loads(tfrun.text("plugins", "--json"))


@case
def topology_is_told(tfrun):
    expect("core" in tfrun.text("topology"), "cores")
    json.loads(tfrun.text("topology", "--json"))


@case
def packing_is_no_prompt_time(tfrun):
    stats = tfrun.greedy("-p", PROMPT)["stats"]
    expect(stats["pack_ms"] > 0, stats)
    whole = stats["pack_ms"] + stats["prompt_ms"]
    expect(stats["first_token_ms"] >= 0.9 * whole and stats["first_token_ms"] < whole + 100 + 0.5 * whole, stats)


@case
def openmp_places_leave_all_threads(tfrun):
    """OpenMP binds the first thread before main: that is no limit of the process."""
    def threads(**variables):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
        told = subprocess.run([tfrun.program, "topology", "--json"], env={**clean, **variables}, capture_output=True, check=True)
        return json.loads(told.stdout)["threads"]
    free = threads()
    for name, value in (("OMP_PROC_BIND", "true"), ("OMP_PROC_BIND", "spread"), ("OMP_PLACES", "threads"), ("OMP_PLACES", "sockets"),
                        ("OMP_DYNAMIC", "true")):
        expect_same((name, threads(**{name: value})), (name, free))
    expect_same(threads(OMP_PROC_BIND="true", OMP_NUM_THREADS="1"), 1)
    expect_same(threads(OMP_MAX_ACTIVE_LEVELS="0"), 1)
    expect_same(threads(OMP_THREAD_LIMIT="1"), 1)


@case
def threads_that_cannot_be_had_are_refused(tfrun):
    most = 4 * json.loads(tfrun.text("topology", "--json"))["cores"]
    for command in (["plan", tfrun.demo], [tfrun.demo, "-p", "a"]):
        error = tfrun.run(*command, "--threads", most + 1, code=2).stderr.decode()
        expect(f"runtime.threads asks for {most + 1} threads" in error, error)
        expect_same("HWLOC_SYNTHETIC" in error, command[0] == "plan")  # a run takes no machine but this one
    config = tfrun.file("many.json", json.dumps({**json.loads((tfrun.demo / "config.json").read_text()),
                                                 "tfrun": {"version": 1, "runtime": {"threads": most + 1}}}))
    tfrun.run("plan", config, code=3)
    expect(f"{most} threads" in tfrun.text("plan", tfrun.demo, "--threads", most), "the most is honoured")


@case
def config_prints_effective_options(tfrun):
    effective = json.loads(tfrun.text("config", tfrun.demo, "--threads", 1))
    expect_same(effective["tfrun"]["runtime.threads"], 1)
    with open(os.path.join(tfrun.demo, "config.json"), encoding="utf-8") as file:
        expect_same(effective["tfrun"]["sampling.top_k"], json.load(file)["tfrun"]["sampling"]["top_k"])


# ---- stdout and stderr


@case
def stdout_has_only_the_text(tfrun):
    ran = tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 5, "--temperature", 0)
    text = ran.stdout.decode()
    expect(text.startswith(PROMPT) and text.endswith("\n") and len(text) > len(PROMPT) + 2, text)
    expect(re.fullmatch(rb"tfrun: prompt \d+ tok .*\n", ran.stderr), ran.stderr)


@case
def quiet_has_an_empty_stderr(tfrun):
    expect_same(tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 3, "-q").stderr, b"")


@case
def no_echo_leaves_the_prompt_out(tfrun):
    with_prompt = tfrun.text(tfrun.demo, "-p", PROMPT, "-n", 5, "--seed", 3)
    without = tfrun.text(tfrun.demo, "-p", PROMPT, "-n", 5, "--seed", 3, "--no-echo")
    expect_same(with_prompt, PROMPT + without)


@case
def json_has_what_the_text_has(tfrun):
    result = tfrun.greedy("-p", PROMPT)
    choice = result["choices"][0]
    text = tfrun.text(tfrun.demo, "-p", PROMPT, "-n", 12, "--temperature", 0)
    expect_same(PROMPT + choice["text"] + "\n", text)
    expect_same(len(choice["ids"]), 12)
    expect_same(choice["finish_reason"], "length")
    expect(re.fullmatch(r"[0-9a-f]{16}", result["logits_digest"]), result["logits_digest"])
    expect_same(result["stats"]["output_tokens"], 12)


@case
def a_reader_that_leaves_is_no_error(tfrun):
    process = subprocess.Popen([tfrun.program, tfrun.demo, "-p", PROMPT, "-n", "200", "--ignore-eos"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    expect_same(process.stdout.read(1), PROMPT[:1].encode())
    process.stdout.close()
    error = process.stderr.read()
    expect(process.wait(timeout=60 * SLOWER) in (0, 128 + signal.SIGPIPE), process.returncode, error)
    expect(b"tfrun: " not in error.replace(b"tfrun: prompt", b""), error)


@case
def a_full_disk_is_an_error(tfrun):
    jobs = [tfrun.demo, "-n", "5"], [tfrun.demo, "-n", "5", "--json"], ["tokenize", tfrun.demo], ["score", tfrun.demo]
    for job in jobs:
        with open("/dev/full", "wb") as full:
            ran = subprocess.run([tfrun.program, *job, "-p", PROMPT], stdout=full, stderr=subprocess.PIPE, timeout=120 * SLOWER)
        expect_same(ran.returncode, 1)
        expect(b"cannot write to stdout: No space left" in ran.stderr, ran.stderr)


@case
def a_closed_stdout_is_missed_where_it_is_needed(tfrun):
    out = tfrun.folder / "closed.txt"
    for words, code in ((["-o", out], 0), ([], 1)):
        ran = subprocess.run(["sh", "-c", 'exec "$0" "$@" >&-', str(tfrun.program), str(tfrun.demo), "-p", PROMPT, "-n", "2", "-q", *map(str, words)],
                             stderr=subprocess.PIPE, timeout=120 * SLOWER)
        expect_same((ran.returncode, ran.stderr.count(b"cannot write to stdout: Bad file descriptor")), (code, code))
    expect(out.read_text().startswith(PROMPT), out)


@case
def text_streams_as_it_comes(tfrun):
    reader, writer = os.pipe2(os.O_DIRECT)  # one read for each write, however late the reader comes
    process = subprocess.Popen([tfrun.program, tfrun.demo, "-p", PROMPT, "-n", "60", "--ignore-eos", "-q"], stdout=writer)
    os.close(writer)
    pieces = 0
    while os.read(reader, 65536):
        pieces += 1
    os.close(reader)
    expect_same(process.wait(timeout=60 * SLOWER), 0)
    expect(pieces > 30, pieces, "pieces of 60 tokens")


@case
def interrupt_prints_what_is_there(tfrun):
    process = subprocess.Popen([tfrun.program, tfrun.demo, "-p", PROMPT, "-n", "480", "--ignore-eos"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60 * SLOWER)
    expect_same(process.returncode, 130)
    expect(out.endswith(b"\n") and b"cancelled" in error, out[-20:], error)


@case
def every_command_tells_a_full_disk(tfrun):
    for words in (["--help"], ["--version"], ["generate", "--help"], ["plan", tfrun.demo], ["config", tfrun.demo], ["check", tfrun.demo],
                  ["plugins"], ["topology"], ["tokenize", tfrun.demo, "-p", "a"], ["tokenize", tfrun.demo, "--decode", "-p", "72"],
                  [tfrun.demo, "-p", "a", "-n", 1, "-q"], ["score", tfrun.demo, "-p", "a b", "-q"]):
        with open("/dev/full", "wb") as full:
            ran = subprocess.run([tfrun.program, *map(str, words)], stdout=full, stderr=subprocess.PIPE, timeout=120 * SLOWER, check=False)
        expect_same((ran.returncode, ran.stderr.count(b"cannot write to stdout: No space left")), (1, 1))


@case
def libraries_print_on_stderr(tfrun):
    environment = {**os.environ, "DNNL_VERBOSE": "1", "ONEDNN_VERBOSE": "2"}
    words = [tfrun.program, tfrun.demo, "-p", PROMPT, "-n", "2", "--json", "-q", "--temperature", "0", "--kernels", "onednn"]
    ran = subprocess.run(words, capture_output=True, env=environment, timeout=120 * SLOWER, check=True)
    json.loads(ran.stdout)


def on_a_terminal(command):
    """What a terminal gets on stdout and stderr."""
    here, there = os.openpty()
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=there, stderr=there)
    os.close(there)
    seen = b""
    while True:
        try:
            part = os.read(here, 1 << 16)
        except OSError:
            part = b""
        if not part:
            break
        seen += part
    process.wait(timeout=60 * SLOWER)
    os.close(here)
    return seen


def expect_tame(text):
    """No control character, also none of 8 bits, nothing that turns what follows, and no line that a name made."""
    shown = text.decode(errors="surrogateescape")
    expect(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\udc80-\udc9f]|^tfrun: wrote", shown, re.M), text)


@case
def no_text_steers_the_terminal(tfrun):
    wild = "a\x1b[2Jb\x9bc\x07d\x7f\te\n"
    words = [tfrun.program, tfrun.demo, "-n", "0", "-q", "-p", wild]
    expect_same(on_a_terminal(words).replace(b"\r\n", b"\n"), "a?[2Jb\xa0c?d?\te\n\n".encode())
    expect_same(tfrun.run(*words[1:]).stdout, (wild + "\n").encode())  # a pipe gets every byte
    config = {"model_type": "gpt2\x1b]0;t\x07\ntfrun: wrote ok\x9b2J", "vocab\n_size\x1b": 1}
    path = tfrun.file("config.json", json.dumps(config))
    for command in ("plan", "check", "generate", "config"):
        for text in (on_a_terminal([tfrun.program, command, path]).replace(b"\r\n", b"\n"),
                     *(lambda ran: (ran.stdout, ran.stderr))(tfrun.run(command, path, code=None))):
            expect_tame(text)
    study = tfrun.folder / "study"
    study.mkdir()
    (study / "x\x9b2J\u202ey\x1b[2J\ntfrun: wrote.json").write_text("{}")
    ran = tfrun.run("scaling", "--report", study, code=None)
    expect(ran.returncode != 0 and b"2J" in ran.stderr, ran)
    expect_tame(ran.stderr)
    expect_tame(tfrun.run("generate", tfrun.demo, "--no\x9b2J\u202eoption", code=2).stderr)


@case
def no_file_of_a_folder_is_written_over_unasked(tfrun):
    """Not the small files either, which a tokenizer may have there already; with --force a link is replaced, not followed."""
    model, out, precious = tfrun.folder / "model", tfrun.folder / "out", tfrun.folder / "precious"
    shutil.copytree(tfrun.source / "tests" / "model" / "golden" / "base", model)
    shutil.copy(tfrun.demo / "vocab.json", model)
    shutil.copy(tfrun.demo / "merges.txt", model)
    (model / "generation_config.json").write_text("{}")
    for words in ("init", model), ("quantize", model, "--to", "int8w"):
        for name in ("vocab.json", "merges.txt", "model.safetensors", "generation_config.json"):
            if words[0] == "init" and name == "generation_config.json":
                continue  # none is written
            out.mkdir()
            precious.write_bytes(b"precious")
            (out / name).symlink_to(precious)
            said = tfrun.run(*words, "-o", out, code=2).stderr.decode()
            expect(f"already holds a model ({name})" in said and "--force" in said, said)
            expect_same(([path.name for path in out.iterdir()], precious.read_bytes()), ([name], b"precious"))
            tfrun.run(*words, "-o", out, "--force")
            expect_same((precious.read_bytes(), (out / name).is_symlink()), (b"precious", False))
            shutil.rmtree(out)
        tfrun.run(*words, "-o", out)  # a new one, as ever
        shutil.rmtree(out)


@case
def labels_are_columns_whatever_they_are_called(tfrun):
    text = tfrun.source / "tests" / "model" / "text"
    model = tfrun.folder / "model"
    shutil.copytree(text / "single", model)
    config = json.loads((model / "config.json").read_text())
    config["id2label"] = {str(i): f"l{i}\x1b]0;t\x07\ntfrun: well\t" for i in range(3)}
    (model / "config.json").write_text(json.dumps(config))
    out = tfrun.run("classify", model, "--tokenizer", text / "tokenizer", "-p", "hello").stdout.decode()
    expect(re.fullmatch(r"(l[012]\?]0;t\?\?tfrun: well\?\t0\.\d{6}[\t\n])+", out) and out.count("\n") == 1, out)


def files_of(process):
    """What it has open; a file without a name is "/folder/#NUMBER (deleted)"."""
    names = []
    for entry in pathlib.Path(f"/proc/{process.pid}/fd").glob("*"):
        try:
            names.append(os.readlink(entry))
        except OSError:
            pass
    return names


@case
def a_signal_leaves_no_temporary_file(tfrun):
    big = json.loads((tfrun.demo / "config.json").read_text())
    big.update(n_embd=1024, n_layer=24, n_head=16, vocab_size=50257)
    big.pop("tfrun")
    path, out = tfrun.file("big.json", json.dumps(big)), tfrun.folder / "model"
    has_nameless = False
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
        if number == signal.SIGKILL and not has_nameless:
            continue # this file system has no files without a name
        process = subprocess.Popen([tfrun.program, "init", path, "-o", out], stderr=subprocess.PIPE)
        written = []
        for _ in range(2000):
            written = [name for name in files_of(process) if name.startswith(str(out))]
            if written:
                break
            time.sleep(0.005)
        time.sleep(0.05)
        expect(process.poll() is None and written, "it was not at work")
        has_nameless = has_nameless or written[0].endswith("(deleted)")
        process.send_signal(number)
        told = process.communicate(timeout=60 * SLOWER)[1]
        expect_same((process.returncode, list(out.iterdir())), (-number, []))
        expect_same(told, b"" if number == signal.SIGKILL else f"tfrun: ended by signal {int(number)}, before it was done\n".encode())


@case
def check_tells_what_is_read_and_nothing_else_of_it(tfrun):
    lines = tfrun.run("check", tfrun.demo).stdout.decode().splitlines() # whose config names model.safetensors
    expect_same([line.split()[0] for line in lines if "model.safetensors" in line and "model.weights" not in line], ["honoured"])


@case
def a_text_without_an_end_is_refused(tfrun):
    ran = tfrun.run("tokenize", tfrun.demo, "-f", "/dev/zero", code=5)
    expect(b"cannot read /dev/zero: it is larger than 1 GiB" in ran.stderr, ran.stderr)


@case
def several_texts_are_told_apart(tfrun):
    words = ["-n", 1, "-q", "--temperature", 0]
    one = [tfrun.text(tfrun.demo, "-p", text, *words) for text in (PROMPT, "The sea")]
    expect_same(tfrun.text(tfrun.demo, "-p", PROMPT, "-p", "The sea", *words), f"==> prompt 1 <==\n{one[0]}==> prompt 2 <==\n{one[1]}")
    beams = [line for line in tfrun.text(tfrun.demo, "-p", "The", "-p", "A", *words, "--num-beams", 2, "--num-return-sequences",
                                         2).splitlines() if line.startswith("==>")]
    expect_same(beams, [f"==> prompt {p}, text {t} <==" for p in (1, 2) for t in (1, 2)])


@case
def several_prompts_are_one_batch(tfrun):
    both = tfrun.greedy("-p", PROMPT, "-p", "The sea")["choices"]
    expect_same(both, [tfrun.greedy("-p", prompt)["choices"][0] for prompt in (PROMPT, "The sea")])


@case
def several_id_prompts_are_one_batch(tfrun):
    ids = "3,4", "5,6,7"
    both = tfrun.greedy(*(word for one in ids for word in ("--prompt-ids", one)))["choices"]
    expect_same(both, [tfrun.greedy("--prompt-ids", one)["choices"][0] for one in ids])


@case
def without_a_tokenizer_the_answer_is_ids(tfrun):
    model = tfrun.source / "tests" / "model" / "golden" / "base"
    arguments = [model, "--prompt-ids", "1,2,3", "-n", 4, "--ignore-eos"]
    ids = tfrun.json(*arguments)["choices"][0]["ids"]
    expect_same(tfrun.text(*arguments), " ".join(map(str, ids)) + "\n")


@case
def a_minimum_above_the_maximum_is_told(tfrun):
    ran = tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 2, "--min-tokens", 9)
    expect(b"min_tokens = 9 is more than sampling.max_tokens = 2" in ran.stderr, ran.stderr)


@case
def help_shows_what_the_command_reads(tfrun):
    text = tfrun.text("plugins", "--help")
    expect("--plugin PATH" in text and "--temperature" not in text, text)
    text = tfrun.text("generate", "--help")
    expect("--temperature" in text and "--stride" not in text, text)


@case
def a_byte_0_is_text_like_any_other(tfrun):
    ids = json.loads((tfrun.demo / "vocab.json").read_text())
    zero = ids["\u0100"]
    out = tfrun.folder / "zero.txt"
    arguments = ["-n", 3, "--temperature", 0, "--logit-bias", json.dumps({zero: 1000})]
    expect_same(tfrun.json(tfrun.demo, "-p", "x", *arguments)["choices"][0]["text"], "\0" * 3)
    tfrun.run(tfrun.demo, "-p", "x", *arguments, "-o", out)
    expect_same(out.read_bytes(), b"x" + b"\0" * 3 + b"\n")


@case
def a_name_that_no_file_can_have_is_refused_before_the_work(tfrun):
    for name, told, code in ((f"{tfrun.folder}/new/", "is a folder; name a file to write", 5), ("-", "- is no file to write", 2)):
        ran = tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 4, "-o", name, code=code)
        expect(told in ran.stderr.decode() and ran.stdout == b"", ran.stderr)
    ran = tfrun.run("load", "--in-process", tfrun.demo, "--svg", "", code=2)
    expect(b"the name of a file to write is empty" in ran.stderr and ran.stdout == b"", ran.stderr)


@case
def output_goes_to_a_file(tfrun):
    out = tfrun.folder / "out.txt"
    ran = tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 4, "--temperature", 0, "-o", out)
    expect_same(ran.stdout, b"")
    expect(out.read_text().startswith(PROMPT), out.read_text())
    tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 4, "-o", out, "--force")
    expect_same(sorted(p.name for p in tfrun.folder.iterdir()), ["out.txt"])


# ---- where the prompt comes from


@case
def prompt_from_stdin(tfrun):
    expect_same(tfrun.text(tfrun.demo, "-f", "-", "-n", 5, "--seed", 1, stdin=PROMPT.encode()),
                tfrun.text(tfrun.demo, "-p", PROMPT, "-n", 5, "--seed", 1))


@case
def prompt_from_a_file(tfrun):
    (tfrun.folder / "prompt.txt").write_text(PROMPT)
    expect_same(tfrun.text(tfrun.demo, "-f", tfrun.folder / "prompt.txt", "-n", 5, "--seed", 1),
                tfrun.text(tfrun.demo, "-p", PROMPT, "-n", 5, "--seed", 1))


@case
def prompt_of_the_config(tfrun):
    config = json.loads((tfrun.demo / "config.json").read_text())
    expect(tfrun.text(tfrun.demo, "-n", 1).startswith(config["tfrun"]["input"]["prompt"]), "another prompt")


@case
def ids_equal_their_text(tfrun):
    by_text = tfrun.greedy("-p", PROMPT)["choices"][0]
    by_ids = tfrun.greedy("--prompt-ids", ",".join(map(str, by_text["prompt_ids"])))["choices"][0]
    expect_same(by_ids["ids"], by_text["ids"])


@case
def a_model_without_tokenizer_takes_ids(tfrun):
    golden = tfrun.source / "tests" / "model" / "golden" / "base"
    choice = tfrun.json(golden, "--prompt-ids", "1,2,3", "-n", 4, "--ignore-eos")["choices"][0]
    expect_same(len(choice["ids"]), 4)


@case
def several_prompts_equal_each_alone(tfrun):
    prompts = [PROMPT, "The", '"Oh dear!" said the little old woman, and she']
    settings = [word for prompt in prompts for word in ("--set", f"input.prompts={prompt}")]
    together = tfrun.greedy(*settings)["choices"]
    for prompt, choice in zip(prompts, together, strict=True):
        expect_same(choice, tfrun.greedy("-p", prompt)["choices"][0])


@case
def more_prompts_than_the_batch_holds(tfrun):
    settings = [word for i in range(5) for word in ("--set", f"input.prompts=Chapter {i}")]
    wide, narrow = tfrun.greedy(*settings), tfrun.greedy(*settings, "--set", "runtime.max_batch=2")
    expect_same(narrow["choices"], wide["choices"])
    expect_same(narrow["logits_digest"], wide["logits_digest"])


@case
def beams_and_drafts_of_several_prompts_equal_each_alone(tfrun):
    prompts = [PROMPT, "The", '"Oh dear!" said the little old woman, and she', "In the garden"]
    for way in (["--num-beams", 3], ["--num-beams", 2, "--num-return-sequences", 2], ["--prompt-lookup", 4]):
        several = tfrun.greedy(*[word for prompt in prompts for word in ("-p", prompt)], *way)
        alone = [choice for prompt in prompts for choice in tfrun.greedy("-p", prompt, *way)["choices"]]
        expect_same(several["choices"], alone)


@case
def log_probabilities_are_those_of_score(tfrun):
    choice = tfrun.greedy("-p", PROMPT, "--logprobs", 2, "--prompt-logprobs")["choices"][0]
    scored = json.loads(tfrun.text("score", tfrun.demo, "-p", PROMPT, "--json", "--per-token", "-q"))["tokens"]
    expect_same(choice["prompt_logprobs"][0], None)
    expect_same([(token["id"], token["logprob"]) for token in choice["prompt_logprobs"][1:]],
                [(token["id"], token["logprob"]) for token in scored])
    expect_same([token["id"] for token in choice["logprobs"]], choice["ids"])
    for token in choice["logprobs"]:
        expect_same(token["top"][0], {"id": token["id"], "logprob": token["logprob"]})  # greedy
        expect(token["top"][1]["logprob"] <= token["logprob"], token)


@case
def a_long_prompt_is_cut_on_request(tfrun):
    long_prompt = "one two three four five " * 200
    choice = tfrun.greedy("-p", long_prompt, "--truncate", "left")["choices"][0]
    expect_same((len(choice["prompt_ids"]), len(choice["ids"])), (500, 12))
    left = tfrun.greedy("-p", long_prompt, "--truncate", "right")["choices"][0]
    expect_same(len(left["prompt_ids"]), 500)


# ---- sampling and stopping


@case
def a_cut_leaves_room_in_a_bounded_cache(tfrun):
    for length in (10, 25, 33, 60):
        ids = ",".join(map(str, range(1, length + 1)))
        result = tfrun.json(tfrun.demo, "--prompt-ids", ids, "-n", 12, "--kv-capacity", 32, "--truncate", "left", "--ignore-eos",
                            "--temperature", 0)
        expect_same(len(result["choices"][0]["ids"]), 12)
        expect_same(result["choices"][0]["prompt_ids"], list(range(1, length + 1))[-20:])


@case
def max_tokens_0_gives_the_prompt(tfrun):
    expect_same(tfrun.text(tfrun.demo, "-p", PROMPT, "-n", 0), PROMPT + "\n")
    expect_same(tfrun.greedy("-p", PROMPT, n=0)["choices"][0]["ids"], [])


@case
def stop_text_is_left_out(tfrun):
    free = tfrun.greedy("-p", PROMPT, n=30)["choices"][0]["text"]
    stop = free[10:14]
    choice = tfrun.greedy("-p", PROMPT, "--stop", stop, n=30)["choices"][0]
    expect_same((choice["text"], choice["finish_reason"]), (free[:free.index(stop)], "stop"))
    streamed = tfrun.text(tfrun.demo, "-p", PROMPT, "-n", 30, "--temperature", 0, "--stop", stop, "--no-echo")
    expect_same(streamed, free[:free.index(stop)] + "\n")


@case
def the_first_of_several_stop_texts_wins(tfrun):
    free = tfrun.greedy("-p", PROMPT, n=30)["choices"][0]["text"]
    choice = tfrun.greedy("-p", PROMPT, "--stop", free[20:26], "--stop", free[8:11], n=30)["choices"][0]
    expect_same(choice["text"], free[:min(free.index(free[20:26]), free.index(free[8:11]))])


@case
def end_of_text_ends_unless_ignored(tfrun):
    ids = tfrun.greedy("-p", PROMPT, n=5)["choices"][0]["ids"]
    config = json.loads((tfrun.demo / "config.json").read_text())
    config["eos_token_id"] = ids[2]
    config["tfrun"]["model"] = tfrun.demo_files()
    path = tfrun.folder / "config.json"
    path.write_text(json.dumps(config))
    ended = tfrun.json(path, "--trust", tfrun.demo, "-p", PROMPT, "--temperature", 0, "-n", 5)["choices"][0]
    expect_same((ended["ids"], ended["finish_reason"]), (ids[:ids.index(ids[2]) + 1], "eos"))
    went_on = tfrun.json(path, "--trust", tfrun.demo, "-p", PROMPT, "--temperature", 0, "-n", 5, "--ignore-eos")["choices"][0]
    expect_same((went_on["ids"], went_on["finish_reason"]), (ids, "length"))


@case
def a_seed_repeats(tfrun):
    def ids(seed):
        return tfrun.json(tfrun.demo, "-p", PROMPT, "-n", 20, "--seed", seed)["choices"][0]["ids"]
    expect_same(ids(5), ids(5))
    expect(ids(5) != ids(6), "two seeds give one text")


@case
def a_drawn_seed_is_reported_and_repeats(tfrun):
    config = json.loads((tfrun.demo / "config.json").read_text())
    config["tfrun"]["sampling"].pop("seed")
    config["tfrun"]["model"] = tfrun.demo_files()
    path = tfrun.folder / "config.json"
    path.write_text(json.dumps(config))
    first = tfrun.json(path, "--trust", tfrun.demo, "-p", PROMPT, "-n", 20)
    again = tfrun.json(path, "--trust", tfrun.demo, "-p", PROMPT, "-n", 20, "--seed", first["seed"])
    expect_same(again["choices"], first["choices"])


@case
def top_k_1_and_tiny_top_p_are_greedy(tfrun):
    greedy = tfrun.greedy("-p", PROMPT)["choices"][0]["ids"]
    for flags in (("--top-k", 1), ("--top-k", 0, "--top-p", 0), ("--temperature", 1e-4)):
        result = tfrun.json(tfrun.demo, "-p", PROMPT, "-n", 12, "--temperature", 1.5, *flags, "--seed", 9)
        expect_same(result["choices"][0]["ids"], greedy)


@case
def beams_come_best_first_and_as_many_as_asked(tfrun):
    flags = ("-p", PROMPT, "-n", 8, "--temperature", 0, "--num-beams", 4, "--ignore-eos")
    four = tfrun.json(tfrun.demo, *flags, "--num-return-sequences", 4)["choices"]
    expect_same(len({tuple(choice["ids"]) for choice in four}), 4)
    expect_same(tfrun.json(tfrun.demo, *flags)["choices"], four[:1])
    expect_same(tfrun.text(tfrun.demo, *flags, "--no-echo"), four[0]["text"] + "\n")


@case
def samples_of_a_prompt_differ_and_repeat(tfrun):
    def samples(*flags):
        return tfrun.json(tfrun.demo, "-p", PROMPT, "-n", 12, "--temperature", 1, "--seed", 3, *flags)["choices"]
    three = samples("--num-return-sequences", 3)
    expect_same(len({tuple(choice["ids"]) for choice in three}), 3)
    expect_same(samples()[0], three[0])
    expect_same(samples("--num-return-sequences", 3, "--max-batch", 2), three)


@case
def drafts_change_no_greedy_id(tfrun):
    plain = tfrun.greedy("-p", PROMPT, n=40)["choices"]
    expect_same(tfrun.greedy("-p", PROMPT, "--prompt-lookup", 5, n=40)["choices"], plain)
    expect_same(tfrun.greedy("-p", PROMPT, "--assistant", tfrun.demo, n=40)["choices"], plain)


@case
def bans_reach_the_text(tfrun):
    ids = tfrun.greedy("-p", PROMPT, n=6)["choices"][0]["ids"]
    banned = tfrun.greedy("-p", PROMPT, "--suppress-tokens", json.dumps(ids[:1]), n=6)["choices"][0]["ids"]
    expect(ids[0] not in banned, "a suppressed token came")
    biased = tfrun.greedy("-p", PROMPT, "--logit-bias", json.dumps({str(ids[0]): 1000}), n=4)["choices"][0]["ids"]
    expect_same(biased, [ids[0]] * 4)


@case
def verbose_says_where_settings_come_from(tfrun):
    said = tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 1, "--temperature", 1, "-v").stderr.decode()
    expect("sampling.temperature = 1, from the command line" in said, said)


@case
def only_attention_that_is_not_fused_is_explained(tfrun):
    said = tfrun.run(tfrun.demo, "-p", PROMPT, "-n", 2, "-v").stderr.decode()  # auto takes the fused kernel of f32
    expect(": the fused kernel " not in said, said)


@case
def a_flag_beats_set_and_the_file(tfrun):
    last = tfrun.greedy("-p", PROMPT, "--set", "sampling.max_tokens=3", n=7)  # the last one given counts
    short = tfrun.json(tfrun.demo, "-p", PROMPT, "-n3")
    expect_same((last["stats"]["output_tokens"], short["stats"]["output_tokens"]), (3, 3))
    short = tfrun.json(tfrun.demo, "--prompt=The", "--max-tokens=2")["choices"][0]
    expect_same(len(short["ids"]), 2)


@case
def all_faults_of_a_config_at_once(tfrun):
    path = tfrun.folder / "config.json"
    path.write_text('{\n "model_type": "gpt2",\n "n_head": 5,\n "activation_function": "gelo",\n'
                    ' "tfrun": {"sampling": {"top_p": 2}}\n}\n')
    lines = tfrun.run(path, code=3).stderr.decode().splitlines()
    expect_same([re.sub(r"^.*config\.json:(\d+):\d+: .*$", r"\1", line) for line in lines], ["3", "4", "5"])


# ---- tokens and checkpoints


@case
def tokens_come_back_as_text(tfrun):
    text = "Hello,  world!\n\tIt's 1984\u2026 \u00e9\u00e8 \U0001f600 <|endoftext|> end "
    ids = tfrun.text("tokenize", tfrun.demo, stdin=text.encode())
    expect(re.fullmatch(r"[0-9 ]+\n", ids), ids)
    expect_same(tfrun.text("tokenize", tfrun.demo, "--decode", stdin=ids.encode()), text)
    expect_same(int(tfrun.text("tokenize", tfrun.demo, "--count", "-p", text)), len(ids.split()))


@case
def gpt2_tokens_are_the_published_ones(tfrun):
    folder = tfrun.source / "configs" / "tokenizer" / "gpt2"
    expect_same(tfrun.text("tokenize", folder, "-p", "Hello world"), "15496 995\n")
    expect_same(tfrun.text("tokenize", folder, "-p", " Hello world"), "18435 995\n")
    expect_same(tfrun.text("tokenize", folder, "-p", "<|endoftext|>"), "50256\n")
    expect(tfrun.text("tokenize", folder, "--plain", "-p", "<|endoftext|>") != "50256\n", "--plain")


@case
def a_new_checkpoint_runs(tfrun):
    for dtype in ("f32", "bf16"):
        folder = tfrun.folder / dtype
        config = tfrun.source / "tests" / "model" / "golden" / "mixed" / "config.json"
        expect_same(tfrun.run("init", config, "-o", folder, "--seed", 7, "--dtype", dtype).stdout, b"")
        result = tfrun.json(folder, "--prompt-ids", "1,2,3", "-n", 3, "--ignore-eos")
        expect_same(len(result["choices"][0]["ids"]), 3)


@case
def a_new_checkpoint_depends_on_its_seed_alone(tfrun):
    config = tfrun.source / "tests" / "model" / "golden" / "base" / "config.json"
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        tfrun.run("init", config, "-o", tfrun.folder / name, "--seed", seed)
    a, b, c = ((tfrun.folder / name / "model.safetensors").read_bytes() for name in "abc")
    expect(a == b, "one seed, two checkpoints")
    expect(a != c, "two seeds, one checkpoint")


@case
def threads_do_not_change_the_logits(tfrun):
    digests = {tfrun.greedy("-p", PROMPT, "--threads", n)["logits_digest"] for n in (1, 2, 3)}
    expect_same(len(digests), 1)


@case
def threads_and_company_do_not_change_what_is_drawn(tfrun):
    """Rows of several sequences are shared among the threads, a row alone is not."""
    drawn = ["--temperature", 0.9, "--top-k", 60, "--top-p", 0.9, "--min-p", 0.01, "--repetition-penalty", 1.1, "--seed", 5,
             "--logprobs", 3, "-n", 8]
    prompts = [PROMPT, "The", "Once upon a time"]
    settings = [word for prompt in prompts for word in ("--set", f"input.prompts={prompt}")]
    alone = [tfrun.json(tfrun.demo, "-p", prompt, *drawn, "--threads", 1)["choices"][0] for prompt in prompts]
    for threads in (1, 2, 3, 4):
        expect_same(tfrun.json(tfrun.demo, *settings, *drawn, "--threads", threads)["choices"], alone)


@case
def a_process_without_a_launcher_never_loads_mpi(tfrun):
    loads = tfrun.folder / "loads"
    environment = {**os.environ, "LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(loads)}
    ran = subprocess.run([tfrun.program, tfrun.demo, "-p", PROMPT, "-n", "2", "-q"], env=environment,
                         capture_output=True, timeout=120 * SLOWER)
    expect_same(ran.returncode, 0)
    loaded = "".join(path.read_text(errors="replace") for path in tfrun.folder.glob("loads.*"))
    expect("libtfrun" in loaded or "libm.so" in loaded, "the loader lists what it loads")
    expect("libmpi" not in loaded, "MPI is loaded without a launcher")


if __name__ == "__main__":
    sys.exit(main(Tfrun))
