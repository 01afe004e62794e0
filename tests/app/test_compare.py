#!/usr/bin/env python3
"""test_compare.py TFRUN NAME SOURCE_DIR: scripts/compare_servers and check_serving from outside: what they refuse, what they leave behind."""
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from cases import SLOWER, case, expect, expect_same, main
from standin import StandIn

MARK, PEER = "TFRUN_TEST_MARK", pathlib.Path(__file__).with_name("standin.py")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Scripts:
    def __init__(self, program, source_dir, folder):
        self.program, self.scripts, self.demo, self.mark = program, source_dir / "scripts", source_dir / "configs" / "demo", str(folder)

    def start(self, name, *words):
        command = [sys.executable, "-B", self.scripts / name, self.demo, "--tfrun", self.program, *words]
        return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                start_new_session=True, env={**os.environ, MARK: self.mark})

    def run(self, name, *words, codes):
        process = self.start(name, *words)
        out, err = process.communicate(timeout=240 * SLOWER)
        expect(process.returncode in codes, words, process.returncode, "is none of", codes, out, err)
        self.nothing_is_left()
        return out, err

    def nothing_is_left(self):
        """No process that inherited the mark of this test, also none of another session that is stopped."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                pass
        expect_same(found, [])


def short(**changed):
    """Words of a comparison of a second."""
    there = free_port()
    words = {"port": free_port(), "peer": f"stand-in={sys.executable} {PEER} {there},http://127.0.0.1:{there}", "clients": "1,2",
             "rounds": 2, "seconds": 0.2, "prompt-tokens": 4, "output-tokens": 4, "serve": "--max-batch 4", **changed}
    return [word for name, value in words.items() for word in (f"--{name}", value)]


@case
def a_table_of_both(scripts):
    out, err = scripts.run("compare_servers", *short(once="stand-in"), codes=(0, 1))  # who is ahead is not the subject
    rows = [line.split(" | ")[:2] for line in out.splitlines() if line.startswith(("| 1", "| 2"))]
    expect_same(rows, [[f"| {clients}", name] for clients in (1, 2) for name in ("tfrun", "stand-in")])
    expect("ahead of every peer" in out and err.count("round 2 of 2: tfrun") == 2 and "round 2 of 2: stand-in" not in err, out, err)


@case
def what_is_missing_is_told_before_the_work(scripts):
    for changed, told in (({"peer": "a=tfrun-no-such-program --port 1,http://127.0.0.1:1"}, "there is no program 'tfrun-no-such-program'"),
                          ({"peer": "a=true http://127.0.0.1:1"}, "is not NAME=COMMAND,http://HOST:PORT"),
                          ({"peer": "a=sh -c ',http://127.0.0.1:1"}, "is no command"),
                          ({"peer": "tfrun=true,http://127.0.0.1:1"}, "another name"), ({"once": "b"}, "is no --peer"),
                          ({"clients": "1,none"}, "no whole number above 0"), ({"rounds": 0}, "no whole number above 0"),
                          ({"json": "/nowhere/file"}, "can't be written")):
        out, err = scripts.run("compare_servers", *short(**changed), codes=(2,))
        expect(out == "" and told in err and err.count("\n") == 2, changed, err)  # the usage, and a sentence
    for words, told in ((("--only", "taxes"), "none of steps, tax"), (("--pairs", 0), "above 0"),
                        (("--only", "tax", "--tfrun", "/nowhere/tfrun"), "there is no program '/nowhere/tfrun'")):
        out, err = scripts.run("check_serving", *words, codes=(2,))
        expect(out == "" and told in err and err.count("\n") == 2, words, err)


@case
def a_server_that_does_not_come_is_told(scripts):
    there = free_port()
    ends = f"lame=sh -c 'echo there is no oil; exit 3',http://127.0.0.1:{there}"
    _, err = scripts.run("compare_servers", *short(peer=ends), codes=(1,))
    expect("lame: " in err and "ended with 3; its last words:\nthere is no oil\n" in err, err)
    with StandIn() as other:
        taken = f"late=sleep 100,{other.url}"
        _, err = scripts.run("compare_servers", *short(peer=taken), codes=(1,))
    expect(f"late: another server answers at {other.url}; end it, or take another port." in err, err)


@case
def who_ends_it_ends_the_servers(scripts):
    for number in (signal.SIGINT, signal.SIGTERM):
        process = scripts.start("compare_servers", *short(seconds=100))
        for line in process.stderr:
            if "round 1 of 2: tfrun" in line:
                break
        os.killpg(process.pid, number)  # as a terminal does: tfrun load has it too
        time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, number)  # the impatient press it twice
        process.communicate(timeout=100 * SLOWER)
        expect_same(process.returncode, 128 + number)
        scripts.nothing_is_left()


if __name__ == "__main__":
    sys.exit(main(Scripts))
