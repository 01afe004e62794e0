#!/usr/bin/env python3
"""test_serve_ranks.py TFRUN NAME SOURCE_DIR: `tfrun serve` on two ranks under mpiexec, registered in tests/mpi.

`test_serve_ranks.py --list` prints the names.
"""
import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from company import PLAIN, alone, expect_equal, together, with_steps  # noqa: E402
from serving import ENOUGH, PATIENCE, Setting, read_head, read_until  # noqa: E402

LAUNCHER = (os.environ.get("TFRUN_TEST_MPIEXEC", "mpiexec"), "-n", "2")


def children(launcher):
    """Processes of tfrun that descend from it: Hydra has a proxy between, a wrapper is another."""
    parents, programs = {}, set()
    for entry in pathlib.Path("/proc").iterdir():
        try:
            name, fields = (entry / "stat").read_text().rsplit(")", 1)
        except (OSError, ValueError):
            continue
        parents[entry.name] = fields.split()[1]
        if name.endswith("(tfrun"):
            programs.add(entry.name)

    def ancestors(process):
        while process in parents:
            process = parents[process]
            yield process

    return [int(process) for process in programs if str(launcher) in ancestors(process)]


def is_alive(process):
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def drains(t, *wrapper):
    with t.serve("--drain", ENOUGH, launcher=(*LAUNCHER, *wrapper)) as server:
        expect("on each of 2 ranks" in server.start_line(), server.lines())
        ranks = children(server.process.pid)
        expect_same(len(ranks), 2)
        body = {"prompt": "Once upon a time", "ignore_eos": True, "temperature": 0, "max_tokens": 60, "stream": True}
        with server.raw(body) as sock:
            rest = read_until(sock, b"data: ")
            for rank in ranks:
                for number in (signal.SIGHUP, signal.SIGTERM):
                    os.kill(rank, number)
            rest += read_until(sock, b"0\r\n\r\n")
        expect_same(rest.count(b'data: {"id"'), 60)
        expect(b"data: [DONE]" in rest and b'"error"' not in rest, rest[-300:])
        expect_same(server.process.wait(PATIENCE), 0)
        expect_same([rank for rank in ranks if pathlib.Path(f"/proc/{rank}").exists()], [])


@case
def a_signal_to_all_ranks_is_a_drain(t):
    drains(t)


@case
def a_script_around_each_rank_is_no_lost_rank(t):
    drains(t, "sh", "-c", '"$@"; exit $?', "wrapper")


def end(server):
    for rank in children(server.process.pid):
        os.kill(rank, signal.SIGTERM)
    expect_same(server.process.wait(PATIENCE), 0)


@case
def an_answer_is_that_of_one_rank(t):
    with t.serve(*PLAIN, "--no-prefix-cache", "--threads", 1) as server:
        want, alone_steps = with_steps(server, alone)
    with t.serve(*PLAIN, launcher=LAUNCHER) as server:
        ranks = children(server.process.pid)
        have, steps = with_steps(server, together, None, ranks)
        expect(3 * steps < alone_steps, "they were not together", steps, alone_steps)
        expect_equal(have, want, "two ranks, all at once")
        expect_equal(alone(server), want, "two ranks, kept prefixes, alone")
        expect_equal(together(server, None, ranks), want, "two ranks, kept prefixes, all at once")
        end(server)
    with t.serve(*PLAIN, "--max-rows", 64, "--itl-target", 1, launcher=LAUNCHER) as server:
        expect_equal(together(server, None, children(server.process.pid)), want, "two ranks, small chunks")
        end(server)


@case
def a_rank_that_dies_ends_the_server(t):
    with t.serve(launcher=(os.environ.get("TFRUN_TEST_MPIEXEC", "mpiexec"), "-n", "2")) as server:
        ranks = children(server.process.pid)
        body = {"prompt": "Once upon a time", "ignore_eos": True, "max_tokens": 400, "n": 16, "temperature": 1, "stream": True}
        with server.raw(body) as sock:
            read_until(sock, b"data: ")
            os.kill(max(ranks), signal.SIGKILL)
            if "hydra" not in LAUNCHER[0]: # which may end rank 0 without the time for it
                rest = read_until(sock, b"0\r\n\r\n")
                expect(b'"code":"draining"' in rest and b"[DONE]" in rest, rest[-300:])
            expect(server.process.wait(PATIENCE) != 0)
        if "hydra" not in LAUNCHER[0]: # which says so or does not
            expect(any("signal 9" in line for line in server.lines()), server.lines())
        expect(not any("have 30 s to end" in line or "stopped, since" in line for line in server.lines()), server.lines())
        until = time.monotonic() + PATIENCE
        while any(is_alive(rank) for rank in ranks):
            expect(time.monotonic() < until, ranks)
            time.sleep(0.05)


def loses_a_rank_at(t, method, path, body, *flags, model=None):
    """A rank is stopped, so that work for this route is under way until it is killed: whoever asked is told."""
    with t.serve(*flags, model=model, launcher=LAUNCHER) as server:
        other = max(children(server.process.pid))
        os.kill(other, signal.SIGSTOP)
        with server.connect() as sock:
            text = json.dumps(body).encode() if body is not None else b""
            sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
            until = time.monotonic() + PATIENCE
            while server.call("GET", "/tfrun/v1/info").json["serving"]["last_step_age_s"] == 0:
                expect(time.monotonic() < until, "it never came to the engine")
            os.kill(other, signal.SIGKILL)
            if "hydra" not in LAUNCHER[0]:  # which may end rank 0 without the time for it
                head, rest = read_head(sock)
                rest += b"" if b"}}" in rest else read_until(sock, b"}}")
                expect(head.startswith(b"HTTP/1.1 503 ") and b'"code":"draining"' in rest, head, rest)
            expect(server.process.wait(PATIENCE) != 0)


@case
def an_embedding_is_told_of_a_lost_rank(t):
    loses_a_rank_at(t, "POST", "/v1/embeddings", {"input": ["x", "y"]})


@case
def a_label_is_told_of_a_lost_rank(t):
    texts = t.source_dir / "tests" / "model" / "text"
    loses_a_rank_at(t, "POST", "/classify", {"input": ["a", "b"]}, "--tokenizer", texts / "tokenizer", model=texts / "single")


@case
def a_profile_is_told_of_a_lost_rank(t):
    loses_a_rank_at(t, "GET", "/tfrun/v1/profile", None, "--profile")


if __name__ == "__main__":
    sys.exit(main(Setting))
