#!/usr/bin/env python3
"""test_example.py SOURCE BUILD CC: the plugins of docs/write-a-kernel.md, built from installed headers alone.

Takes the C blocks and the compiler flags from the page, so the page is what is tested. Python's own library only.
"""
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def block(page, language):
    return [body for kind, body in re.findall(r"^```(\w*)\n(.*?)^```", page, re.M | re.S) if kind == language]


def check(condition, sentence):
    if not condition:
        sys.exit(f"FAIL: {sentence}")
    print(f"ok: {sentence}")


def build_plugins(page, build, compiler, folder):
    """Installs, then compiles with the page's own flags; what pkg-config prints must lead to the headers."""
    sources = block(page, "c")
    check(len(sources) == 2, "the page has two C blocks")
    for name, source in zip(("example.c", "fused.c"), sources):
        (folder / name).write_text(source)
    run("cmake", "--install", build, "--prefix", folder / "prefix")
    (pkgconfig,) = (folder / "prefix").rglob("tfrun.pc")
    environment = dict(os.environ, PKG_CONFIG_PATH=str(pkgconfig.parent))
    cflags = run("pkg-config", "--cflags", "tfrun", env=environment).split()
    for line in re.findall(r"^cc (.*)$", page, re.M):
        words = [word for word in shlex.split(line.replace("$(pkg-config --cflags tfrun)", "CFLAGS"))]
        at = words.index("CFLAGS")
        words[at:at + 1] = cflags + ["-Wall", "-Wextra", "-Werror"]
        run(compiler, *words, cwd=folder)
    return folder / "tfr_example.so", folder / "tfr_fused.so"


def check_fused(tfrun, demo, plugin, generate):
    """The pattern is one node where the kernel takes it, with its reason where not; the bits are those of ref's two kernels."""
    kernel, words = "layer_norm+linear.f32.example_fused.plain", ("--plugin", plugin, "--kernels", "example_fused")
    tasks = json.loads(run(tfrun, "plan", demo, "--json", *words))["ranks"][0]["tasks"]
    fused = [task for task in tasks if task["op"] == "fused"]
    blocks = {task["layer"] for task in tasks if task["layer"] >= 0}
    check([task["node"] for task in fused] == [f"h.{i}.ln_1+attn.c_attn" for i in sorted(blocks)], "every block has the fused node")
    check(all(task["kernel"] == kernel and task["parts"] == ["layer_norm", "linear"] for task in fused), "its kernel and parts are named")
    text = run(tfrun, "plan", demo, "--explain", *words)
    check(re.search(rf"h.0.ln_2.*\n(.*\n)*? *{re.escape(kernel)} +takes no activation", text), "a refusal is explained")
    text = run(tfrun, "plan", demo, "--explain", "--plugin", plugin)
    check(re.search(rf"{re.escape(kernel)} +predicted .* us, its parts on their own kernels", text), "without a preference time decides")
    one, two = (generate(*words[:-1], "example_fused,ref", "-t", n) for n in ("1", "2"))
    check(one == two == generate("--kernels", "ref"), "the bits are those of ref, for one thread and two")


def main():
    source, build, compiler = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    page = (source / "docs" / "write-a-kernel.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        plugin, fused = build_plugins(page, build, compiler, folder)
        tfrun, demo = folder / "prefix" / "bin" / "tfrun", source / "configs" / "demo"
        kernel, (listed,) = "layer_norm.f32.example.plain", re.findall(r'\.name = "(layer_norm\.[^"]*)"', page)
        check(listed == kernel, "the page's kernel has the name that this test expects")
        check(kernel in run(tfrun, "plugins", "--plugin", plugin), "tfrun plugins lists the kernel")

        def plan(*more):
            steps = json.loads(run(tfrun, "plan", demo, "--json", "--plugin", plugin, *more))["ranks"][0]["tasks"]
            return {step["kernel"] for step in steps if step["op"] == "layer_norm"}

        check(plan("--kernels", "example") == {kernel}, "preferred, it serves every layer_norm")

        def generate(*more):
            answer = json.loads(run(tfrun, demo, "-p", "Once upon a time", "-n", "5", "--temperature", "0", "--json", *more))
            return answer["logits_digest"], [choice["ids"] for choice in answer["choices"]]

        example = ("--plugin", plugin, "--kernels", "example")
        one, two = generate(*example, "-t", "1"), generate(*example, "-t", "2")
        check(one == two, "one thread and two give the same bits")
        check(one == generate("--kernels", "layer_norm.f32.ref"), "ids and bits of the logits are those of ref")
        check_fused(tfrun, demo, fused, generate)


if __name__ == "__main__":
    main()
