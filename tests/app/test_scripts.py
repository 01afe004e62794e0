#!/usr/bin/env python3
"""test_scripts.py TFRUN NAME SOURCE: programs of scripts/ that are asked for nothing, or for what is not there: a sentence, exit code 2.

Each is copied into a tree of its own, in which nothing is built and nothing has run. Standard library only.
"""
import json
import os
import shutil
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main


class Tree:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.source, self.root = tfrun, source, folder / "tree"
        (self.root / "scripts").mkdir(parents=True)
        (self.root / "core").mkdir()

    def files(self):
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*"))

    def refuses(self, name, *words, told, python=("-B",)):
        """Exit code 2 and one sentence, nothing on stdout, no file or folder more."""
        script = self.root / "scripts" / name
        shutil.copy(self.source / "scripts" / name, script)
        before = self.files()
        command = [sys.executable, *python, script] if b"python" in script.read_bytes().splitlines()[0] else [script]
        done = subprocess.run([*map(str, command), *map(str, words)], capture_output=True, text=True, timeout=100 * SLOWER, cwd=self.root,
                              stdin=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "500"})
        expect(done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, name, words, done.returncode, done.stderr)
        expect_same((done.stdout, done.stderr.splitlines()[-1].startswith(name.removesuffix(".py"))), ("", True))
        expect_same(self.files(), before)


@case
def analyse_needs_sources(tree):
    tree.refuses("analyse", told="no build/compile_commands.json")
    (tree.root / "build").mkdir()
    commands = tree.root / "build" / "compile_commands.json"
    commands.write_text("[]")
    tree.refuses("analyse", told="names no source of this tree")
    commands.write_text(json.dumps([{"directory": str(tree.root), "file": str(tree.root / "core" / "a.c"), "command": "cc -o a.o -c core/a.c"}]))
    tree.refuses("analyse", "nosuch", told="nosuch: nothing that the build compiles is there")
    tree.refuses("analyse", "core/a.c", "core/model/", told="core/model: nothing that the build compiles is there")


@case
def coverage_needs_what_has_run(tree):
    (tree.root / "core" / "a.c").write_text("int a;\n")
    tree.refuses("coverage", "--report", told="nothing has run in build-coverage")
    tree.refuses("coverage", "--report", "-L", "unit", told="--report runs nothing: leave -L unit out")
    tree.refuses("coverage", "--report", "--keep", told="--report runs nothing: leave --keep out")
    tree.refuses("coverage", "--lines", "nosuch.c", told="there is no file nosuch.c below core/")
    tree.refuses("coverage", "--lines", "core/a.c", "-L", "unit", told="--lines runs nothing: leave -L unit out")
    tree.refuses("coverage", "--lines", "core/a.c", told="nothing has run in build-coverage")


@case
def kill_trials_needs_trials(tree):
    usual = ("config", "--tfrun", tree.tfrun, "--mpirun", "true")
    log = tree.root / "trials.jsonl"
    for words, told in ((("-n", 0), "--trials: 0 is no whole number above 0"), (("--tokens", 0), "--tokens: 0"), (("--timeout", -1), "--timeout: -1"),
                        (("--layout", "three"), "'three' is not [generate|serve:]RANKS:OPTIONS"), (("--layout", "2:'"), "is not [generate|serve:]"),
                        (("--layout", "0:"), "'0:' has no ranks"), (("--tfrun", "/nowhere/tfrun"), "no program '/nowhere/tfrun'"),
                        (("--tfrun", "false"), "`false generate --help` ends with 1"), (("--mpirun", "/nowhere/mpirun -x"), "no program '/nowhere/mpirun'"),
                        (("--table", "--log", log), "trials.jsonl has no trials"), (("--log", tree.root / "none" / "log"), "there is no folder")):
        tree.refuses("kill_trials", *usual, *words, told=told)
    for text in ("{", "[]\n", '{"seed": 1}\n'):
        log.write_text(text)
        tree.refuses("kill_trials", *usual, "--log", log, told="trials.jsonl has no trials that can be read")


@case
def kill_trials_needs_a_layout(tree):
    done = subprocess.run([sys.executable, "-B", tree.source / "scripts" / "kill_trials", "config", "--tfrun", tree.tfrun, "--mpirun", "true",
                           "--layout", "2:--no-such-option"], capture_output=True, text=True, timeout=100 * SLOWER)
    expect_same((done.returncode, done.stdout), (2, "left out, for there is no --no-such-option: 2:--no-such-option\n"))
    expect("no layout is left" in done.stderr.splitlines()[-1], done.stderr)


@case
def repeat_and_test_isa_make_nothing_first(tree):
    for words, told in (((0,), "n: 0 is less than 1"), ((1, "--load", -1), "load: -1"), ((1, "-j", 0), "jobs: 0"),
                        ((1, "--build", "nosuch"), "nosuch is no build folder with tests"), ((1,), "build is no build folder with tests")):
        tree.refuses("repeat", *words, told=told)
    tree.refuses("test_isa", "nosuch", told="nosuch has no bin/test_determinism")
    tree.refuses("test_isa", told="build has no bin/test_determinism")
    tree.refuses("test_isa", "build", "more", told='"more" is one word too many')


@case
def compare_perplexity_needs_its_files(tree):
    text = tree.root / "text.txt"
    text.write_text("words")
    usual = ("--ctx", 8, "--stride", 4, "--tfrun", tree.tfrun)
    demo = tree.source / "configs" / "demo"
    tree.refuses("compare_perplexity.py", tree.root, text, *usual, told="config.json: there is no such file")
    tree.refuses("compare_perplexity.py", demo, tree.root / "none", *usual, told="none: there is no such file")
    tree.refuses("compare_perplexity.py", demo, text, "--ctx", 8, "--stride", 0, told="--stride: 0 is no whole number above 0")
    tree.refuses("compare_perplexity.py", demo, text, *usual, "--tfrun", "/nowhere/tfrun", told="no program '/nowhere/tfrun'")
    shutil.copy(tree.source / "scripts" / "packages.py", tree.root / "scripts")
    tree.refuses("compare_perplexity.py", demo, text, *usual, told="pip install torch transformers", python=("-B", "-S"))


@case
def packages_that_are_missing_are_told(tree):
    shutil.copy(tree.source / "scripts" / "packages.py", tree.root / "scripts")
    for name, words, told in (("check_added_tokens.py", ["build"], "package tokenizers is missing; pip install tokenizers"),
                              ("compare_hf.py", ["model"], "packages torch, transformers are missing; pip install torch transformers"),
                              ("make_golden.py", ["-o", "out"], "pip install safetensors torch transformers")):
        tree.refuses(name, *words, told=told, python=("-B", "-S"))


@case
def pictures_and_hosts_need_their_files(tree):
    broken = tree.root / "trace.json"
    tree.refuses("draw_trace.py", broken, told="trace.json: No such file or directory")
    for text in ("{", "[]", "{}", '{"traceEvents": 1}', '{"traceEvents": [1]}'):
        broken.write_text(text)
        tree.refuses("draw_trace.py", broken, told="trace.json is no file of --trace")
    tree.refuses("hosts", "none", "--tfrun", tree.tfrun, told="there is no config 'none'")
    tree.refuses("hosts", tree.root, "--tfrun", "/nowhere/tfrun", told="there is no program '/nowhere/tfrun'")


if __name__ == "__main__":
    sys.exit(main(Tree))
