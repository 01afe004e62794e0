#!/usr/bin/env python3
"""test_load.py TFRUN NAME SOURCE_DIR: `tfrun load` against a stand-in whose pace is known, and against the engine in process."""
import json
import os
import re
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree

from cases import SLOWER, case, expect, expect_same, main
from standin import StandIn


class Loader:
    def __init__(self, program, source_dir, folder):
        self.program, self.demo, self.folder = program, source_dir / "configs" / "demo", folder

    def run(self, *words, code=0, **environment):
        ran = subprocess.run([str(word) for word in (self.program, "load", *words)], capture_output=True, timeout=120 * SLOWER,
                             env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache"), **environment})
        expect(ran.returncode == code, ran.returncode, "is not exit code", code, ran.stdout.decode(), ran.stderr.decode())
        return ran.stdout.decode(), ran.stderr.decode()

    def json(self, *words, code=0):
        """The document, and what its runs measured."""
        made = json.loads(self.run(*words, "--json", code=code)[0])
        expect_same(made["schema"], "tfrun-load-1")
        return made["runs"]


SHORT = ("--prompt-tokens", 5, "--output-tokens", 8)


@case
def closed_loops_keep_their_clients_busy(loader):
    with StandIn() as server:
        runs = loader.json(server.url, "--clients", "1,3", "--requests", 12, *SHORT)
    expect_same([(run["kind"], run["clients"], run["requests"]["done"]) for run in runs], [("closed", 1, 12), ("closed", 3, 12)])
    expect_same(server.requests, (1 + 12) + (3 + 12))  # as many as clients to warm up
    expect_same(server.most_at_once, 3)
    expect(server.connections <= 2 + 1 + 3, server.connections, "connections: they are kept")
    for run in runs:
        expect(run["ttft_s"]["min"] >= 0.02 and run["itl_s"]["max"] > 0, run)
        expect(run["itl_s"]["n"] == 12 * 7 and run["ttft_s"]["n"] == 12, run)
        expect(0.004 < run["tpot_s"]["p50"] < 0.1 and run["e2e_s"]["min"] >= 0.02 + 7 * 0.005, run)
    first, third = runs
    expect(third["output_tokens_per_s"] > 1.5 * first["output_tokens_per_s"], first, third)
    # in the steady window all clients are busy: their number is rate times time in the system
    expect(0.7 < first["requests_per_s"] * first["e2e_s"]["mean"] < 1.2, first)


@case
def what_is_sent_is_what_was_asked_for(loader):
    with StandIn() as server:
        loader.run(server.url, "--clients", 1, "--requests", 4, "--warmup", 0, "--prompt-tokens", "3-6", "--output-tokens", 2)
        prompts = [body["prompt"] for body in server.bodies]
        expect(all(3 <= len(prompt) <= 6 for prompt in prompts), prompts)
        expect_same(len({tuple(prompt) for prompt in prompts}), 4)
        body = {key: value for key, value in server.bodies[0].items() if key != "prompt"}
        expect_same(body, {"model": "stand-in", "max_tokens": 2, "temperature": 0, "ignore_eos": True, "stream": True,
                           "stream_options": {"include_usage": True}})
        del server.bodies[:]
        again = ("--clients", 1, "--requests", 4, "--warmup", 0, "--prompt-tokens", 9, "--output-tokens", 1)
        for words in (("--shared-prefix", 5), ("--same-prompts",), ("--as-text",), ("--seed", 2)):
            loader.run(server.url, *again, *words)
        sent = [body["prompt"] for body in server.bodies]
        expect_same(len({tuple(prompt[:5]) for prompt in sent[:4]}), 1)
        expect_same(len({tuple(prompt) for prompt in sent[:4]}), 4)
        expect_same(len({tuple(prompt) for prompt in sent[4:8]}), 1)
        expect(all(len(text.split()) == 9 and text[0] != " " for text in sent[8:12]), sent[8:12])
        expect(not {tuple(prompt) for prompt in sent[12:]} & {tuple(prompt) for prompt in prompts}, "another seed, other prompts")


@case
def an_open_loop_waits_for_nobody(loader):
    with StandIn(first_s=0.4) as server:
        [run] = loader.json(server.url, "--rate", 25, "--arrivals", "constant", "--requests", 12, "--warmup", 0, *SHORT)
    expect(server.most_at_once >= 8, server.most_at_once, "at once: arrivals do not wait for answers")
    gaps = [b - a for a, b in zip(server.arrived, server.arrived[1:])]
    expect(abs(sum(gaps) / len(gaps) - 0.04) < 0.01, gaps)
    expect(run["ttft_s"]["min"] >= 0.4 and run["requests"]["done"] == 12 and run["rate"] == 25, run)


@case
def time_or_number_end_a_run(loader):
    with StandIn(first_s=0.01, gap_s=0.002) as server:
        words = (server.url, "--clients", 2, "--warmup", 2, *SHORT)
        [by_time] = loader.json(*words, "--seconds", 0.5)
        [by_number] = loader.json(*words, "--seconds", 60, "--requests", 10)
        expect(abs(by_time["window_s"] - 0.5) < 1e-6 and by_time["requests"]["done"] > 10, by_time)
        expect(by_number["window_s"] < 5 and by_number["requests"]["done"] == 10, by_number)


@case
def a_trace_is_played(loader):
    trace = loader.folder / "trace.csv"
    trace.write_text("ms,prompt,output\n0,3,2\n0,4,1\n200,5,3\n")
    with StandIn() as server:
        made = json.loads(loader.run(server.url, "--trace-in", trace, "--json")[0])
    [run], told = made["runs"], made["workload"]
    expect_same((run["kind"], run["requests"]["done"]), ("trace", 3))
    expect_same((told["prompt_tokens"], told["output_tokens"]), ([3, 5], [1, 3]))
    expect_same([(len(body["prompt"]), body["max_tokens"]) for body in sorted(server.bodies, key=lambda b: len(b["prompt"]))],
                [(3, 2), (4, 1), (5, 3)])
    expect(0.15 < server.arrived[2] - server.arrived[0] < 0.4, server.arrived)


@case
def a_sweep_goes_up_to_the_capacity(loader):
    picture = loader.folder / "sweep.svg"
    with StandIn(first_s=0.01, gap_s=0.001) as server:
        made = json.loads(loader.run(server.url, "--sweep", "--clients", 2, "--percents", "50,100", "--requests", 10, "--warmup", 1,
                                     "--json", "--svg", picture, *SHORT)[0])
    capacity, runs = made["capacity_requests_per_s"], made["runs"]
    expect_same([run["kind"] for run in runs], ["closed", "poisson", "poisson"])
    expect_same([run.get("percent_of_capacity") for run in runs], [None, 50, 100])
    expect(abs(runs[1]["rate"] - capacity / 2) < 1e-6 * capacity, runs[1])
    root = xml.etree.ElementTree.parse(picture).getroot()
    space = "{http://www.w3.org/2000/svg}"
    expect_same(len(root.findall(f"{space}polyline")), 5)
    expect_same(len(root.findall(f"{space}circle")), 5 * 2)  # of the open loops
    expect("prefers-color-scheme:dark" in root.find(f"{space}style").text, "no colours for the dark")


@case
def refusals_are_an_answer_unless_there_is_no_other(loader):
    with StandIn("refuse_second", first_s=0.001, gap_s=0) as server:
        [run] = loader.json(server.url, "--rate", 100, "--requests", 20, "--warmup", 0, *SHORT)
    expect_same((run["requests"]["done"], run["requests"]["refused"], run["requests"]["failed"]), (10, 10, 0))
    expect(run["refusal_s"]["n"] == 10 and 0 < run["refusal_s"]["p50"] < 0.5, run)
    with StandIn("refuse_all") as server:
        expect("every request was refused" in loader.run(server.url, "--rate", 100, "--requests", 3, code=1)[1], "no word")


@case
def what_is_wrong_is_a_failure_with_words(loader):
    for mode, words in (("no_done", "without [DONE]"), ("no_reason", "without a finish_reason"), ("bad_chunk", "longer than its size"),
                        ("cut", "inside of the reply"), ("too_few", "7 tokens in place of 8"), ("error_event", "out of oil"),
                        ("not_json", "event:1:"), ("html", "no event stream"), ("error_400", "status 400: the server says: it has no"),
                        ("whole", "no event stream")):
        with StandIn(mode, first_s=0.001, gap_s=0.001) as server:
            out, err = loader.run(server.url, "--clients", 1, "--requests", 2, "--warmup", 0, *SHORT, code=1)
            expect(words in err and words in out and "2 requests failed" in err, mode, err, out)
            expect_same((mode, "--vocab-size N" in err), (mode, mode == "error_400"))


@case
def words_of_a_server_do_not_steer_the_terminal(loader):
    with StandIn("steers", first_s=0.001) as server:
        out, err = loader.run(server.url, "--clients", 1, "--requests", 2, "--warmup", 0, *SHORT, code=1)
    expect("m" * 600 in out, "the name was cut", out)
    expect("the server says: ?]0;t??tfrun: all is well" in err and "the server says: ?]0;t" in out, out, err)
    for text in out, err:
        expect(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]|^tfrun: all", text, re.M), text)


@case
def a_request_without_an_end_fails_in_time(loader):
    with StandIn("hangs", first_s=0.001, gap_s=0.001) as server:
        _, err = loader.run(server.url, "--clients", 2, "--requests", 3, "--warmup", 0, "--timeout", 0.3, *SHORT, code=1)
    expect("3 requests failed" in err and "no end within 0.3 s" in err, err)


@case
def a_server_that_ends_texts_early_is_told(loader):
    with StandIn("stops_early", first_s=0.001, gap_s=0.001) as server:
        out, _ = loader.run(server.url, "--clients", 1, "--requests", 3, "--warmup", 0, *SHORT)
        expect("3 ended before as many tokens as were asked for" in out, out)
    with StandIn("no_usage", first_s=0.001, gap_s=0.001) as server:  # then events are counted
        [run] = loader.json(server.url, "--clients", 1, "--requests", 3, "--warmup", 0, *SHORT)
        expect_same(run["requests"]["done"], 3)


@case
def a_kept_connection_that_closed_is_opened_again(loader):
    with StandIn("close_quietly", first_s=0.001, gap_s=0.001) as server:
        [run] = loader.json(server.url, "--clients", 2, "--requests", 12, *SHORT)
    expect_same((run["requests"]["done"], run["requests"]["failed"]), (12, 0))


@case
def a_connection_that_ends_with_the_reply_is_not_used_again(loader):
    with StandIn("half_closes", first_s=0.001, gap_s=0.001) as server:
        [run] = loader.json(server.url, "--clients", 2, "--requests", 12, *SHORT)
    expect_same((run["requests"]["done"], run["requests"]["failed"]), (12, 0))


@case
def a_picture_is_well_formed_whatever_the_model_is_called(loader):
    picture = loader.folder / "names.svg"
    with StandIn(first_s=0.001, gap_s=0.001) as server:
        name = os.fsdecode(b"caf\xc3\xa9 <&'> \xff \xe2\x82 \xef\xbf\xbe")
        loader.run(server.url, "--clients", 1, "--requests", 2, "--model", name, "--json", "--svg", picture, *SHORT)
    title = xml.etree.ElementTree.parse(picture).getroot().find("{http://www.w3.org/2000/svg}text").text
    expect_same(title, "caf\u00e9 <&'> \ufffd \ufffd \ufffd")


@case
def some_leave_when_they_are_to(loader):
    with StandIn(first_s=0.03, gap_s=0.01) as server:
        [run] = loader.json(server.url, "--clients", 4, "--requests", 40, "--warmup", 0, "--disconnect", 0.5, "--prompt-tokens", 4,
                            "--output-tokens", 12)
        counts = run["requests"]
        expect(counts["done"] + counts["left"] == 40 and 8 <= counts["left"] <= 32 and counts["failed"] == 0, counts)
        for _ in range(100):  # its writes fail a little later
            if server.closed_early >= counts["left"] // 2:
                break
            time.sleep(0.02)
        expect(server.closed_early >= counts["left"] // 2, server.closed_early, counts)


@case
def good_requests_are_those_within_the_slo(loader):
    with StandIn(first_s=0.05, gap_s=0.01) as server:
        for slo, share in (("ttft=5s,itl=2s", 1), ("ttft=20ms", 0), ("itl=3ms", 0), ("e2e=30s,tpot=1ms", 0)):
            [run] = loader.json(server.url, "--clients", 2, "--requests", 8, "--slo", slo, *SHORT)
            expect_same(run["requests"]["good"], 8 * share)
            expect((run["good_requests_per_s"] > 0) == (share > 0), run)
        expect("good/s" in loader.run(server.url, "--clients", 1, "--requests", 1, "--slo", "ttft=9s", *SHORT)[0], "no column")


@case
def scored_prompts_are_asked_as_a_harness_asks(loader):
    with StandIn() as server:
        [run] = loader.json(server.url, "--clients", 1, "--requests", 3, "--warmup", 0, "--scoring", "--prompt-tokens", 7)
    body = server.bodies[0]
    expect((body["echo"], body["logprobs"], body["max_tokens"], len(body["prompt"])) == (True, 1, 1, 7), body)
    expect(run["requests"]["done"] == 3 and run["itl_s"]["n"] == 0, run)


@case
def a_victim_decodes_while_prompts_arrive(loader):
    with StandIn(first_s=0.05, gap_s=0.002) as server:
        [run] = loader.json(server.url, "--victim", "--requests", 3, "--prompt-tokens", 40, "--output-tokens", 4)
    expect_same(run["requests"]["done"], 3)
    expect_same(sorted(len(body["prompt"]) for body in server.bodies), [16, 40, 40, 40])
    expect(run["itl_alone_s"]["n"] >= 99 and run["itl_s"]["n"] >= 10 and run["ttft_s"]["n"] == 3, run)


@case
def a_victim_that_is_refused_ends_the_run(loader):
    with StandIn("refuse_all") as server:
        _, err = loader.run(server.url, "--victim", "--requests", 3, "--prompt-tokens", 40, "--output-tokens", 4, code=1)
    expect("1 request failed" in err and "the victim, which has to run beside the prompts, was refused" in err, err)
    expect_same(server.requests, 1)


@case
def a_key_comes_from_the_environment(loader):
    with StandIn(key="s3cret") as server:
        words = (server.url, "--clients", 1, "--requests", 1, *SHORT)
        expect("--api-key-env" in loader.run(*words, code=1)[1], "no fix")
        expect("no variable TFRUN_NO_KEY" in loader.run(*words, "--api-key-env", "TFRUN_NO_KEY", code=2)[1], "no word")
        out, err = loader.run(*words, "--api-key-env", "KEY_OF_TEST", KEY_OF_TEST="s3cret")
        expect("s3cret" not in out + err and "closed" in out, out, err)


@case
def a_name_of_several_addresses_is_tried_at_each(loader):
    with StandIn() as server:  # at 127.0.0.1 alone, where localhost may be ::1 first
        url = server.url.replace("127.0.0.1", "localhost")
        expect_same(loader.json(url, "--clients", 1, "--requests", 2, *SHORT)[0]["requests"]["done"], 2)


@case
def a_socket_file_will_do(loader):
    path = str(loader.folder / "socket")
    with StandIn(family=socket.AF_UNIX, path=path) as server:
        expect_same(loader.json(server.url, "--clients", 1, "--requests", 2, *SHORT)[0]["requests"]["done"], 2)


@case
def nobody_there_is_a_missing_resource(loader):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]  # bound, not listening
        out, err = loader.run(f"http://127.0.0.1:{port}", code=5)
    expect(out == "" and err.count("\n") == 1 and "tfrun serve" in err and "Connection refused" in err, out, err)


@case
def bad_words_are_refused_before_anything_is_sent(loader):
    for words, told in (((), "give a server"), (("nonsense",), "is no server's address"), (("https://host:1",), "no TLS"),
                        (("http://h:1", "--clients", "0"), "list of whole numbers in 1..1024"),
                        (("http://h:1", "--clients", "1,,2"), "list of whole numbers"), (("http://h:1", "--rate", "0"), "list of numbers"),
                        (("http://h:1", "--prompt-tokens", "9-3"), "MIN-MAX"), (("http://h:1", "--slo", "ttft=5"), "with s or ms"), (("http://h:1", "--slo", "ttft=0.0000001ms"), "with s or ms"),
                        (("http://h:1", "--slo", "speed=5s"), "of ttft, itl, tpot and e2e"), (("http://h:1", "--rate", "2", "--sweep"), "give one"),
                        (("http://h:1", "--rate", "2", "--clients", "2"), "closed loop"), (("http://h:1", "--percents", "5"), "give --sweep"),
                        (("http://h:1", "--arrivals", "constant"), "give --rate"),
                        (("http://h:1", "--rate", "1", "--arrivals", "sudden"), "neither poisson nor constant"),
                        (("http://h:1", "--victim", "--whole"), "a victim has a stream"),
                        (("http://h:1", "--scoring", "--output-tokens", "3"), "no new tokens"), (("http://h:1", "--dtype", "bf16"), "tfrun serve"),
                        (("http://h:1", "--disconnect", "1.5"), "0..1"), (("http://h:1", "--same-prompts", "--shared-prefix", "3"), "give one"),
                        (("http://h:1", "--victim", "--clients", "1,2"), "one number of --clients"),
                        (("http://h:1", "--whole", "--slo", "ttft=1s,itl=1s"), "comes whole"),
                        (("http://h:1", "--scoring", "--slo", "tpot=1s"), "comes whole"),
                        (("http://h:1", "--as-text", "--vocab-size", "9"), "leave --vocab-size out"),
                        (("--in-process", loader.demo, "--as-text"), "beside --in-process"),
                        (("--in-process", loader.demo, "--prompt-tokens", "9999"), "positions")):
        out, err = loader.run(*words, code=2)
        expect(out == "" and told in err and err.count("\n") == 1, words, err)
    trace = loader.folder / "trace"
    trace.write_text("5 1 1\n1 1 1\n")
    expect("trace:2: its time is before" in loader.run("http://h:1", "--trace-in", trace, code=2)[1], "no line")
    trace.write_bytes(b"0 1 1\n1 1 1\n\0 1 1\n")
    expect("byte 13 is NUL" in loader.run("http://h:1", "--trace-in", trace, code=2)[1], "what is behind it would be passed over")
    trace.write_text("5 1 1\n6 1 1\n")
    expect("has 2 requests, and none would count" in loader.run("http://h:1", "--trace-in", trace, "--warmup", 2, code=2)[1], "no word")


@case
def results_are_complete_or_not_there(loader):
    with StandIn() as server:
        path = loader.folder / "result.json"
        words = (server.url, "--clients", 1, "--requests", 1, "--json", "--output", path, *SHORT)
        expect_same(loader.run(*words)[0], "")
        expect_same(json.loads(path.read_text())["runs"][0]["requests"]["done"], 1)
        had = server.requests
        expect("--force" in loader.run(*words, code=2)[1] and server.requests == had, "an existing file is refused before the work")
        loader.run(*words, "--force")


@case
def the_engine_alone_takes_the_same_load(loader):
    words = ("--in-process", loader.demo, "--clients", "1,3", "--requests", 6, *SHORT)
    for run in loader.json(*words):
        expect_same((run["requests"]["done"], run["requests"]["failed"], run["itl_s"]["n"]), (6, 0, 6 * 7))
        expect(run["output_tokens_per_s"] > 0 and run["own_cpu_share"] < 1, run)
    for words in (("--rate", 50, "--disconnect", 0.5, "--output-tokens", 8), ("--clients", 2, "--scoring")):
        [run] = loader.json("--in-process", loader.demo, "--requests", 6, "--warmup", 0, "--prompt-tokens", 5, *words)
        counts = run["requests"]
        expect(counts["done"] + counts["left"] == 6 and counts["failed"] == 0, counts)


@case
def the_table_says_what_the_document_says(loader):
    with StandIn() as server:
        out, err = loader.run(server.url, "--clients", 2, "--requests", 5, *SHORT)
    row = next(line for line in out.splitlines() if line.startswith("closed"))
    expect_same(row.split()[1:3], ["2", "5"])
    expect("stand-in" in out and "5 of" not in err and max(len(line) for line in out.splitlines()) <= 140, out)


if __name__ == "__main__":
    sys.exit(main(Loader))
