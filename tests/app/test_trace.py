#!/usr/bin/env python3
"""test_trace.py TFRUN NAME SOURCE_DIR [MPIEXEC]: the file of --trace, against what was run and what was planned."""
import collections
import json
import re
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main

PROMPT = "Once upon a time there was"
N_TOKENS = 5  # one step for the prompt, then one for each token but the last


def strict(text):
    """JSON as its standard has it: no NaN, no key twice."""
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    def unique(pairs):
        expect(len(dict(pairs)) == len(pairs), "a key stands twice", pairs)
        return dict(pairs)
    return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)


class Tracer:
    def __init__(self, program, source_dir, folder):
        self.program, self.demo = program, source_dir / "configs" / "demo"
        self.file = folder / "trace.json"
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None

    def run(self, *arguments, code=0, ranks=0):
        launcher = [self.mpiexec, "-n", str(ranks)] if ranks else []
        command = [*launcher, self.program, self.demo, "-p", PROMPT, "-n", N_TOKENS, "--temperature", 0, "--json", *arguments]
        ran = subprocess.run([str(word) for word in command], capture_output=True, timeout=120 * SLOWER)
        expect(ran.returncode == code, ran.returncode, "is not exit code", code, ran.stderr.decode())
        return ran

    def events(self, *arguments, **keywords):
        self.digest = json.loads(self.run("--trace", self.file, *arguments, **keywords).stdout)["logits_digest"]
        return strict(self.file.read_text())["traceEvents"]

    def planned(self, rows):
        ran = subprocess.run([str(self.program), "plan", str(self.demo), "--rows", str(rows), "--json", "--threads", "2"],
                             capture_output=True, timeout=120 * SLOWER, check=True)
        plan = json.loads(ran.stdout)
        return {task["node"]: task["kernel"] for task in plan["ranks"][0]["tasks"]}


def of_phase(events, phase, kind=None):
    return [event for event in events if event["ph"] == phase and kind in (None, event.get("cat"))]


def names(events, what):
    return {(event["pid"], event["tid"]): event["args"]["name"] for event in of_phase(events, "M") if event["name"] == what}


@case
def every_task_of_every_step_is_there(tracer):
    events = tracer.events("--threads", 2)
    tasks = of_phase(events, "X")
    expect_same({event["pid"] for event in events}, {0})
    expect_same({event["tid"] for event in tasks}, {0, 1})
    expect_same({event["args"]["run"] for event in tasks}, set(range(1, N_TOKENS + 1)))
    decode = [event for event in tasks if event["args"]["run"] == 2]
    expect_same({event["name"]: event["args"]["kernel"] for event in decode}, tracer.planned(1))
    counts = collections.Counter(event["name"] for event in decode)
    expect_same(counts["lm_head"], 2)  # both threads
    expect_same(counts["h.0.ln_1"], 1)  # one row: the master alone
    for event in tasks:
        expect(event["dur"] >= 0 and event["ts"] >= 0 and event["args"]["predicted_us"] > 0, event)


@case
def tasks_of_a_thread_do_not_overlap(tracer):
    tasks = sorted((event["tid"], event["ts"], event["dur"]) for event in of_phase(tracer.events("--threads", 2), "X"))
    for (thread, start, length), (next_thread, next_start, _) in zip(tasks, tasks[1:]):
        expect(thread != next_thread or start + length <= next_start + 0.002, thread, start, length, next_start)


@case
def a_trace_changes_no_bit(tracer):
    tracer.events()
    expect_same(json.loads(tracer.run().stdout)["logits_digest"], tracer.digest)


@case
def an_existing_file_is_kept(tracer):
    tracer.file.write_text("mine")
    ran = tracer.run("--trace", tracer.file, code=2)
    expect_same(ran.stdout, b"")
    expect(b"--force" in ran.stderr, ran.stderr)
    expect_same(tracer.file.read_text(), "mine")
    expect(tracer.events("--force"), "no events")


@case
def a_folder_that_is_not_there_is_refused_before_the_work(tracer):
    ran = tracer.run("--trace", tracer.file / "nowhere" / "trace.json", code=5)
    expect_same(ran.stdout, b"")


def check_arrows(events):
    """Every message is an arrow from its send to its recv."""
    starts, ends = ({event["id"]: event for event in of_phase(events, phase)} for phase in "sf")
    expect_same(len(starts), len(of_phase(events, "s")))
    expect_same(len(ends), len(of_phase(events, "f")))
    expect_same(starts.keys(), ends.keys())
    expect_same(len(starts), 3 * N_TOKENS)
    spans = collections.defaultdict(list)
    for event in of_phase(events, "X"):
        spans[event["pid"], event["tid"]].append(event)
    for track in spans.values():  # a viewer nests what overlaps: nothing does
        track.sort(key=lambda event: event["ts"])
        for one, other in zip(track, track[1:]):
            expect(one["ts"] + one["dur"] <= other["ts"] + 0.002, one, other)
    tracks = names(events, "thread_name")
    for name, start in starts.items():
        end = ends[name]
        expect(start["pid"] != end["pid"] and start["ts"] <= end["ts"], start, end)
        for event, word in ((start, "send."), (end, "recv.")):
            held = [span for span in spans[event["pid"], event["tid"]]
                    if span["ts"] <= event["ts"] <= span["ts"] + span["dur"] and span["name"].startswith(word)]
            expect_same(len(held), 1)
            expect_same(tracks[event["pid"], event["tid"]], "messages")
        run, tag, one, other = map(int, re.fullmatch(r"run (\d+), tag (\d+), rank (\d) to (\d)", name).groups())
        expect_same((one, other), (start["pid"], end["pid"]))
        expect(1 <= run <= N_TOKENS and tag > 0, name)


@case
def ranks_are_processes_and_messages_are_spans(tracer):
    if not tracer.mpiexec:
        sys.exit(77)
    events = tracer.events(ranks=3)
    expect_same(names(events, "process_name"), {(0, 0): "rank 0", (1, 0): "rank 1", (2, 0): "rank 2"})
    messages = of_phase(events, "X", "message")
    sent = sum(event["name"].startswith("send") for event in messages)
    received = sum(event["name"].startswith("recv") for event in messages)
    check_arrows(events)
    expect_same(sent, received)
    expect_same(sent, 3 * N_TOKENS)  # 0 to 1, 1 to 2, and back to lm_head
    expect_same({event["args"]["runs"] for event in of_phase(events, "C")}, {0, 1})
    blocks = collections.defaultdict(set)
    for event in of_phase(events, "X"):
        if event["name"].startswith("h."):
            blocks[event["name"].split(".")[1]].add(event["pid"])
    expect_same({len(ranks) for ranks in blocks.values()}, {1})  # a block has one owner
    last = {pid: max(event["ts"] for event in of_phase(events, "X") if event["pid"] == pid) for pid in range(3)}
    expect(last[0] > last[2] > last[1], "one clock", last)


@case
def messages_of_replicas_find_each_other(tracer):
    """Though a rank of one replica runs no step of another."""
    if not tracer.mpiexec:
        sys.exit(77)
    events = tracer.events("--replicas", 2, "-p", "The", "-p", "She", ranks=4)
    starts, ends = ({event["id"] for event in of_phase(events, phase)} for phase in "sf")
    expect_same(starts, ends)
    expect_same(len(starts), len(of_phase(events, "s")))
    senders = {event["pid"] for event in of_phase(events, "s")}
    expect_same(senders, {0, 1, 2, 3})


@case
def threads_and_messages_have_named_tracks(tracer):
    tracks = names(tracer.events("--threads", 2), "thread_name")
    expect_same(tracks, {(0, 0): "thread 0", (0, 1): "thread 1"})


@case
def runs_of_a_model_and_its_assistant_have_numbers_of_their_own(tracer):
    events = tracer.events("--threads", 2, "--assistant", tracer.demo)
    tasks, rows = of_phase(events, "X"), collections.defaultdict(set)
    stamps = collections.Counter((event["args"]["run"], event["tid"], event["name"]) for event in tasks)
    expect_same(set(stamps.values()), {1})  # one model, twice: its tasks have the same names
    models = collections.defaultdict(set)
    for event in tasks:
        models[event["args"]["run"]].add(event["args"].get("model"))
        if "model" not in event["args"]:
            rows[event["args"]["run"]].add(event["args"]["rows"])
    expect_same(set(models), set(range(1, len(models) + 1)))
    expect_same({frozenset(of_run) for of_run in models.values()}, {frozenset({None}), frozenset({"assistant"})})
    expect_same({event["name"] for event in of_phase(events, "C")}, {"runs in flight", "runs in flight of the assistant"})
    steps = collections.Counter(max(of_run) for of_run in rows.values())  # of the model alone
    for n_rows, n_steps in steps.items():
        ran = subprocess.run([str(tracer.program), "graph", str(tracer.demo), "--measured", str(tracer.file), "--rows", str(n_rows), "--json"],
                             capture_output=True, timeout=120 * SLOWER, check=True)
        expect_same(json.loads(ran.stdout)["panels"][0]["totals"]["measured_steps"], n_steps)


if __name__ == "__main__":
    sys.exit(main(Tracer))
