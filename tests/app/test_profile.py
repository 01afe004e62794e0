#!/usr/bin/env python3
"""test_profile.py TFRUN NAME SOURCE_DIR [MPIEXEC]: calibrate and profile from outside; what no calibration may change."""
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from cases import SLOWER, case, expect, expect_same, main


class Profiler:
    def __init__(self, program, source_dir, folder):
        self.program, self.demo, self.folder = program, source_dir / "configs" / "demo", folder
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None

    def run(self, *words, code=0, ranks=0, **environment):
        launcher = [self.mpiexec, "-n", str(ranks)] if ranks else []
        ran = subprocess.run([str(word) for word in (*launcher, self.program, *words)], capture_output=True, timeout=200 * SLOWER,
                             env={**self.environment, **environment})
        expect(ran.returncode == code, ran.returncode, "is not exit code", code, ran.stderr.decode())
        return ran.stdout.decode(), ran.stderr.decode()

    def calibrate(self, *words):
        """The quick one of a small model: where it is, what is in it."""
        path = self.run("calibrate", self.demo, "--quick", "--quiet", "--threads", 1, *words)[0].strip()
        with open(path) as file:
            return path, json.load(file)

    def profile(self, *words, **keywords):
        short = ("--prompt-tokens", 5, "--context", 3, "--reps", 2, "--threads", 1)
        return self.run("profile", self.demo, *short, *words, **keywords)[0]


@case
def a_calibration_is_written_and_shown(profiler):
    out, told = profiler.run("calibrate", profiler.demo, "--quick", "--threads", 1, "--no-lossless")
    expect("each of int8, int8w and int4 takes as long" in told and "profile --calibration FILE" in told, told)
    path = out.strip()
    made = json.loads(open(path).read())
    expect(path.startswith(str(profiler.folder / "cache" / "tfrun" / "calibration-")) and path.endswith("-1t.json"), path)
    expect_same(made["schema"], "tfrun-calibration-2")
    expect_same(os.listdir(profiler.folder / "cache" / "tfrun"), [os.path.basename(path)])  # nothing half-written
    expect(any(kernel["kernel"].startswith("linear.bf16") for kernel in made["kernels"]), "bf16 was measured too")
    expect(any(kernel["kernel"].startswith("linear.f32") for kernel in made["kernels"]), "f32 was measured too")
    expect(all(rate["all_cores"] > 0 and rate["one_core"] > 0 for rate in made["roofs"]["flops"]), made["roofs"]["flops"])
    expect(made["conditions"]["hugepages"].startswith("try, ") and "ref 0.1.0 (" in made["conditions"]["plugins"], made["conditions"])
    shown = profiler.run("calibrate", "--show", "--threads", 1)[0]
    expect(f"hugepages {made['conditions']['hugepages']}\n" in shown and f"plugins  {made['conditions']['plugins']}\n" in shown, shown)
    expect("GFLOP/s" in shown and " old" in shown and path in shown, shown)
    expect_same(json.loads(profiler.run("calibrate", "--show", "--json", "--threads", 1)[0]), made)


@case
def what_is_no_calibration_is_not_overwritten(profiler):
    other = profiler.folder / "notes.txt"
    other.write_text("precious")
    said = profiler.run("calibrate", profiler.demo, "--quick", "--threads", 1, "--file", other, code=2)[1]
    expect(f"{other} exists and is no calibration" in said and said.count("\n") == 1, said)
    expect_same(other.read_text(), "precious")
    expect("is a folder; name a file in it" in profiler.run("calibrate", profiler.demo, "--quick", "-q", "--file", profiler.folder, code=2)[1], "no fix")
    for name, told, code in ((other / "below", f"{other} is no folder that can", 5), ("", "--file: the name is empty", 2)):  # before minutes of work
        expect(told in profiler.run("calibrate", profiler.demo, "-q", "--file", name, code=code)[1], name)
    old = profiler.folder / "old.json"  # of an earlier tfrun
    old.write_text('{"schema": "tfrun-calibration-1"}')
    said = profiler.run("calibrate", profiler.demo, "--quick", "--threads", 1, "--dtype", "f32", "--file", old)[1]
    expect(f"{old} was of another schema: links of ranks that it had are not kept" in said, said)
    expect_same(json.loads(old.read_text())["schema"], "tfrun-calibration-2")


@case
def without_a_calibration_there_is_none_to_show(profiler):
    expect("run `tfrun calibrate`" in profiler.run("calibrate", "--show", code=5)[1], "no fix")


@case
def forms_say_the_same(profiler):
    path, _ = profiler.calibrate("--dtype", "f32")
    made = json.loads(profiler.profile("--json"))
    expect_same(made["schema"], "tfrun-profile-1")
    expect(made["is_calibrated"] and path in made["calibration"], made["calibration"])
    for phase in ("prefill", "decode"):
        [rank] = made[phase]["ranks"]
        nodes = sum(node["measured_ns"] for node in made[phase]["nodes"])
        expect(abs(nodes + rank["between_ns"] - rank["step_ns"]) < 1e-6 * rank["step_ns"], phase, nodes, rank)
        expect(all(node["predicted_from"] == "shape" for node in made[phase]["nodes"]), made[phase]["nodes"])
    rows = list(csv.DictReader(io.StringIO(profiler.profile("--format", "csv"))))
    names = {node["name"] for node in made["decode"]["nodes"] if not node["name"].startswith("h.")}
    expect(names <= {row["name"] for row in rows if row["table"] == "node"}, names, rows)
    expect_same({row["phase"] for row in rows}, {"prefill", "decode"})
    expect("| `lm_head` |" in profiler.profile("--format", "md"), "no table")
    expect("tokens a second" in profiler.profile(), "no sums")


@case
def a_calibration_that_does_not_fit_is_told(profiler):
    path, made = profiler.calibrate("--dtype", "f32")
    made["conditions"]["host"] = "elsewhere"
    with open(path, "w") as file:
        json.dump(made, file)
    text = profiler.profile()
    expect("refused:" in text and "elsewhere" in text and "Nominal peaks" in text, text)
    expect("elsewhere" in profiler.run("profile", profiler.demo, "--calibration", path, "--threads", 1, code=4)[1], "not named")
    for broken, words in (("{", path), ('{"schema": "tfrun-calibration-1"}', "schema is tfrun-calibration-1, written by another tfrun")):
        with open(path, "w") as file:
            file.write(broken)
        text = profiler.profile()
        expect("refused:" in text and words in text, broken, text)
        expect(words in profiler.run("plan", profiler.demo, "--ranks", 2, "--threads", 1, "--net", "calibrated", code=5)[1], "the reason is not told")
        expect(words in profiler.run("plan", profiler.demo, "--ranks", 2, "--threads", 1, "--net", "25,10")[0], "the reason is not told")
    profiler.run("profile", profiler.demo, "--calibration", profiler.folder / "none.json", code=5)


@case
def no_calibration_changes_a_plan_or_a_bit(profiler):
    def answers():
        plan = profiler.run("plan", profiler.demo, "--json", "--rows", 64, "--threads", 1)[0]
        told = profiler.run(profiler.demo, "-p", "The sea", "-n", 4, "--temperature", 0, "--json", "--threads", 1)[0]
        return plan, json.loads(told)["logits_digest"]
    before = answers()
    path, made = profiler.calibrate("--dtype", "f32")
    for kernel in made["kernels"]:  # as if the chosen kernels were the slowest there are
        kernel["points"] = [[*point[:3], point[3] * 1e6, point[4]] for point in kernel["points"]]
    with open(path, "w") as file:
        json.dump(made, file)
    expect_same(answers(), before)


@case
def bad_words_are_usage(profiler):
    for words, told in [(("--format", "yaml"), "none of table, md, json, csv"), (("--seq", 3, "--prompt-tokens", 4), "give one"),
                        (("--no-decode", "--context", 4), "give one"), (("--batch", 0), "batch"), (("--seq", 100000), "positions")]:
        expect(told in profiler.run("profile", profiler.demo, *words, code=2)[1], words, told)
    expect("at most" in profiler.run("calibrate", profiler.demo, profiler.demo, code=2)[1], "two configs")
    expect("give --show" in profiler.run("calibrate", "--json", code=2)[1], "--json alone")
    for words, told in [(("--quick",), "leave --quick and --asleep out"), (("--dtype", "bf16"), "--dtype has no effect on it"),
                        (("--threads", 1, "--set", "runtime.isa=plain"), "runtime.isa has no effect on it"), (("--file", "f", "--threads", 1), "give one"),
                        ((profiler.demo,), "leave the config out")]:
        expect(told in profiler.run("calibrate", "--show", *words, code=2)[1], words, told)


@case
def a_disturbed_calibration_is_doubted(profiler):
    path, made = profiler.calibrate("--dtype", "f32", "--dtype", "bf16")  # the last one counts
    expect(not any(kernel["kernel"].startswith("linear.f32") for kernel in made["kernels"]), "f32 was measured")
    expect("waited_percent" in made["conditions"] and "doubts" in made, made["conditions"])
    made["conditions"]["waited_percent"] = 75
    made["roofs"]["bandwidth"][0]["all_cores"] = made["roofs"]["bandwidth"][0]["one_core"] / 1000  # the worst of all, whatever else ran
    with open(path, "w") as file:
        json.dump(made, file)
    shown = profiler.run("calibrate", "--show", "--threads", 1)[0]
    both = json.loads(profiler.run("calibrate", "--show", "--json", "--threads", 1)[0]), json.loads(profiler.profile("--json"))
    for doubts in (shown, profiler.profile(), *(text["doubts"] for text in both)):
        expect("waited for a core for 75 %" in doubts and "all threads read" in doubts, doubts)


@case
def what_can_be_refused_early_is(profiler):
    """Before weights are made, the model is read and anything is measured."""
    bare = profiler.folder / "bare.json"
    bare.write_text(json.dumps({"model_type": "gpt2", "vocab_size": 300, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}))
    for words, told, code in [(("--format", "xml"), "none of table", 2), (("--json", "--format", "csv"), "give one", 2),
                              (("--counters", "--format", "csv"), "--counters counts whole phases", 2),
                              (("--svg", profiler.folder / "a.svg"), "gnuplot-nox", 5)]:
        text = profiler.run("profile", bare, *words, PATH="/nowhere", code=code)[1]
        expect(told in text and "random" not in text, words, text)
    told = profiler.run("profile", bare, "--weights", profiler.folder / "typo.safetensors", code=5)[1]
    expect("typo.safetensors" in told and "random" not in told.replace("a random one", ""), told)


@case
def a_trace_and_a_profile_go_together(profiler):
    trace = profiler.folder / "trace.json"
    made = json.loads(profiler.profile("--json", "--trace", trace))
    names = {event["name"] for event in json.loads(trace.read_text())["traceEvents"] if event["ph"] == "X"}
    expect({node["name"] for node in made["decode"]["nodes"]} <= names, names)


def many_blocks(profiler, n_layer):
    folder = profiler.folder / f"blocks-{n_layer}"
    folder.mkdir()
    config = {"model_type": "gpt2", "vocab_size": 50, "n_positions": 512, "n_embd": 8, "n_layer": n_layer, "n_head": 1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@case
def no_task_is_missing_where_steps_and_blocks_are_many(profiler):
    folder, shape = many_blocks(profiler, 64), ("--seq", 512, "--max-rows", 8)
    made = json.loads(profiler.run("profile", folder, "--no-decode", "--reps", 1, "--json", "--threads", 1, *shape)[0])
    counted = json.loads(profiler.run("cost", folder, "--json", *shape)[0])["total"]["executed"]
    expect_same(sum(node["flops"] for node in made["prefill"]["nodes"]), counted["flops"])


@case
def steps_that_a_trace_cannot_hold_are_refused(profiler):
    folder, trace = many_blocks(profiler, 128), profiler.folder / "long.json"
    told = profiler.run("profile", folder, "--no-decode", "--reps", 1, "--threads", 1, "--seq", 512, "--max-rows", 8, "--trace",
                        trace, code=1)[1]
    expect("64 steps" in told and "--max-rows" in told, told)


@case
def what_ran_is_what_cost_counts(profiler):
    """FLOPs and bytes of the nodes that were profiled, against the executed ones of `tfrun cost`."""
    for shape, asked in [(("--prompt-tokens", 7, "--no-decode"), ("--seq", 7)),
                         (("--prompt-tokens", 0, "--context", 9), ("--phase", "decode", "--cache", 9))]:
        text = profiler.run("profile", profiler.demo, "--json", "--no-lossless", "--reps", 1, *shape)[0]
        [phase] = [value for key, value in json.loads(text).items() if key in ("prefill", "decode")]
        counted = json.loads(profiler.run("cost", profiler.demo, "--json", *asked)[0])["total"]["executed"]
        expect_same(sum(node["flops"] for node in phase["nodes"]), counted["flops"])
        expect_same(sum(node["bytes"] for node in phase["nodes"]), counted["bytes_read"] + counted["bytes_written"])


@case
def cost_measures_what_it_counts(profiler):
    text = profiler.run("cost", profiler.demo, "--seq", 5, "--measured")[0]
    expect("embed" in text and "prefill: 1 sequence, 5 tokens each" in text, text)
    expect("decode: 2 sequences with 3 cached" in profiler.run("cost", profiler.demo, "--phase", "decode", "--cache", 3, "--batch", 2,
                                                              "--measured")[0], "no decode step")
    for words, told in [(("--seq", "3,4"), "lists"), (("--seq", 3, "--cache", 4), "--phase decode"), (("--json",), "tfrun profile"),
                        (("--ranks", 2), "one rank"), (("--head", "qa"), "--head"), (("--logits", "all"), "--logits"),
                        (("--level", "line"), "--level"), (("--form", "symbolic"), "--form"), (("--stored", "bf16"), "--stored")]:
        expect(told in profiler.run("cost", profiler.demo, "--measured", *words, code=2)[1], words)


@case
def a_model_without_weights_gets_random_ones(profiler):
    folder = profiler.folder / "bare"
    folder.mkdir()
    small = {"model_type": "gpt2", "vocab_size": 300, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
    (folder / "config.json").write_text(json.dumps(small))
    temporary = profiler.folder / "temporary"
    temporary.mkdir()
    text, told = profiler.run("profile", folder, "--reps", 1, TMPDIR=str(temporary))
    expect("has no weights: random ones" in told and "2 blocks of 32" in text, told)
    expect_same(os.listdir(folder), ["config.json"])
    expect_same(os.listdir(temporary), [])


@case
def a_signal_leaves_no_weights_behind(profiler):
    config, temporary = profiler.folder / "large.json", profiler.folder / "interrupted"
    config.write_text(json.dumps({"model_type": "gpt2", "vocab_size": 20000, "n_positions": 64, "n_embd": 256, "n_layer": 4, "n_head": 4}))
    temporary.mkdir()
    with subprocess.Popen([profiler.program, "profile", config, "--reps", "900"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**profiler.environment, "TMPDIR": str(temporary)}) as running:
        while not os.listdir(temporary):  # as soon as there is something to leave behind
            expect(running.poll() is None, "ended before it began")
            time.sleep(0.002)
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=100 * SLOWER)
    expect_same(running.returncode, 130)
    expect_same(os.listdir(temporary), [])
    expect("stopped" in told.decode(), told)


@case
def a_picture_is_for_light_and_dark(profiler):
    if shutil.which("gnuplot") is None:
        sys.exit(77)
    picture = profiler.folder / "roof.svg"
    profiler.profile("--svg", picture)
    svg = picture.read_text()
    expect(svg.rstrip().endswith("</svg>") and "prefers-color-scheme: dark" in svg, svg[:300])
    for word in ("attention f32 attention", "memory", "GFLOP/s", "prefill of 5 rows", "decode of 1 row behind 3 positions"):
        expect(word in svg, word)


@case
def a_picture_needs_gnuplot(profiler):
    text = profiler.run("profile", profiler.demo, "--svg", profiler.folder / "roof.svg", "--reps", 1, PATH="/nowhere", code=5)[1]
    expect("gnuplot" in text and "install" in text, text)
    expect(not (profiler.folder / "roof.svg").exists(), "a picture without gnuplot")


@case
def ranks_wait_for_messages(profiler):
    if profiler.mpiexec is None:
        sys.exit(77)
    made = json.loads(profiler.profile("--json", "--threads", 1, ranks=2))
    expect_same([rank["rank"] for rank in made["decode"]["ranks"]], [0, 1])
    expect_same({node["rank"] for node in made["decode"]["nodes"]}, {0, 1})
    messages = [node for node in made["decode"]["nodes"] if "waited_ns" in node]
    expect(messages and any(node["waited_ns"] > 0 for node in messages), messages)
    for rank in made["decode"]["ranks"]:
        parts = rank["tasks_ns"] + rank["between_ns"] + rank["waited_ns"]
        expect(abs(parts - rank["step_ns"]) < 1e-6 * rank["step_ns"], rank)
    expect("the launcher started 2" in profiler.run("calibrate", "--quick", ranks=2, code=2)[1], "calibrate on ranks")


if __name__ == "__main__":
    sys.exit(main(Profiler))
