#!/usr/bin/env python3
"""test_serve_load.py TFRUN NAME SOURCE_DIR: `tfrun load` against `tfrun serve`: each checks what the other one counted.

`test_serve_load.py --list` prints the names.
"""
import json
import pathlib
import re
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import Setting  # noqa: E402

QUIET = ("--vocab-size", 6144, "--json", "-q")
SHORT = ("--prompt-tokens", 12, "--output-tokens", 6, *QUIET)


def load(t, server, *words):
    [run] = json.loads(t.run("load", f"http://127.0.0.1:{server.port}", *words))["runs"]
    return run


def served(server):
    """Of each completion in the access log: status, tokens of prompt and output, ms."""
    lines = (re.search(r"POST /v1/completions (\d+) ([0-9.]+) ms.* prompt=(\d+) .*output=(\d+)", line) for line in server.lines())
    return [(int(line[1]), int(line[3]), int(line[4]), float(line[2])) for line in lines if line]


@case
def both_count_the_same(t):
    with t.serve() as server:
        run = load(t, server, "--clients", 3, "--requests", 21, *SHORT)
        scored = load(t, server, "--clients", 2, "--requests", 6, "--warmup", 0, "--scoring", "--prompt-tokens", 20, *QUIET)
        left = load(t, server, "--clients", 4, "--requests", 30, "--warmup", 0, "--disconnect", 0.5, "--prompt-tokens", 13,
                    "--output-tokens", 60, *QUIET)["requests"]
        expect_same(server.ask(prompt="The", max_tokens=2, ignore_eos=True)["usage"]["completion_tokens"], 2)
        server.end()
        lines = served(server)
    ours = [line for line in lines if line[1] == 12]
    expect_same([line[:3] for line in ours], [(200, 12, 6)] * (3 + 21))
    expect_same((run["requests"]["done"], run["requests"]["failed"], run["ttft_s"]["n"]), (21, 0, 21))
    here, there = run["e2e_s"]["p50"] * 1e3, statistics.median(line[3] for line in ours[3:])
    expect(0.9 * there <= here <= 3 * there + 1000, here, there)  # what the client sees is what the server took, and a little more
    expect_same([line[:3] for line in lines if line[1] == 20], [(200, 20, 1)] * scored["requests"]["done"])
    statuses = [line[0] for line in lines if line[1] == 13]
    expect(left["done"] + left["left"] == 30 and left["failed"] == 0 and left["left"] > 5, left)
    expect_same(statuses.count(200) + statuses.count(499), 30)  # who leaves in the last moment may have had all of it
    expect(statuses.count(200) >= left["done"] and statuses.count(499) > 0, statuses, left)


@case
def gaps_of_a_model_without_a_tokenizer(t):
    with t.serve(model=t.source_dir / "tests/model/golden/lora/models/f32") as server:
        vocab = server.call("GET", "/tfrun/v1/info").json["vocab_size"]
        events = server.events(prompt=[1, 2], max_tokens=5, ignore_eos=True, return_token_ids=True)
        expect_same([len(event["choices"][0]["token_ids"]) for event in events], [1] * 5)
        run = load(t, server, "--clients", 1, "--requests", 3, "--warmup", 0, "--prompt-tokens", 3, "--output-tokens", 6, "--json", "-q")
        expect_same((run["requests"]["done"], run["itl_s"]["n"], vocab > 3), (3, 3 * 5, True))


@case
def who_is_too_many_is_refused(t):
    with t.serve("--max-batch", 1, "--max-queue", 1) as server:
        run = load(t, server, "--rate", 200, "--requests", 40, "--warmup", 0, *SHORT)
        server.end()
        lines = [re.search(r"POST /v1/completions (\d+) ([0-9.]+) ms", line) for line in server.lines()]
    ms = {status: [float(line[2]) for line in lines if line and line[1] == status] for status in ("200", "429")}
    counts = run["requests"]
    expect(counts["refused"] > 0 and counts["failed"] == 0 and counts["done"] + counts["refused"] == 40, counts)
    expect_same((len(ms["200"]), len(ms["429"]), run["refusal_s"]["n"]), (counts["done"], counts["refused"], counts["refused"]))
    # A refusal waits for no step: it costs a part of what an answer of six tokens takes, however fast the machine is.
    expect(statistics.median(ms["429"]) < statistics.median(ms["200"]) / 2, ms)


if __name__ == "__main__":
    sys.exit(main(Setting))
