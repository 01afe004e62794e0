#!/usr/bin/env python3
"""check_help.py SOURCE_DIR BUILD_DIR: files with a shebang are executable, and commands say how they are called when asked.

Asked are the Python programs below scripts, without any package that Python does not bring (-S), its shell scripts, and the probes that are
built: `--help` prints something and ends with 0. A shell script is run only if its text knows the word, since another would begin its work.
A probe that gets words which none of them takes prints the same as an error and ends with 2.
"""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys


def tracked(source):
    """Paths of files as git has them; all there are in an unpacked archive, or without git."""
    git = shutil.which("git")
    listed = subprocess.run([git, "-C", source, "ls-files", "-z"], capture_output=True, text=True) if git else None
    names = listed.stdout.split("\0")[:-1] if listed and listed.returncode == 0 else [
        str(path.relative_to(source)) for folder in ("core", "scripts", "tests", "configs") for path in (source / folder).rglob("*")]
    return [name for name in names if (source / name).is_file()]


def first_line(path):
    with path.open("rb") as file:
        return file.readline(200)


def silent(command):
    """What is wrong with the answer to --help, or nothing."""
    ran = subprocess.run([*command, "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=50)
    if ran.returncode == 0 and ran.stdout.strip():
        return None
    told = (ran.stderr.strip() or "nothing on stdout").splitlines()[-1]
    return f"{command[-1]} --help: exit {ran.returncode}, {told}"


def heedless(command):
    """What is wrong with a probe's answer to words that it can't take, or nothing."""
    ran = subprocess.run([*command, *["none"] * 20], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=50)
    is_right = ran.returncode == 2 and not ran.stdout and "usage: " in ran.stderr
    return None if is_right else f"{command[-1]} with words that it does not take: exit {ran.returncode}, not 2 with its usage"


def main():
    source, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    scripts = {name: first_line(source / name) for name in tracked(source)}
    scripts = {name: line for name, line in scripts.items() if line.startswith(b"#!")}
    wrong = [f"{name} has a shebang and is not executable (git update-index --chmod=+x)" for name in scripts
             if not os.access(source / name, os.X_OK)]
    commands = [[sys.executable, "-B", "-S", str(source / name)] for name, line in scripts.items()
                if name.startswith("scripts/") and b"python" in line]
    shells = [name for name, line in scripts.items() if name.startswith("scripts/") and line.rstrip().endswith(b"sh")]
    deaf = [name for name in shells if "--help)" not in (source / name).read_text()]
    wrong += [f"{name} has no --help: print the comment at its head, as scripts/setup does, before anything else" for name in deaf]
    commands += [[str(source / name)] for name in shells if name not in deaf]
    probes = [[str(path)] for path in sorted((build / "bin").glob("*probe*")) if path.name != "http_probe"]
    commands += probes
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong += filter(None, pool.map(silent, commands))
        wrong += filter(None, pool.map(heedless, probes))
    print("\n".join(wrong) or f"{len(scripts)} files with a shebang, {len(commands)} commands that help")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
