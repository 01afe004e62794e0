#!/usr/bin/env python3
"""test_repl.py TFRUN NAME SOURCE_DIR: `tfrun repl` from a pipe, as a script, and on a terminal."""
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time

from cases import SLOWER, case, expect, expect_same, main


class Repl:
    def __init__(self, program, source_dir, folder):
        self.program, self.source, self.folder = program, source_dir, folder
        self.demo = source_dir / "configs" / "demo"
        self.environment = {**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "TERM": "xterm",
                            "LC_ALL": "C.UTF-8"}
        self.environment.pop("XDG_STATE_HOME", None)

    def run(self, *lines, code=0, options=()):
        """stdout and stderr of a script."""
        ran = subprocess.run([self.program, "repl", str(self.demo), *options], input="".join(line + "\n" for line in lines).encode(),
                             capture_output=True, timeout=120 * SLOWER, env=self.environment)
        expect(ran.returncode == code, ran.returncode, "is not exit code", code, ran.stdout.decode(), ran.stderr.decode())
        told = [line for line in ran.stderr.decode().splitlines(True) if "other programs" not in line]  # a busy machine
        return ran.stdout.decode(), "".join(told)

    def generate(self, text, *options):
        ran = subprocess.run([self.program, str(self.demo), "-p", text, "--no-echo", "-q", *map(str, options)], capture_output=True,
                             timeout=120 * SLOWER, env=self.environment, check=True)
        return ran.stdout.decode()


PROMPT = "The old sailor looked at the sea and said"


@case
def a_line_goes_on_as_generate_does(repl):
    for settings, options in (((), ()), (("/set temperature 0",), ("--temperature", 0, "--do-sample", "auto")),
                              (("/set seed 5", "/set top_p 0.9"), ("--seed", 5, "--top-p", 0.9))):
        out, err = repl.run("/set max_tokens 24", "/set do_sample auto" if "/set temperature 0" in settings else "/set top_k 20", *settings,
                            PROMPT)
        expect_same((out, err), (repl.generate(PROMPT, "-n", 24, *options), ""))


@case
def stdout_has_what_was_asked_for_alone(repl):
    out, err = repl.run(PROMPT + "\\", "/tokens")
    expect(err == "" and out.endswith('"\\x0a"\n') and out.splitlines()[0].split()[0] == "0", out, err)
    expect_same(repl.run(), ("", ""))
    expect_same(repl.run("/quit", "/nonsense"), ("", ""))


@case
def what_cannot_be_read_is_not_the_end(repl):
    folder = os.open(repl.folder, os.O_RDONLY)
    ran = subprocess.run([repl.program, "repl", str(repl.demo)], stdin=folder, capture_output=True, timeout=120 * SLOWER, env=repl.environment, check=False)
    os.close(folder)
    expect(ran.returncode == 5 and ran.stderr.count(b"tfrun: cannot read stdin: ") == 1 and ran.stdout == b"", ran)


@case
def undo_is_exact(repl):
    ask = ("/set max_tokens 12", PROMPT)
    again = repl.run(*ask, "/tokens", "/continue 5", "/undo", "/tokens", "/redo", "/undo", "/tokens")[0].split("\n")
    rows = [line for line in again if re.match(r" +\d+ +\d+ \"", line)]
    n = len(rows) // 3
    expect(n > 12 and rows[:n] == rows[n:2 * n] == rows[2 * n:], again)
    first = repl.run(*ask, "/continue 8")[0]
    expect_same(repl.run(*ask, "/continue 8", "/undo", "/continue 8")[0], first + first.splitlines()[-1] + "\n")
    found = re.search(r"of the last (\d+) tokens that were read (\d+) were computed before",
                      repl.run(*ask, "/undo", "/continue", "/show", options=("--set", "serve.prefix_block=1"))[0])
    expect(int(found.group(1)) == int(found.group(2)) + 1, found.group(0))  # the last one's logits are wanted
    shown = repl.run(*ask, "/undo", "/undo", "/show", "/redo", "/show")[0]
    expect("-- 0 of 512 tokens, 0 changes" in shown and PROMPT + "\n-- " in shown, shown)
    expect("nothing to undo" in repl.run("/undo", code=2)[1] and "nothing to do again" in repl.run("/redo", code=2)[1], "no words")
    expect("nothing to do again" in repl.run("a\\", "/undo", "b\\", "/redo", code=2)[1], "what was undone is forgotten")


@case
def alternatives_differ_and_one_is_taken(repl):
    out = repl.run(PROMPT + "\\", "/undo", "/set max_tokens 6", PROMPT, "/undo", "/alternatives 4", "/choose 3", "/show")[0]
    ways = re.findall(r"^\[(\d)\](.*)$", out, re.MULTILINE)
    expect_same([number for number, _ in ways], ["1", "2", "3", "4"])
    expect(len({text for _, text in ways}) > 1, ways)
    expect(f"{PROMPT}{ways[2][1]}\n-- " in out, out)
    expect("/alternatives" in repl.run("/choose 1", code=2)[1], "no fix")
    expect("1..2" in repl.run(PROMPT + "\\", "/alternatives 2", "/choose 3", code=2)[1], "no range")


@case
def a_chosen_way_is_text_as_any_other(repl):
    """It is taken as the tokens that came; it is undone, done again and gone on with."""
    begin = ("/set max_tokens 6", PROMPT, "/undo", "/alternatives 3")
    out, err = repl.run(*begin, "/choose 2", "/show", "/tokens", "/undo", "/show", "/redo", "/tokens", "/set temperature 0",
                        "/set do_sample false", "/continue 5")
    ways = re.findall(r"^\[\d\](.*)$", out, re.MULTILINE)
    rows = [line for line in out.splitlines() if re.match(r" +\d+ +\d+ \"", line)]
    n = len(rows) // 2
    expect(err == "" and len(ways) == 3 and PROMPT + ways[1] in out and f"{PROMPT}\n-- " in out, out, err)
    expect(n > 6 and rows[:n] == rows[n:], rows)
    ids = ",".join(row.split()[1] for row in rows[:n])
    ran = subprocess.run([repl.program, str(repl.demo), "--prompt-ids", ids, "-n", "5", "--temperature", "0", "--do-sample", "false", "--no-echo",
                          "-q"], capture_output=True, timeout=120 * SLOWER, env=repl.environment, check=True)
    expect_same(out.split(rows[-1] + "\n")[-1], ran.stdout.decode())


@case
def a_way_is_chosen_of_those_that_there_are(repl):
    """Any change of the text ends them, the choice too; what is refused changes nothing."""
    begin = ("/set max_tokens 3", PROMPT, "/undo", "/alternatives 3")
    for lines in (("/choose 1",), ("/undo",), ("/undo", "/redo"), ("x\\",), ("/continue 1",)):
        out, err = repl.run(*begin, *lines, "/choose 2", code=2)
        expect("there are none now" in err and out.count("[2]") == 1, lines, out, err)
    for word in ("0", "4", "-1", "one", "1.5"):
        expect("1..3" in repl.run(*begin, f"/choose {word}", code=2)[1], word)
    again = repl.run(*begin, "/alternatives 2", "/choose 3", code=2)[1]
    expect("1..2" in again, again)


@case
def settings_are_those_of_the_table(repl):
    out = repl.run("/set temperature 0.5", "/set sampling.top_k 7", "/set temperature 0.9", "/set stop one", "/set stop two", "/set top_k",
                   "/show")[0]
    expect_same([line for line in out.splitlines() if line.startswith("-- sampling")],
                ["-- sampling.temperature = 0.9", "-- sampling.stop = one", "-- sampling.stop = two"])
    for line, words in (("/set temprature 1", "did you mean temperature?"), ("/set top_p 1.5", "0..1"), ("/set top_p high", "top_p"),
                        ("/set runtime.threads 1", "no sampling option"), ("/set", "takes KEY [VALUE]")):
        expect(words in repl.run(line, code=3 if "top_p" in line else 2)[1], line)
    # a setting that is refused leaves the one before it
    script = subprocess.run([repl.program, "repl", str(repl.demo), "--set", "sampling.num_beams=2"], capture_output=True, env=repl.environment,
                            input=b"/set max_tokens 5\nThe king\n", timeout=60 * SLOWER, check=True)
    expect(script.stdout.strip() != b"", script)


@case
def the_next_token_is_the_likeliest(repl):
    out = repl.run("/set temperature 0", "/set do_sample false", PROMPT + "\\", "/undo", "/set max_tokens 1", PROMPT, "/undo", "/top 5")[0]
    new, *rows = out.split("\n")[:6]
    shares = [float(row.split()[0]) for row in rows]
    expect(shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 100.001 and len(rows) == 5, out)
    expect_same(rows[0].split('"')[1].replace("\\\"", '"'), new)
    expect("1..100" in repl.run("a\\", "/top 101", code=2)[1], "no range")


@case
def a_score_is_that_of_tfrun_score(repl):
    out = repl.run("A whale swam in the sea.\\", "/undo", "/load " + str(write(repl.folder / "text", "A whale swam in the sea.")), "/score")[0]
    scored = json.loads(subprocess.run([repl.program, "score", str(repl.demo), "-p", "A whale swam in the sea.", "--json"], check=True,
                                       capture_output=True, env=repl.environment, timeout=60 * SLOWER).stdout)
    expect(f"log-probability {find(scored, 'logprob'):.4f} " in out, out, scored)
    expect("two tokens" in repl.run("/score", code=2)[1], "no reason")


def find(node, key):
    """The first number of that name."""
    if isinstance(node, dict):
        if isinstance(node.get(key), float):
            return node[key]
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        found = find(child, key)
        if found is not None:
            return found
    return None


def write(path, text):
    path.write_text(text)
    return path


@case
def texts_are_saved_and_loaded(repl):
    path, text = repl.folder / "my text.txt", "Two lines,\nand a king — with a dash."
    write(path, text)
    out = repl.run(f"/load {path}", "/show")[0]
    expect(out.startswith(text + "\n-- "), out)
    expect("/save!" in repl.run("a\\", f"/save {path}", code=2)[1] and path.read_text() == text, "an existing file stays")
    repl.run("a\\", f"/save! {path}")
    expect_same(path.read_text(), "a\n")
    repl.run(f"/load {path}", "//b\\", f"/save {repl.folder}/new")
    expect_same((repl.folder / "new").read_text(), "a\n/b\n")
    expect("nowhere" in repl.run("/load nowhere", code=5)[1], "no name")


@case
def a_script_ends_with_its_first_failure(repl):
    for line, words in (("/continu 5 6", "whole number"), ("/conti x", "whole number"), ("/s", "several commands"), ("/frobnicate", "no command"),
                        ("/chose 1", "did you mean /choose?"), ("/undo 3", "takes nothing"), ("/choose", "takes K")):
        out, err = repl.run(line, "/help", code=2)
        expect(words in err and out == "" and err.count("\n") == 1, line, out, err)


@case
def a_text_stays_within_the_model(repl):
    path = write(repl.folder / "long", "the king and the sea " * 100)
    out, err = repl.run(f"/load {path}", *[PROMPT + "\\"] * 200, code=2)
    expect("512 positions" in err and out == "", out, err)


@case
def help_lists_what_the_page_lists(repl):
    out = repl.run("/help")[0]
    page = (repl.source / "docs" / "repl.md").read_text()
    commands = re.findall(r"^  (/\w+)", out, re.MULTILINE)
    expect(len(commands) == 14 and commands == re.findall(r"^\| `(/\w+)", page, re.MULTILINE), commands)


class Terminal:
    """A session on a pseudo-terminal."""
    def __init__(self, repl):
        self.fd, slave = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen([repl.program, "repl", str(repl.demo)], stdin=slave, stdout=slave, stderr=slave,
                                        env=repl.environment, start_new_session=True, preexec_fn=lambda: take_terminal(slave))
        os.close(slave)

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern, seconds=60):
        """What came until the pattern did."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            expect(time.monotonic() < end, pattern, "did not come:", self.text)
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    expect(False, pattern, "did not come before the end:", self.text)
        before, self.text = self.text[:found.end()], self.text[found.end():]
        return before

    def end(self):
        self.type("/quit\r")
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass
        expect_same(self.process.wait(timeout=30 * SLOWER), 0)
        os.close(self.fd)


def take_terminal(slave):
    import fcntl
    import termios
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


@case
def ctrl_c_stops_the_text_and_not_the_program(repl):
    terminal = Terminal(repl)
    terminal.expect(r"/help; 512 tokens.*\n")
    terminal.expect("> ")
    for line in ("/set max_tokens 450", "/set ignore_eos true"):
        terminal.type(line + "\r")
        terminal.expect("> ")  # what is typed before it would be echoed twice, and pass for an answer
    terminal.type("The old king went\r")
    terminal.expect(r"went\r\n(?s:.){40}")  # 40 characters of the answer
    terminal.type("\x03")
    terminal.expect("> ", seconds=10)
    terminal.type("/show\r")
    n = int(re.search(r"-- (\d+) of 512", terminal.expect(r"-- \d+ of 512 tokens")).group(1))
    expect(8 < n < 430, n, "tokens: it was stopped, and what there was is kept")
    terminal.type("/continue 3\r")  # the next one is not stopped
    terminal.type("/show\r")
    expect_same(int(re.search(r"-- (\d+) of 512", terminal.expect(r"-- \d+ of 512 tokens")).group(1)), n + 3)
    terminal.type("half a line\x03")
    terminal.expect("> ")
    terminal.type("/undo 7\r")
    terminal.expect("takes nothing")  # a failure is told and forgotten
    terminal.end()


@case
def lines_are_edited_and_remembered(repl):
    terminal = Terminal(repl)
    if "no line editing" in terminal.expect("(?s)(tokens at most.*> )|(no line editing)"):
        print("a build without libedit")
        terminal.process.send_signal(signal.SIGKILL)
        sys.exit(77)
    terminal.type("/set max_tokens 3X\x7f\r")  # a character taken back
    terminal.expect("> ")
    terminal.type("/show\r")
    expect("max_tokens = 3\r" in terminal.expect("max_tokens = .*\n"), "a line that was edited")
    terminal.end()
    history = repl.folder / ".local" / "state" / "tfrun" / "repl_history"
    expect(stat.S_IMODE(history.stat().st_mode) == 0o600 and "max" in history.read_text(), history)
    terminal = Terminal(repl)
    terminal.expect("(?s)tokens at most.*> ")
    terminal.type("\x1b[A\x1b[A\x1b[A\r")  # behind /quit and /show
    terminal.expect("> ")
    terminal.type("/show\r")
    terminal.expect(r"max_tokens = 3")
    terminal.end()


if __name__ == "__main__":
    sys.exit(main(Repl))
