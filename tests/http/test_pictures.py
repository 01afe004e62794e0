#!/usr/bin/env python3
"""test_pictures.py TFRUN NAME SOURCE_DIR: the graph, the profile and the roofline of `tfrun serve`, and that none of them holds up
who is being served. The programs that draw are stand-ins where they are counted, or hang.

`test_pictures.py --list` prints the names.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import PATIENCE, PROMPT, Setting, read_until  # noqa: E402

GRAPH, PROFILE, ROOFLINE = "/tfrun/v1/graph.svg", "/tfrun/v1/profile", "/tfrun/v1/roofline.svg"
DRAWS = "cat > /dev/null; echo '<svg></svg>'"


def stand_in(t, name, script):
    """A program of this name in front of PATH, which writes a line for each of its runs; the environment, and that file."""
    folder, runs = t.folder / f"{name}.bin", t.folder / f"{name}.runs"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho $$ >> '{runs}'\n{script}\n")
    (folder / name).chmod(0o755)
    runs.write_text("")
    return {"PATH": f"{folder}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(t.folder)}, runs


def count(runs):
    return len(runs.read_text().splitlines())


@case
def pictures_of_the_step(t):
    with t.serve() as server:
        for phase in ("", "?phase=decode", "?phase=prefill"):
            reply = server.call("GET", "/tfrun/v1/graph.svg" + phase)
            if shutil.which("dot") is None:
                expect_same(reply.status, 404)
                expect("graphviz" in reply.json["error"]["message"], reply.body)
                continue
            expect_same((reply.status, reply.headers["content-type"]), (200, "image/svg+xml"))
            expect_same(xml.etree.ElementTree.fromstring(reply.body).tag, "{http://www.w3.org/2000/svg}svg")
            rows = ("1 row", "128 rows")[phase.endswith("prefill")]
            expect(rows in reply.body.decode().replace("&#160;", " "), rows)
        expect_same(server.call("GET", "/tfrun/v1/graph.svg?phase=both").json["error"]["param"], "phase")
        for path in ("/tfrun/v1/profile", "/tfrun/v1/roofline.svg"):
            reply = server.call("GET", path)
            expect_same(reply.status, 404)
            expect("--profile" in reply.json["error"]["message"], reply.body)


@case
def a_profile_names_every_kernel(t):
    layers = json.loads((t.demo / "config.json").read_text())["n_layer"]
    with t.serve("--profile", env={"XDG_CACHE_HOME": str(t.folder)}) as server:
        phases = server.call("GET", "/tfrun/v1/profile").json["phases"]
        expect_same((phases["decode"]["rows"], phases["prefill"]["rows"]), (1, 128))
        for phase in phases.values():
            names = [node["name"] for node in phase["nodes"]]
            expect_same([name for name in names if name.endswith(".ln_1")], [f"h.{i}.ln_1" for i in range(layers)])
            expect(phase["total_ms"] > 0 and all(0 <= node["share"] <= 1 and node["ms"] >= 0 for node in phase["nodes"]), phase)
        if shutil.which("dot"):
            for phase in ("decode", "prefill"):
                picture = server.call("GET", f"/tfrun/v1/graph.svg?phase={phase}").body.decode()
                expect("of the time" in picture and "measured over" in picture, picture[:2000])
        reply = server.call("GET", "/tfrun/v1/roofline.svg")
        expect_same((reply.status, "tfrun calibrate" in reply.json["error"]["message"]), (404, True))
        with server.raw({"prompt": PROMPT, "max_tokens": 400, "ignore_eos": True, "stream": True}) as sock:
            read_until(sock, b"data: {")
            expect_same(server.call("GET", "/tfrun/v1/profile").json["error"]["code"], "queue_full")
        expect_same(len(server.text(prompt=PROMPT, max_tokens=3, ignore_eos=True)) > 0, True)


@case
def a_picture_is_drawn_once(t):
    """Whoever asks, and how often: once for many at a time, once for a loop; also while others write, and where it can't be drawn."""
    environment, runs = stand_in(t, "dot", DRAWS)
    with t.serve("--profile", env=environment) as server:
        with server.raw({"prompt": PROMPT, "max_tokens": 500, "ignore_eos": True, "stream": True}) as sock:
            read_until(sock, b"data: {")
            replies = []
            askers = [threading.Thread(target=lambda: replies.append(server.call("GET", GRAPH))) for _ in range(8)]
            for asker in askers:
                asker.start()
            for asker in askers:
                asker.join()
            replies += [server.call("GET", GRAPH) for _ in range(8)]
            expect_same({(reply.status, reply.body[:5]) for reply in replies}, {(200, b"<svg>")})
        expect(count(runs) <= 2, count(runs), "drawings")  # without times, and with those of a profile if the stream was over
    environment, runs = stand_in(t, "dot", "exit 3")
    with t.serve(env=environment) as server:
        replies = [server.call("GET", GRAPH) for _ in range(20)]
        expect_same({reply.status for reply in replies}, {404})
        expect("dot failed" in replies[0].json["error"]["message"], replies[0].body)
        expect(count(runs) < 10, count(runs), "drawings of 20 that failed")
    with t.serve(env={"PATH": str(t.folder)}) as server:
        reply = server.call("GET", GRAPH)
        expect_same((reply.status, "graphviz" in reply.json["error"]["message"]), (404, True))


@case
def a_program_that_hangs_holds_nobody(t):
    environment, runs = stand_in(t, "dot", "exec sleep 1000")
    with t.serve(env=environment) as server:
        with server.connect() as sock:
            sock.sendall(f"GET {GRAPH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            while count(runs) == 0:
                server.call("GET", "/health")
            expect(server.text(prompt=PROMPT, max_tokens=8, ignore_eos=True) != "", "no answer beside it")
            expect_same(server.end(), 0)
            expect(sock.recv(65536).startswith(b"HTTP/1.1 503 "), "the end of the server is not told")
    try:
        os.kill(int(runs.read_text()), 0)
    except ProcessLookupError:
        return
    raise AssertionError("the program goes on")


@case
def pages_of_others_make_no_work(t):
    """By <img src=...> any page could have them made."""
    with t.serve("--profile", env={"XDG_CACHE_HOME": str(t.folder)}) as server:
        for path in (GRAPH, PROFILE, ROOFLINE):
            for site in ("cross-site", "same-site"):
                reply = server.call("GET", path, headers={"Sec-Fetch-Site": site})
                expect_same((path, reply.status, reply.json["error"]["code"]), (path, 403, "cross_site"))
        expect_same(server.call("GET", PROFILE, headers={"Sec-Fetch-Site": "same-origin"}).status, 200)


@case
def the_graph_is_of_the_model_that_is_served(t):
    """Not of what its file says by now."""
    environment, runs = stand_in(t, "dot", "cat > /dev/null; echo '<svg></svg>'")
    shutil.copytree(t.demo, t.folder / "model")
    with t.serve(model=t.folder / "model", env=environment) as server:
        (t.folder / "model" / "config.json").write_text("{}")
        expect_same((server.call("GET", GRAPH).status, count(runs)), (200, 1))


@case
def a_roofline_is_drawn_once_a_profile(t):
    """And a profile is not measured anew at once, so that a loop leaves the engine to others."""
    environment, runs = stand_in(t, "gnuplot", DRAWS)
    subprocess.run([t.program, "calibrate", t.demo, "--quick", "--quiet", "--threads", "1"], env={**os.environ, **environment},
                   stdout=subprocess.DEVNULL, timeout=5 * PATIENCE, check=True)
    with t.serve("--profile", "--threads", 1, env=environment) as server:
        expect_same([server.call("GET", ROOFLINE).status for _ in range(5)], [200] * 5)
        expect_same(count(runs), 1)
        seen = [server.call("GET", PROFILE).body for _ in range(20)]
        expect(len(set(seen)) < 20, "each of 20 was measured anew")
        until = time.monotonic() + PATIENCE
        while server.call("GET", PROFILE).body in seen[-1:]:
            expect(time.monotonic() < until, "it is never measured anew")
        expect_same(server.call("GET", ROOFLINE).status, 200)
        expect_same(count(runs), 2)


if __name__ == "__main__":
    sys.exit(main(Setting))
