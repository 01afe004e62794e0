#!/usr/bin/env python3
"""test_plugins.py TFRUN NAME SOURCE PLUGINS BUILD CC: plugins of strangers, from outside: which run, which are refused, and where
plugins are found. PLUGINS is the folder of the test plugins, BUILD the build folder. Python's own library only."""
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

RUNTIME, USAGE, RESOURCE, SKIPPED = 1, 2, 5, 77
PROMPT = ["-p", "Once upon a time", "-n", "4", "--temperature", "0", "--json"]


class Box:
    def __init__(self, tfrun, source_dir, folder):
        self.tfrun, self.source_dir, self.folder = tfrun, source_dir, folder
        self.demo = source_dir / "configs" / "demo"
        self.plugins, self.build = pathlib.Path(sys.argv[4]), pathlib.Path(sys.argv[5])
        self.compiler = sys.argv[6]

    def run(self, *words, **more):
        environment = {**os.environ, **more.pop("env", {})}
        return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=200 * SLOWER, env=environment, **more)

    def generate(self, *more, **environment):
        return self.run(self.tfrun, self.demo, *PROMPT, *more, env=environment)

    def digest(self, *more, **environment):
        ran = self.generate(*more, **environment)
        expect(ran.returncode == 0, ran.stderr)
        return json.loads(ran.stdout)["logits_digest"]


def expect_refused(ran, code, *words):
    expect_same(ran.returncode, code)
    expect(ran.stdout == "", "stdout is not empty")
    for word in words:
        expect(word in ran.stderr, word, "is not in", ran.stderr)


def runs_as_ref(box, name):
    path = box.plugins / f"{name}_plugin.so"
    if not path.exists():
        sys.exit(SKIPPED)
    expect_same(box.digest("--plugin", path, "--kernels", "aged"), box.digest("--kernels", "layer_norm.f32.ref"))
    return box.run(box.tfrun, "plugins", "--plugin", path).stdout


@case
def built_against_an_older_header(box):
    expect("layer_norm.f32.aged.plain" in runs_as_ref(box, "older"), "the kernel is not listed")


@case
def built_before_caches_of_16_bits(box):
    path = box.plugins / "older_plugin.so"
    if not path.exists():
        sys.exit(SKIPPED)
    aged = ["--plugin", path, "--kernels", "kv_append.f32.aged,-layer_norm.f32.aged"]
    for more in [], ["--dtype", "bf16"], ["--kv-dtype", "f16"]:
        expect_same(box.digest(*aged, *more), box.digest(*more))
    words = box.run(box.tfrun, "plan", box.demo, *aged, "--dtype", "bf16", "--explain").stdout
    expect("its plugin was built for ABI 2.0: kv caches of bf16 came with 2.3" in words, words)
    expect("kv_append.f32.aged.plain" in box.run(box.tfrun, "plan", box.demo, *aged).stdout, "the kernel does not serve f32")


@case
def built_against_a_grown_header(box):
    listed = runs_as_ref(box, "grown")
    expect("rotary.f32.aged.plain" not in listed, "a kernel of an unknown op is offered")


@case
def built_against_abi_1_is_told_what_changed(box):
    path = box.plugins / "bad_abi_plugin.so"
    expect_refused(box.generate("--plugin", path), RESOURCE, str(path), "built for plugin ABI 1, this tfrun speaks 2",
                   "`run` returns a status", "docs/plugin-abi.md")


@case
def failing_run_ends_with_its_reason(box):
    expect_refused(box.generate("--plugin", box.plugins / "failing_run_plugin.so", "--kernels", "failing_run"), RUNTIME,
                   "h.0.ln_1: layer_norm.f32.failing_run.plain failed: the vendor says no")


@case
def failing_preparation_is_no_other_choice(box):
    ran = box.generate("--plugin", box.plugins / "failing_prepare_plugin.so")
    expect_refused(ran, RESOURCE, "embed.f32.failing_run.plain cannot be prepared: no memory for its table")
    expect("no plugin offers" not in ran.stderr, ran.stderr)


@case
def name_of_a_bundled_plugin_is_refused(box):
    expect_refused(box.generate("--plugin", box.plugins / "fake_bundled.so"), RESOURCE,
                   "another plugin of the name gemv is already there", "give this one a name of its own")


@case
def kernel_name_of_another_plugin_is_refused(box):
    expect_refused(box.generate("--plugin", box.plugins / "fake_steals.so"), RESOURCE,
                   "plugin layernorm already has a kernel of the name layer_norm.f32.layernorm.plain")


@case
def two_kernels_of_one_name_are_refused(box):
    expect_refused(box.generate("--plugin", box.plugins / "fake_twins.so"), RESOURCE, "kernel 1 (add.f32.fake.plain)",
                   "another kernel of this plugin has the same name")


@case
def found_plugin_does_not_replace_a_bundled_one(box):
    (box.folder / "tfr_gemv.so").write_bytes((box.plugins / "fake_bundled.so").read_bytes())
    ran = box.generate(TFRUN_PLUGIN_PATH=str(box.folder))
    expect("tfr_gemv.so: not taken: another plugin of the name gemv" in ran.stderr, ran.stderr)
    expect_same(json.loads(ran.stdout)["logits_digest"], box.digest())


@case
def unknown_name_is_refused_with_the_nearest(box):
    expect_refused(box.generate("--kernels", "gmev"), USAGE, "nothing is called \"gmev\" here; did you mean \"gemv\"?")
    expect_refused(box.generate("--kernels", "-layer_norm.f32.layernrom"), USAGE, "layer_norm.f32.layernorm.")
    expect_same(box.digest("--kernels", "-onednn"), box.digest())  # known, whether it is in this build or not


STRANGER = r"""
#include <stdio.h>
#include <tfrun/tfrun.h>

int main(int argc, char **argv) {
    struct tfr_engine *engine;
    char *text;
    if (tfr_report_plugins(NULL, 0, TFR_REPORT_TEXT, &text) != TFR_OK || tfr_engine_open(&engine, argv[argc - 1], NULL, 0) != TFR_OK) {
        fprintf(stderr, "%s\n", tfr_last_error());
        return 1;
    }
    printf("%s", text);
    tfr_string_free(text);
    tfr_engine_close(engine);
    return 0;
}
"""


def build_stranger(box):
    prefix = box.folder / "the prefix"
    ran = box.run("cmake", "--install", box.build, "--prefix", prefix)
    expect(ran.returncode == 0, ran.stderr)
    for unit in prefix.rglob("tfrun@.service"):
        expect(f'ExecStart="{prefix}/bin/tfrun" ' in unit.read_text(), "the unit starts another program than the installed one")
    ran = box.run(sys.executable, box.source_dir / "tests" / "lint" / "check_links.py", "--links", next(prefix.rglob("CONTRIBUTING.md")).parent)
    expect(ran.returncode == 0, ran.stdout)
    (pkgconfig,) = prefix.rglob("tfrun.pc")
    flags = shlex.split(box.run("pkg-config", "--cflags", "--libs", "tfrun", env={"PKG_CONFIG_PATH": str(pkgconfig.parent)}).stdout)
    (box.folder / "stranger.c").write_text(STRANGER)
    ran = box.run(box.compiler, box.folder / "stranger.c", "-o", box.folder / "stranger", *flags)
    expect(ran.returncode == 0, ran.stderr)
    (library,) = prefix.rglob("libtfrun.so")
    return box.folder / "stranger", library.parent


def expect_bundled(ran, libraries):
    expect(ran.returncode == 0, ran.stderr)
    for name in ("gemv", "attention", "layernorm", "pointwise"):
        path = re.search(rf"^{name} .*\n  (.*)$", ran.stdout, re.M)
        expect(path and pathlib.Path(path[1]).resolve().parent == (libraries / "tfrun" / "plugins").resolve(), name, "is not from",
               libraries, ran.stdout)
    expect(re.search(r"^ref .*\n  linked in$", ran.stdout, re.M), "ref is not linked in")


def skip_with_a_sanitizer(box):
    """A program without the sanitizer cannot load a library with it."""
    if "TFRUN_SANITIZE:STRING=\n" not in (box.build / "CMakeCache.txt").read_text():
        sys.exit(SKIPPED)


@case
def program_of_a_stranger_finds_the_plugins(box):
    skip_with_a_sanitizer(box)
    program, libraries = build_stranger(box)
    expect_bundled(box.run(program, box.demo, env={"LD_LIBRARY_PATH": str(libraries)}), libraries)
    moved = box.folder / "elsewhere"  # an installation that was moved
    (box.folder / "the prefix").rename(moved)
    libraries = moved / libraries.relative_to(box.folder / "the prefix")
    expect_bundled(box.run(program, box.demo, env={"LD_LIBRARY_PATH": str(libraries)}), libraries)
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if box.run(*hidden, "true").returncode == 0:  # may need to be root
        expect_bundled(box.run(*hidden, program, box.demo, env={"LD_LIBRARY_PATH": str(libraries)}), libraries)


PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(stranger C)
find_package(tfrun 0.1 REQUIRED)
add_executable(stranger stranger.c)
target_link_libraries(stranger PRIVATE tfrun::tfrun)
tfrun_add_plugin(tfr_example example.c)
file(WRITE ${CMAKE_BINARY_DIR}/folder "${tfrun_PLUGIN_DIR}")
"""


@case
def cmake_package_serves_programs_and_plugins(box):
    """In an installation that was moved."""
    skip_with_a_sanitizer(box)
    build_stranger(box)
    moved, project = box.folder / "elsewhere", box.folder / "project"
    (box.folder / "the prefix").rename(moved)
    project.mkdir()
    page = (box.source_dir / "docs" / "write-a-kernel.md").read_text(encoding="utf-8")
    (project / "example.c").write_text(re.search(r"^```c\n(.*?)^```", page, re.M | re.S)[1])
    (project / "stranger.c").write_text(STRANGER)
    (project / "CMakeLists.txt").write_text(PROJECT)
    for words in (["-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={moved}", f"-DCMAKE_C_COMPILER={box.compiler}"],
                  ["--build", project / "build"]):
        ran = box.run("cmake", *words)
        expect(ran.returncode == 0, ran.stdout, ran.stderr)
    plugins = pathlib.Path((project / "build" / "folder").read_text())
    expect(plugins.samefile(moved / plugins.relative_to(moved)) and (plugins / "tfr_gemv.so").exists(), plugins)
    ran = box.run(project / "build" / "stranger", box.demo)
    expect_bundled(ran, plugins.parent.parent)
    words = ["--plugin", project / "build" / "tfr_example.so", "--kernels", "example"]
    ran = box.run(moved / "bin" / "tfrun", "plan", moved / "share" / "tfrun" / "configs" / "demo", *words)
    expect(ran.returncode == 0 and "layer_norm.f32.example.plain" in ran.stdout, ran.stdout, ran.stderr)


@case
def without_plugin_files_ref_serves_every_op(box):
    skip_with_a_sanitizer(box)
    if "TFRUN_PLUGINS_SHARED:BOOL=ON" not in (box.build / "CMakeCache.txt").read_text():
        sys.exit(SKIPPED)
    program, libraries = build_stranger(box)
    for path in (libraries / "tfrun" / "plugins").glob("tfr_*.so"):
        path.unlink()
    ran = box.run(program, box.demo, env={"LD_LIBRARY_PATH": str(libraries)})
    expect(ran.returncode == 0, ran.stderr)
    expect(ran.stdout.startswith("ref "), ran.stdout)


if __name__ == "__main__":
    sys.exit(main(Box))
