#!/usr/bin/env python3
"""test_scripts.py TFRUN NAME SOURCE: programs of scripts/ that are asked for nothing, or for what is not there: a sentence, exit code 2.

REFUSED has words for each of them. The other cases copy a program into a tree of its own, in which nothing is built and nothing has run.
Standard library only.
"""
import concurrent.futures
import json
import os
import shutil
import socket
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main


class Tree:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.source, self.root = tfrun, source, folder / "tree"
        (self.root / "scripts").mkdir(parents=True)
        (self.root / "core").mkdir()
        for name in ("argtypes.py", "packages.py"):
            shutil.copy(source / "scripts" / name, self.root / "scripts")

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
        expect_refused(name, words, told, done)
        expect_same(self.files(), before)


def expect_refused(name, words, told, done):
    expect(done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, name, words, done.returncode, done.stderr)
    expect_same((done.stdout, done.stderr.splitlines()[-1].startswith(name.rpartition("/")[2].removesuffix(".py"))), ("", True))


# Program, words, what its sentence says. TFRUN, DEMO: the program and the bundled model; NONE: nothing is there; README: a file of another kind;
# LONG: a name that no file can have.
REFUSED = [[part.strip() for part in line.split("|")] for line in """
analyse | NONE | analyse: error:
check_added_tokens.py | NONE | NONE': there is no such folder
check_added_tokens.py | DEMO | this folder has no bin/tokenize_driver
check_bin_mutants.py | NONE | there is no program 'NONE'
check_bits | --tfrun NONE | there is no program 'NONE'
check_bits | --tfrun TFRUN --mpiexec NONE | there is no program 'NONE'
check_bits | --tfrun TFRUN --mpiexec true --dtypes f33 | "f33" is not one of
check_bits | --tfrun TFRUN --mpiexec true --ranks 90 | ranks
check_cost_flops.py | --list NONE | invalid choice
check_cost_lines.py | torch=NONE | NONE: there is no such folder
check_cost_lines.py | torch=DEMO 1.2.3=DEMO | 1.2.3: there is no
check_hygiene | NONE | NONE is no build folder
check_hygiene | --files README | this is no program and no library
check_hygiene | | give a build folder
check_prediction | NONE --tfrun TFRUN | NONE: there is no such file
check_prediction | README --tfrun TFRUN | expected a value
check_reproducible | NONE | is no commit
check_serving | NONE --only tax --tfrun TFRUN | NONE: there is no such file
check_serving | DEMO --only tax --tfrun TFRUN --dtype f33 | "f33" is not one of
check_tokenizer.py | TFRUN NONE | NONE': there is no such folder
clock_study | --tfrun NONE | there is no program 'NONE'
clock_study | --tfrun TFRUN --shape 1,2 | '1,2' is not BLOCKS,WIDTH,HEADS,VOCABULARY
clock_study | --tfrun TFRUN --shape 2,16,2,64 --ranks 2 --layouts none | 'none' matches none of
clock_study | --tfrun TFRUN --layouts ( | '(' is no expression
clock_study | --tfrun TFRUN --clock a,b,c | invalid numbers value
compare_forward.py | --tfrun NONE | there is no program 'NONE'
compare_hf.py | NONE --tool TFRUN | NONE': there is no such folder
compare_hf.py | LONG --tool TFRUN | ': there is no such folder
compare_peers.py | NONE --tfrun TFRUN | config.json: there is no such file
compare_perplexity.py | NONE README --ctx 8 --stride 4 --tfrun TFRUN | config.json: there is no such file
compare_ranks | --tfrun TFRUN --gguf NONE | NONE': there is no such file
compare_servers | NONE --tfrun TFRUN | NONE: there is no such file
compare_servers | DEMO --tfrun TFRUN --serve=--nosuch | --nosuch
coverage | --lines NONE | there is no file
draw_trace.py | NONE | NONE: No such file or directory
draw_trace.py | README | is no file of --trace
fuzz | nosuch 1 | nosuch is no target
gen_cost_book.py | --check NONE | there is no program 'NONE'
gen_cost_model.py | --check NONE | there is no program 'NONE'
gen_manual.py | -o NONE nosuch | there is no program 'nosuch'
gen_sbom.py | NONE | NONE': there is no such file
gen_sbom.py | -o NONE/file | can't be written
get_model.py | nosuch | invalid choice
hosts | NONE --tfrun TFRUN | there is no config
inject | --build NONE | no inject.so in
kill_trials | NONE --tfrun TFRUN --mpirun true | NONE: there is no such file
make_beam_golden.py | NONE -o out | NONE': there is no such folder
make_beam_golden.py | --demo NONE -o out | NONE': there is no such folder
make_bin_golden.py | README | README': no folder can be made there
make_demo_golden.py | NONE -o out | NONE': there is no such folder
make_files_golden.py | nosuch | invalid choice
make_golden.py | -o README | no folder can be made there
make_lora_golden.py | README | no folder can be made there
make_prefix_golden.py | README | no folder can be made there
make_processor_golden.py | -o NONE/file | can't be written
make_summary_golden.py | -o NONE/file | can't be written
make_text_golden.py | -o README | no folder can be made there
make_tokenizer_golden.py | NONE | NONE': there is no such folder
mutate | nosuch | nosuch is not in tests/mutants.toml
outliers.py | NONE -o out --add 2 | NONE': there is no such folder
outliers.py | DEMO -o out --add 3 | power of two
page_screenshots | NONE | NONE': there is no such file
release | --nosuch | unknown option
release | --set 1.2 | no version of the form
repeat | 0 | n: 0
sanitize | nosuch | say address
setup | --nosuch | unknown option
simulate | --shape 1,10,3,5 SHAPE | a multiple of the heads
soak | NONE --tfrun TFRUN | NONE: there is no such file
soak | --tfrun NONE | there is no program 'NONE'
soak | --engines 0 --tfrun TFRUN | '0' is no whole number
step_shares | NONE --tfrun TFRUN | NONE
step_shares | --tfrun NONE DEMO | there is no program 'NONE'
test_compilers | --nosuch | unknown option
test_compilers | --levels 7 | there is no level 7
test_isa | NONE | has no bin/test_determinism
test_recipes | nosuch | 'nosuch' is none of easybuild
train_124m.py | NONE -o out --tokenizer DEMO --start DEMO | NONE': there is no such folder
train_124m.py | DEMO -o out --tokenizer DEMO --start NONE | NONE': there is no such folder
train_demo.py | NONE -o out | NONE': there is no such folder
under_the_roof | NONE --tfrun TFRUN | NONE: there is no such file
under_the_roof | DEMO --tfrun TFRUN --dtypes f33 | "f33" is not one of
under_valgrind | nosuch | under_valgrind: error:
clients/openai | --config NONE | NONE': there is no such file
clients/run_all | nosuch | 'nosuch' is none of openai
peers/plain_server.py | NONE | packages torch
peers/setup | out nosuch | 'nosuch' is none of torch
peers/torch_ranks.py | --ranks 3 | invalid choice
peers/transformers_serve.py | NONE | packages tokenizers
peers/worker.py | nosuch | 'nosuch' is none of ctranslate2
study/start | mpirun 2 | LAUNCHER RANKS THREADS COMMAND... are needed
study/start | ssh 2 1 true | "ssh" is none of mpirun
""".strip().splitlines()]
# These take no name of what has to be there, or hand their words on to ctest; suites of a distribution that can't be had are skipped by name.
TAKE_NONE = """demo gen_config_doc.py gen_fields_doc.py gen_serving_doc.py gen_troubleshooting.py gen_unicode.py package_deb slurm_here test test_aarch64
test_mpich test_onednn3 test_packages test_roots""".split()


@case
def what_is_not_there_is_a_sentence(tree):
    """Each program of scripts/ where it stands; nothing appears in the folder that it is called from."""
    scripts = tree.source / "scripts"
    programs = {path.name for path in scripts.iterdir() if path.is_file() and os.access(path, os.X_OK)}
    expect_same(programs, {name for name, *_ in REFUSED if "/" not in name} | set(TAKE_NONE))
    place = {"TFRUN": tree.tfrun, "DEMO": tree.source / "configs" / "demo", "NONE": tree.root / "none", "README": tree.source / "README.md",
             "LONG": 300 * "x"}

    def filled(text):
        for name, path in place.items():
            text = text.replace(name, str(path))
        return text

    def run(row):
        name, words, told = row[0], [filled(word) for word in row[1].split()], filled(row[2].strip())
        python = [sys.executable, "-B", "-S"] if b"python" in (scripts / name).read_bytes().splitlines()[0] else []
        done = subprocess.run([*python, scripts / name, *words], capture_output=True, text=True, timeout=100 * SLOWER, cwd=tree.root / "core",
                              stdin=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "500"})
        expect_refused(name, words, told, done)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(run, REFUSED))
    expect_same(list((tree.root / "core").iterdir()), [])


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
    tree.refuses("analyse", "-j", 0, told="--jobs: 0 is less than 1")
    os.environ["PATH"], path = str(tree.root), os.environ["PATH"]
    tree.refuses("analyse", "--tool", "cppcheck", told="cppcheck is missing (Debian package cppcheck)")
    os.environ["PATH"] = path


@case
def analyse_ends_with_0_for_an_empty_list_alone(tree):
    """A compiler of ours says what a file holds and ends with the code in another; the list of what is none is ours too."""
    says, ends, compiler, listed = (tree.root / name for name in ("says", "ends", "compiler", "scripts/presets/analyse.txt"))
    compiler.write_text(f"#!/bin/sh\n/bin/cat {says} >&2\nread code < {ends}\nexit $code\n")
    compiler.chmod(0o755)
    (tree.root / "build").mkdir()
    (tree.root / "build" / "compile_commands.json").write_text(json.dumps([
        {"directory": str(tree.root), "file": str(tree.root / "core" / "a.c"), "command": f"{compiler} -o a.o -c core/a.c"}]))
    listed.parent.mkdir()
    shutil.copy(tree.source / "scripts" / "analyse", tree.root / "scripts" / "analyse")
    leak = "core/a.c:3:7: warning: leak of 'p' [CWE-401] [-Wanalyzer-malloc-leak]\n"
    rule = "gcc analyzer-malloc-leak core/a.c 'p' # the caller frees it\n"
    for said, code, rules, want, told in (
            ("", 0, "", 0, "0 findings, 0 left"), ("core/a.c:3:7: warning: shadows [-Wshadow]\n", 0, "", 0, "0 findings, 0 left"),
            (leak, 0, "", 1, "core/a.c:3: leak of 'p' [CWE-401] [gcc analyzer-malloc-leak]"), (leak, 0, rule, 0, "1 findings, 0 left"),
            (leak.replace("warning", "error").replace("-W", "-Werror="), 1, "", 1, "core/a.c:3: leak of 'p'"),
            (leak, 0, rule.replace("'p'", "'q'"), 1, "nothing needs gcc analyzer-malloc-leak core/a.c 'q'"),
            ("", 0, rule, 1, "nothing needs gcc analyzer-malloc-leak core/a.c 'p'"),
            ("core/a.c:1:1: fatal error: b.h: No such file\n", 1, "", 1, "core/a.c:0: exit code 1: core/a.c:1:1: fatal error: b.h"),
            ("", 4, "", 1, "exit code 4: no message [gcc failed]")):
        says.write_text(said)
        ends.write_text(f"{code}\n")
        listed.write_text(rules)
        for words in ((), ("core/a.c",)):
            done = subprocess.run([sys.executable, "-B", tree.root / "scripts" / "analyse", "--tool", "gcc", *words], capture_output=True, text=True,
                                  timeout=100 * SLOWER)
            expect(done.returncode == want and told in done.stdout, said, code, rules, done.returncode, done.stdout, done.stderr)


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
    tree.refuses("compare_perplexity.py", demo, text, *usual, told="pip install torch transformers", python=("-B", "-S"))


@case
def packages_that_are_missing_are_told(tree):
    demo = tree.source / "configs" / "demo"
    for name, words, told in (("check_tokenizer.py", [tree.tfrun, demo], "package tokenizers is missing; pip install tokenizers"),
                              ("compare_hf.py", [demo, "--tool", tree.tfrun], "packages torch, transformers are missing; pip install torch transformers"),
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


def stand_in(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def called(tree, name, *words, **environment):
    shutil.copy(tree.source / "scripts" / name, tree.root / "scripts" / name)
    path = f"{tree.root / 'bin'}:{os.environ['PATH']}"
    return subprocess.run([tree.root / "scripts" / name, *words], capture_output=True, text=True, timeout=100 * SLOWER, cwd=tree.root,
                          env={**os.environ, "PATH": path, **environment})


@case
def the_demo_fails_where_its_commands_do(tree):
    """Two commands that fail write the same: nothing."""
    shutil.copy(tree.source / "scripts" / "env", tree.root / "scripts" / "env")
    stand_in(tree.root / "scripts" / "setup", "")
    stand_in(tree.root / "build" / "bin" / "mpirun", 'shift 2\nRANKS=4 exec "$@"\n')
    for text, code, told in (("echo story\n", 0, "four ranks wrote the same text"), ("exit 4\n", 4, "demo: tfrun ended with exit code 4"),
                             ("echo story\n[ -z \"$RANKS\" ] || exit 3\n", 3, "demo: mpirun ended with exit code 3"),
                             ("echo story of $RANKS\n", 1, "demo: the texts differ")):
        stand_in(tree.root / "build" / "bin" / "tfrun", text)
        done = called(tree, "demo", RANKS="")
        expect(done.returncode == code and told in done.stdout + done.stderr, text, done.returncode, done.stdout, done.stderr)


@case
def setup_keeps_the_generator_of_a_folder(tree):
    """One that was configured by hand, as the README says; cmake would refuse another one."""
    stand_in(tree.root / "bin" / "cmake", 'echo "cmake: $*"\n')
    done = called(tree, "setup", "--no-install", CMAKE_OPTIONS="")
    expect(done.returncode == 0 and "cmake: -S . -B build -G Ninja " in done.stdout, done.stdout, done.stderr)
    (tree.root / "build").mkdir()
    (tree.root / "build" / "Makefile").write_text("")
    for tests, is_anew in (("OFF", True), ("ON", False)):
        (tree.root / "build" / "CMakeCache.txt").write_text(f"CMAKE_GENERATOR:INTERNAL=Unix Makefiles\nTFRUN_BUILD_TESTS:BOOL={tests}\n")
        done = called(tree, "setup", "--no-install", CMAKE_OPTIONS="")
        expect(done.returncode == 0 and "-G" not in done.stdout and "cmake: --build build" in done.stdout, done.stdout, done.stderr)
        expect_same("cmake: -S . -B build" in done.stdout, is_anew)


@case
def each_build_type_is_configured_with_its_own_flags(tree):
    stand_in(tree.root / "bin" / "cmake", 'echo "cmake: $*"\n')
    done = called(tree, "test_compilers", "sh", "nosuch", "--", "none")
    expect_same((done.returncode, done.stdout.splitlines()[-2:]),
                (0, ["test_compilers: nosuch is not here, skipped", "test_compilers: 6 builds, 0 with faults"]))
    said = {path.stem: path.read_text() for path in (tree.root / "build-compilers").glob("*.log")}
    expect_same(sorted(said), ["sh-0", "sh-2", "sh-Debug", "sh-MinSizeRel", "sh-None", "sh-Release"])
    for name, text in said.items():
        expect(all(word in text for word in ("-DTFRUN_WERROR=ON", f"-B {tree.root}/build-compilers/{name} ")), name, text)
        expect_same("KERNEL_OPTIMISATION" in text, name in ("sh-0", "sh-2"))
        if "KERNEL_OPTIMISATION" not in text:
            expect(f"-DCMAKE_BUILD_TYPE={name[3:]}\n" in text, name, text)


@case
def the_first_release_has_the_version_that_is_there(tree):
    if not shutil.which("git"):
        sys.exit(77)
    for name in ("core/include/tfrun/types.h", "scripts/packaging/spack/package.py"):
        (tree.root / name).parent.mkdir(parents=True)
        shutil.copy(tree.source / name, tree.root / name)
    (recipe,) = (tree.source / "scripts" / "packaging" / "easybuild").glob("*.eb")
    (tree.root / "scripts" / "packaging" / "easybuild").mkdir()
    shutil.copy(recipe, tree.root / "scripts" / "packaging" / "easybuild")
    (tree.root / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- new\n")
    for words in (("init", "-q"), ("add", ".")):
        subprocess.run(["git", *words], cwd=tree.root, check=True)
    version = recipe.name.split("-")[1]
    for wanted in (version, "7.8.9"):
        (tree.root / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- new\n")
        done = called(tree, "release", "--set", wanted)
        expect(done.returncode == 0 and f"the version is {wanted} now" in done.stdout, done.stdout, done.stderr)
        expect(f"## {wanted} - " in (tree.root / "CHANGELOG.md").read_text(), "no section")
        (renamed,) = (tree.root / "scripts" / "packaging" / "easybuild").glob("*.eb")
        expect(renamed.name.startswith(f"tfrun-{wanted}-") and f"version = '{wanted}'" in renamed.read_text(), renamed)


@case
def a_program_may_lie_below_a_folder_with_a_blank(tree):
    """The server of each script is started by its words, not by a line that is cut at blanks; ours ends at once, and is quoted."""
    program, model = tree.root / "my programs" / "tfrun", tree.root / "my models"
    stand_in(program, '[ "$1" = serve ] || exit 0\necho "serves $2"\nexit 9\n')
    model.mkdir()
    shutil.copy(tree.source / "scripts" / "servers.py", tree.root / "scripts" / "servers.py")
    for name, words in (("soak", ()), ("check_serving", ("--only", "tax")), ("compare_servers", ())):
        done = called(tree, name, model, "--tfrun", program, "--port", str(free_port()), *words)
        expect(done.returncode == 1 and "ended with 9" in done.stderr and f"serves {model}" in done.stderr, name, done.returncode, done.stdout,
               done.stderr)


if __name__ == "__main__":
    sys.exit(main(Tree))
