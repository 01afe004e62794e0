#!/usr/bin/env python3
"""test_bench.py TFRUN NAME SOURCE_DIR [MPIEXEC]: what `tfrun bench` says, against Python's own arithmetic on the times it keeps."""
import csv
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys

from cases import SLOWER, case, expect, expect_same, main
from spread import interval, near

SHORT = ("--threads", 1, "--repetitions", 10, "--no-roofs")
CASES = "decode:3,prefill:9,sequences:2"


def is_disturbed(made, one):
    return one["waited_percent"] >= 5 and not made["manifest"]["oversubscribed"]


def verdict(made, one, was_disturbed, quiet):
    """That of a quiet machine, which this one need not be."""
    return "doubtful" if was_disturbed or is_disturbed(made, one) else quiet


class Bench:
    def __init__(self, program, source_dir, folder):
        self.program, self.demo, self.folder = program, source_dir / "configs" / "demo", folder
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None

    def run(self, *words, code=0, ranks=0):
        launcher = [self.mpiexec, "-n", str(ranks)] if ranks else []
        ran = subprocess.run([str(word) for word in (*launcher, self.program, *words)], capture_output=True, timeout=200 * SLOWER,
                             env=self.environment)
        expect(ran.returncode == code, ran.returncode, "is not exit code", code, ran.stderr.decode())
        return ran.stdout.decode(), ran.stderr.decode()

    def bench(self, *words, **keywords):
        return self.run("bench", self.demo, *SHORT, *words, **keywords)[0]

    def document(self, *words, **keywords):
        return json.loads(self.bench("--json", *words, **keywords))


@case
def figures_follow_from_the_times(bench):
    made = bench.document("--cases", CASES)
    expect_same(made["schema"], "tfrun-bench-1")
    expect_same([(one["case"], one["n"], one["tokens"]) for one in made["cases"]],
                [("decode", 3, 1), ("prefill", 9, 9), ("sequences", 2, 2)])
    for one in made["cases"]:
        times = one["times_ms"]
        expect(len(times) == 10 and all(time > 0 for time in times) and one["first_ms"] > 0, one)
        q1, _, q3 = statistics.quantiles(times, n=4, method="inclusive")
        low, high = interval(times)
        for key, want in {"median_ms": statistics.median(times), "q1_ms": q1, "q3_ms": q3, "low95_ms": low, "high95_ms": high,
                          "tokens_per_s": one["tokens"] / statistics.median(times) * 1e3}.items():
            expect(near(one[key], want), key, one[key], want)
        expect(0.95 <= one["coverage"] < 1, one["coverage"])
    expect(made["load_s"] > 0 and made["first_token_s"] > 0 and made["per_rank"][0]["peak_memory_bytes"] > 1 << 20, made)


@case
def lines_for_programs_have_a_form(bench):
    text = bench.bench("--cases", CASES)
    lines = [line for line in text.splitlines() if line.startswith("tfrun-perf: ")]
    expect_same(len(lines), 3)
    for line, name in zip(lines, ("decode", "prefill", "sequences")):
        pairs = dict(word.split("=") for word in line.split(" ")[1:])
        expect(list(pairs)[:13] == ["case", "n", "ranks", "threads", "repetitions", "median_ms", "q1_ms", "q3_ms", "low95_ms", "high95_ms",
                                    "tokens_per_s", "first_ms", "digest"], line)
        expect_same((pairs["case"], pairs["ranks"], pairs["threads"], pairs["repetitions"]), (name, "1", "1", "10"))
        expect(float(pairs["low95_ms"]) <= float(pairs["median_ms"]) <= float(pairs["high95_ms"]), line)
    rows = list(csv.DictReader(io.StringIO(bench.bench("--cases", CASES, "--format", "csv"))))
    expect_same([(row["case"], row["n"]) for row in rows], [("decode", "3"), ("prefill", "9"), ("sequences", "2")])
    expect("| prefill | 9 |" in bench.bench("--cases", CASES, "--format", "md"), "no Markdown")


@case
def the_digest_is_that_of_generate(bench):
    """Eight tokens behind eight made-up ones, which Knuth's generator makes from 1."""
    state, ids = 1, []
    for _ in range(8):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        ids.append(str((state >> 33) % 6144))
    made = bench.run("generate", bench.demo, "--prompt-ids", ",".join(ids), "-n", 8, "--ignore-eos", "--temperature", 0,
                     "--do-sample", "false", "--json")[0]
    expect_same(bench.document("--cases", "decode:1")["logits_digest"], json.loads(made)["logits_digest"])


@case
def usual_cases_are_cut_to_the_model(bench):
    made = bench.document("--max-batch", 2)
    expect_same([f"{one['case']}:{one['n']}" for one in made["cases"]],
                ["decode:16", "decode:128", "prefill:128", "prefill:512", "sequences:1", "sequences:2"])


@case
def as_many_sequences_as_there_is_room_for(bench):
    made = bench.document("--max-batch", 2, "--cases", "sequences:2,decode:5")
    expect_same([len(one["times_ms"]) for one in made["cases"]], [10, 10])


@case
def refusals_name_the_flag(bench):
    for words, sentence in ((("--cases", "decode:600"), "the model's longest sequence allows 511"),
                            (("--cases", "sequences:17"), "tfrun.runtime.max_batch allows 16"),
                            (("--cases", "mixed:16", "--max-batch", "1"), "mixed:16; tfrun.runtime.max_batch allows 0"),
                            (("--cases", "sequences:2", "--kv-capacity", "3"), "sequences:2; the model's longest sequence allows 0"),
                            (("--cases", "foo:1"), "\"foo:1\" is none of decode:POSITIONS"),
                            (("--format", "xml"), "--format"), (("--repetitions", 9), "--repetitions"),
                            (("--temperature", 1), "has no effect on `tfrun bench`")):
        expect(sentence in bench.run("bench", bench.demo, *words, code=2)[1], words, sentence)


def linear_flops(tokens):
    """Of the demo model's blocks for so many tokens, and of the head for one: by its dimensions alone."""
    return 2 * tokens * 6 * 12 * 256 * 256 + 2 * 256 * 6144


def check_roofs(made, ranks):
    """No roof is below the FLOPs at the best rate; attention, bytes and slower units only add to it."""
    expect(made["flops_per_s"] > 0, made)
    for one, tokens in zip(made["cases"], (1, 200)):
        expect(near(one["roof_share"], one["roof_ms"] / one["median_ms"]), one)
        least_ms = linear_flops(tokens) / made["flops_per_s"] / ranks * 1e3
        expect(one["roof_ms"] >= 0.999 * least_ms, one["case"], one["roof_ms"], least_ms)


@case
def roofs_are_those_of_the_work(bench):
    words = ("bench", bench.demo, "--threads", 1, "--repetitions", 10, "--cases", "decode:3,prefill:200", "--json")
    made = json.loads(bench.run(*words)[0])
    check_roofs(made, 1)
    expect("predicted_ms" not in made["cases"][0], "predicted without a calibration")
    bench.run("calibrate", bench.demo, "--quick", "--quiet", "--threads", 1, "--dtype", "f32")
    made = json.loads(bench.run(*words)[0])
    expect(all(one["predicted_ms"] > 0 for one in made["cases"]), made["cases"])
    shown, told = bench.run(*words[:-1])
    expect("does not know" not in told, told)
    told = bench.run("bench", bench.demo, "--threads", 1, "--repetitions", 10, "--cases", "decode:3", "--dtype", "int8")[1]
    expect("does not know linear.int8." in told and "predicted at its roof" in told, told)
    expect("% of roof" in shown and "predicted ms" in shown and " roof_share=" in shown and " predicted_ms=" in shown, shown)
    if bench.mpiexec is not None:
        made = json.loads(bench.run(*words, ranks=2)[0])
        check_roofs(made, 2)
        (bench.folder / "node.json").write_text('{"nodes": 1, "ranks_per_node": 2}')
        plan = json.loads(bench.run("plan", bench.demo, "--ranks", 2, "--cluster", bench.folder / "node.json", "--threads", 1,
                                    "--context", 3, "--json")[0])
        [layout] = [one for one in plan["points"][0]["layouts"] if one["name"] == "balanced"]
        expect(near(made["cases"][0]["predicted_ms"], layout["token_ms"]), made["cases"][0], layout)


@case
def steps_of_several_have_a_token_of_each(bench):
    made = bench.document("--cases", "mixed:5,steps:3,sequences:4,decode:2", "--max-batch", 4)
    expect_same([(one["case"], one["n"], one["tokens"]) for one in made["cases"]],
                [("decode", 2, 1), ("sequences", 4, 4), ("steps", 3, 3), ("mixed", 5, 5 + 3)])
    expect("gate" not in made, made)
    made = bench.document("--cases", "sequences:4,steps:4,mixed:7", "--max-batch", 4) # as many places as the largest case has
    expect_same([one["tokens"] for one in made["cases"]], [4, 4, 7 + 3])
    expect("tfrun.runtime.max_batch allows 4" in bench.run("bench", bench.demo, "--cases", "steps:5", "--max-batch", 4, code=2)[1])


@case
def the_first_of_a_class_is_held_where_an_engine_is_warm(bench):
    words = [str(word) for word in (bench.program, "bench", bench.demo, "--threads", 1, "--repetitions", 10, "--gate", "--warmup",
                                    "--cases", "class:2,class:30,prefill:30", "--json")]
    ran = subprocess.run(words, capture_output=True, timeout=200 * SLOWER, env=bench.environment)
    made = json.loads(ran.stdout)
    figures = {(one["case"], one["n"]): one for one in made["cases"]}
    expect_same([(one["case"], one["n"], one["figure"], one["at_most"]) for one in made["gate"]],
                [("class", 2, "first over later", 1.3), ("class", 30, "first over later", 1.3)])
    for held in made["gate"]:
        figure = figures["class", held["n"]]
        expect(near(held["is"], figure["first_ms"] / figure["median_ms"]), held, figure)
        expect_same(held["is_held"], held["is"] <= 1.3 and not held["is_disturbed"])
    expect_same(ran.returncode, 0 if all(held["is_held"] for held in made["gate"]) else 6)
    expect(figures["class", 30]["roof_ms"] > figures["prefill", 30]["roof_ms"], figures) # more logits


@case
def a_gate_is_what_its_figures_say(bench):
    limits = {("decode", "time over roof"): 1.10, ("steps", "time over roof"): 1.40, ("prefill", "linears over peak"): 0.85,
              ("prefill", "attention over all"): 0.15}
    words = [str(word) for word in (bench.program, "bench", bench.demo, "--threads", 1, "--repetitions", 10, "--max-batch", 3, "--gate")]
    ran = subprocess.run([*words, "--json"], capture_output=True, timeout=200 * SLOWER, env=bench.environment)
    made = json.loads(ran.stdout)
    figures = {(one["case"], one["n"]): one for one in made["cases"]}
    expect_same(list(figures), [("decode", 16), ("decode", 128), ("prefill", 512), ("steps", 2)])
    expect_same([(one["case"], one["n"]) for one in made["gate"]],
                [("decode", 16), ("decode", 128), ("prefill", 512), ("prefill", 512), ("steps", 2)])
    expect_same(made["without_limit"], [])
    for held in made["gate"]:
        figure = figures[held["case"], held["n"]]
        least, limit = "at_least" in held, held.get("at_least", held.get("at_most"))
        expect_same(limit, limits[held["case"], held["figure"]])
        expect_same(least, held["figure"] == "linears over peak")
        is_beaten = held["figure"] == "time over roof" and held["is"] < 0.8 or least and held["is"] > 1.25
        expect_same(held["is_disturbed"], is_disturbed(made, figure))
        is_within = held["is"] >= limit if least else held["is"] <= limit
        expect_same(held["is_held"], is_within and not is_beaten and not held["is_disturbed"])
        expect_same(held["is_doubtful"], is_beaten or held["is_disturbed"])
        if held["figure"] == "time over roof":
            expect(near(held["is"], figure["median_ms"] / figure["roof_ms"]), held, figure)
        else:
            expect(held["is"] > 0 and (least or held["is"] < 1), held)
    n_missed = sum(not held["is_held"] for held in made["gate"])
    expect_same(ran.returncode, 6 if n_missed else 0)
    expect((f"--gate: {n_missed} limit" in ran.stderr.decode()) == (n_missed > 0), n_missed, ran.stderr)
    told = ran.stderr.decode().splitlines()[-1] if n_missed else ""
    missed = dict.fromkeys(f"{held['case']}:{held['n']}" for held in made["gate"] if not held["is_held"] and not held["is_doubtful"])
    expect_same(made["missed"], list(missed))
    expect_same(f"not held: MISSED {', '.join(missed)}" in told, bool(missed))
    expect_same("a roof was beaten" in told, any(held["is_doubtful"] and not held["is_disturbed"] for held in made["gate"]))
    expect_same("other programs had the cores" in told, any(held["is_disturbed"] for held in made["gate"]))
    expect_same(told.endswith("; run it again with the cores free"), any(held["is_doubtful"] for held in made["gate"]))
    expect("--format csv has one table" in bench.run("bench", bench.demo, "--gate", "--format", "csv", code=2)[1])
    expect("class:N where --warmup is given" in bench.run("bench", bench.demo, "--gate", "--cases", "class:8", code=2)[1])
    expect("none of the cases has a limit" in bench.run("bench", bench.demo, "--gate", "--cases", "prefill:128,sequences:1", code=2)[1])
    expect("--gate holds one process against its roofs" in bench.run("bench", bench.demo, "--gate", "--no-roofs", code=2)[1])
    few = bench.run("bench", bench.demo, "--gate", "--max-rows", "4", "--cases", "decode:3,prefill:512", code=2)[1] # before any round
    expect("--gate: prefill:512 takes more than the 64 steps" in few and "give a higher --max-rows" in few, few)


@case
def a_gate_says_what_has_no_limit(bench):
    words = [str(word) for word in (bench.program, "bench", bench.demo, "--threads", 1, "--repetitions", 10, "--gate", "--cases",
                                    "decode:4,class:3,prefill:9")]
    shown = subprocess.run(words, capture_output=True, timeout=200 * SLOWER, env=bench.environment, text=True).stdout
    for one, told in (("class *3", "no limit without --warmup"), ("prefill *9", "no limit")):
        expect(re.search(f"^{one} +{told}$", shown, re.M), one, shown)
    made = json.loads(subprocess.run([*words, "--json"], capture_output=True, timeout=200 * SLOWER, env=bench.environment).stdout)
    expect_same([(one["case"], one["n"]) for one in made["gate"]], [("decode", 4)])
    expect_same([(one["case"], one["n"]) for one in made["without_limit"]], [("prefill", 9), ("class", 3)])


@case
def a_comparison_names_what_differs(bench):
    kept = bench.folder / "kept.json"
    made = bench.document("--cases", "decode:3", "--save", kept)

    def compare(*words, **changes):
        kept.write_text(json.dumps({**made, **changes}))
        return bench.run("bench", bench.demo, *SHORT, "--cases", "decode:3", "--no-roofs", "--compare", kept, *words)[0]

    def differences(*words, **changes):
        told = json.loads(compare(*words, "--json", **changes))["differences"]
        return {one["what"]: (one["before"], one["now"]) for one in told}

    expect("\ndiffers  in nothing that was recorded\n" in compare(), "equal")
    expect_same(differences(), {})
    expect_same(differences("--dtype", "int8", "--max-rows", 64),
                {"dtype": ("f32, kv f32", "int8, kv bf16"), "runtime.max_rows": ("as the config says", "64")})
    shown = compare(machine="another", threads=7)
    expect(re.search(r"^differs  machine another -> .*; threads 7 -> 1$", shown, re.M), shown)
    for words, changes, code in ((("--dtype", "bf16"), {}, 0), ((), {"logits_digest": "0123456789abcdef", "machine": "another"}, 0),
                                 ((), {"logits_digest": "0123456789abcdef"}, 6)):
        kept.write_text(json.dumps({**made, **changes}))
        shown, told = bench.run("bench", bench.demo, *SHORT, "--cases", "decode:3", "--no-roofs", "--compare", kept, *words, code=code)
        expect("OTHER BITS" in shown, shown)
        sentence = f"other bits than those of {kept}, and nothing that was recorded differs"
        expect_same((sentence in told, sentence in (told.splitlines() or [""])[-1]), (code == 6, code == 6))
    expect_same(list(differences(manifest={**made["manifest"], "config_digest": "0123456789abcdef"})), ["what the config says, by digest"])
    old = [*made["manifest"]["overrides"], ["runtime.max_rows", "8"], ["runtime.max_rows", "16"]]
    expect_same(differences(manifest={**made["manifest"], "host": "there", "overrides": old}),
                {"host": ("there", made["manifest"]["host"]), "runtime.max_rows": ("16", "as the config says")})


@case
def what_cannot_be_compared_is_refused(bench):
    kept = bench.folder / "kept.json"
    made = bench.document("--cases", "decode:3")
    words = ("bench", bench.demo, *SHORT, "--no-roofs", "--compare", kept)
    kept.write_text(json.dumps({**made, "model": "12 blocks of 768, 12 heads, vocabulary of 50257, f32, kv f32"}))
    told = bench.run(*words, "--cases", "decode:3", code=2)[1]
    expect("of another model, 12 blocks of 768" in told and told.count("\n") == 1, told)
    kept.write_text(json.dumps(made))
    told = bench.run(*words, "--cases", "decode:4", code=2)[1]
    expect("has none of the cases that are measured here; --cases decode:3 are its own" in told and told.count("\n") == 1, told)


@case
def a_manifest_says_what_was_measured(bench):
    bench.environment.update(OMP_WAIT_POLICY="passive", SLURM_JWT="secret", SLURM_JOB_NAME="study", PRIVATE="1")
    made = bench.document("--cases", "decode:3", "--set", "model.name=a 'b'")["manifest"]
    told = dict(made["environment"])
    expect_same((told["OMP_WAIT_POLICY"], told["SLURM_JOB_NAME"]), ("passive", "study"))
    expect("PRIVATE" not in told and "SLURM_JWT" not in told, told)
    expect_same(made["overrides"], [["runtime.threads", "1"], ["model.name", "a 'b'"]])
    expect_same(shlex.split(made["command"]), ["tfrun", "bench", str(bench.demo), "--set", "runtime.threads=1", "--set",
                                               "model.name=a 'b'", "--cases", "decode:3", "--repetitions", "10"])
    expect(made["cores"] >= 1 and made["threads"].startswith("1: ") and made["mpi"] == "one process" and made["host"], made)
    expect(re.fullmatch(r"unknown|[0-9a-f]{7,40}(-dirty)?", made["commit"]), made["commit"])
    expect(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["measured_at"]), made["measured_at"])


@case
def a_rerun_repeats_what_the_manifest_says(bench):
    kept = bench.folder / "kept.json"
    first = bench.document("--cases", CASES, "--dtype", "bf16", "--save", kept)
    expect_same(json.loads(kept.read_text()), first)
    again = json.loads(bench.run("bench", "--rerun", kept, "--json")[0])
    for key in ("overrides", "cases", "repetitions", "command", "config", "config_digest"):
        expect_same(again["manifest"][key], first["manifest"][key])
    expect_same((again["logits_digest"], again["same_digest_as_before"]), (first["logits_digest"], True))
    expect_same(len(again["cases"]), 3)
    for new, old in zip(again["cases"], first["cases"]):
        expect(near(new["before_ms"], old["median_ms"]) and near(new["ratio"], new["median_ms"] / old["median_ms"]), new)
        expect_same(new["verdict"], verdict(again, new, is_disturbed(first, old), "faster" if new["median_ms"] < old["low95_ms"] else
                                            "slower" if new["median_ms"] > old["high95_ms"] else "inside"))
    told = bench.run("bench", "--rerun", kept, "--save", kept, code=2)[1]
    expect("kept.json" in told and json.loads(kept.read_text()) == first, told)


@case
def a_rerun_is_held_against_several_runs(bench):
    kept = [bench.folder / name for name in ("a.json", "b,c.json", "d.json")]
    first = bench.document("--cases", "decode:3", "--save", kept[0])
    [one] = first["cases"]
    for path, factor, day in ((kept[0], 1e-9, 1), (kept[1], 1.0, 2), (kept[2], 1e9, 3)):
        made = {**first, "cases": [{**one, "times_ms": [factor * ms for ms in one["times_ms"]]}]}
        path.write_text(json.dumps({**made, "manifest": {**first["manifest"], "measured_at": f"2026-01-0{day}T00:00:00Z"}}))
    for paths, want in ((f"{kept[0]},{kept[2]}", "inside"), (kept[0], "slower"), (kept[2], "faster")):
        again = json.loads(bench.run("bench", "--rerun", paths, "--no-roofs", "--json")[0])
        expect_same(again["cases"][0]["verdict"], verdict(again, again["cases"][0], is_disturbed(first, one), want))
    expect("1 run, 1 rank" in bench.run("bench", "--rerun", kept[1], "--no-roofs")[0], "a comma of a name")
    expect("2 runs, 1 rank" in bench.run("bench", "--rerun", f"{kept[0]},{kept[2]}", "--no-roofs")[0], "two runs")
    kept[2].write_text(json.dumps({**first, "logits_digest": "0123456789abcdef"}))
    for flag in "--rerun", "--compare":
        words = () if flag == "--rerun" else (bench.demo, *SHORT, "--cases", "decode:3")
        expect("more than 64 files" in bench.run("bench", *words, flag, ",".join([str(kept[0])] * 65), code=2)[1], flag)
        expect("no runs of one thing" in bench.run("bench", *words, flag, f"{kept[0]},{kept[2]}", code=2)[1], flag)


@case
def a_rerun_of_something_else_is_refused(bench):
    folder, kept = bench.folder / "model", bench.folder / "kept.json"
    shutil.copytree(bench.demo, folder)
    bench.run("bench", folder, *SHORT, "--cases", "decode:3", "--save", kept)
    config = json.loads((folder / "config.json").read_text())
    config["tfrun"]["runtime"] = {**config["tfrun"].get("runtime", {}), "max_rows": 64}
    (folder / "config.json").write_text(json.dumps(config))
    told = bench.run("bench", "--rerun", kept, code=3)[1]
    expect("says something else than when this was measured" in told and "--compare" in told, told)
    expect("before ms" in bench.run("bench", folder, *SHORT, "--cases", "decode:3", "--compare", kept)[0], "no comparison")
    for words, sentence in ((("--cases", "decode:3"), "leave --cases out"), (("--threads", 1), "leave --threads out"),
                            (("--compare", kept), "leave --compare out"), ((folder,), f"leave {folder} out")):
        expect(sentence in bench.run("bench", "--rerun", kept, *words, code=2)[1], words)


@case
def a_rerun_loads_no_code_that_nobody_named(bench):
    kept, plugin = bench.folder / "kept.json", bench.folder / "no_plugin.so"
    plugin.write_text("no plugin")
    made = bench.document("--cases", "decode:3")

    def with_override(key, value):
        made["manifest"]["overrides"] = [["runtime.threads", "1"], [key, str(value)]]
        kept.write_text(json.dumps(made))

    with_override("plugins", plugin)
    told = bench.run("bench", "--rerun", kept, code=2)[1]
    expect("loads code or writes files" in told and f"--set plugins={plugin}" in told, told)
    expect("loads code" in bench.run("bench", "--rerun", kept, "--set", f"plugins={bench.folder}", code=2)[1], "another one")
    expect("cannot be loaded" in bench.run("bench", "--rerun", kept, "--set", f"plugins={plugin}", code=5)[1], "it was named")
    harm = bench.folder / "harm"
    for key, value in (("observe.trace", harm), ("trust", bench.folder), ("tfrun.plugins", plugin), ("tfrun.observe.trace", harm), ("output.file", harm),
                       ("output.force", "true"), ("output.cache_save", harm), ("runtime.pack_cache", harm), ("tfrun.runtime.pack_cache", harm)):
        with_override(key, value)
        told = bench.run("bench", "--rerun", kept, code=2)[1]
        expect(f"asks for {key.removeprefix('tfrun.')} = {value}, which loads code or writes files" in told and not harm.exists(), key, told)


@case
def other_bits_are_told(bench):
    kept = bench.folder / "kept.json"
    made = bench.document("--cases", "decode:3")
    made["logits_digest"] = "0123456789abcdef"
    kept.write_text(json.dumps(made))
    out, told = bench.run("bench", "--rerun", kept, code=6)
    expect("OTHER BITS" in out and "other bits than those of" in told, out, told)


@case
def damaged_documents_are_refused(bench):
    good = bench.document("--cases", "decode:3")
    for change, sentence in (({"schema": "tfrun-load-1"}, "is no document of bench"), ({"cases": 1}, "cases must be a list"),
                             ({"cases": [{"case": "x"}]}, "case must be"), ({"per_rank": []}, "per_rank must be"),
                             ({"cases": [{**good["cases"][0], "times_ms": []}]}, "times_ms must be"),
                             ({"cases": [{**good["cases"][0], "times_ms": [-1]}]}, "times_ms must be"),
                             ({"logits_digest": "12"}, "logits_digest must be"), ({"ranks": 0}, "ranks must be"), ({"threads": 0}, "threads must be"), ({"model": "a\x1b[2J"}, "model must be"),
                             ({"threads": 5000}, "threads must be no more than there can be"),
                             ({"cases": [{**good["cases"][0], "n": 2 ** 62}]}, "n must be no more than there can be"),
                             ({"load_s": "x"}, "load_s must be"),
                             ({"manifest": {**good["manifest"], "cores": "2"}}, "cores must be"),
                             ({"manifest": {**good["manifest"], "overrides": [["a"]]}}, "overrides must be"),
                             ({"manifest": {**good["manifest"], "overrides": [["a", "b"]] * 4097}}, "overrides must be a list of at most 4096 pairs")):
        kept = bench.folder / "bad.json"
        kept.write_text(json.dumps({**good, **change}))
        expect(sentence in bench.run("bench", "--rerun", kept, code=4)[1], change, sentence)
    bench.run("bench", "--rerun", bench.folder / "none.json", code=5)


@case
def what_is_no_document_says_how_to_make_one(bench):
    file = bench.folder / "kept.txt"
    for text, what in ((bench.bench("--cases", "decode:3"), "kept.txt:1:1: expected a value, found 'm'"), ("", "found the end of the text"),
                       ("[]", "is no document of bench, whose schema is \"tfrun-bench-1\""), ("{\"schema\": 1}", "is no document of bench"),
                       (None, f"{bench.folder} is a folder, not a document")):
        file.write_text(text or "")
        path = bench.folder if text is None else file
        for words in (("--compare", path, bench.demo, *SHORT), ("--rerun", path)):
            told = bench.run("bench", *words, code=4)[1]
            expect(what in told and "`tfrun bench CONFIG --save FILE` or --format json makes one" in told and told.count("\n") == 1, words, told)


@case
def a_verdict_on_disturbed_times_is_doubtful(bench):
    kept = bench.folder / "kept.json"
    made = bench.document("--cases", "decode:3,prefill:9")
    expect(all(one["waited_percent"] >= 0 for one in made["cases"]), made["cases"])

    def compare(*percents, oversubscribed=0):
        cases = [{**one, "times_ms": [1e9 * ms for ms in one["times_ms"]], "waited_percent": percent}
                 for one, percent in zip(made["cases"], percents)]
        kept.write_text(json.dumps({**made, "cases": cases, "manifest": {**made["manifest"], "oversubscribed": oversubscribed}}))
        now = json.loads(bench.bench("--cases", "decode:3,prefill:9", "--compare", kept, "--json"))
        for one, percent in zip(now["cases"], percents):
            expect_same(one["before_waited_percent"], percent)
            expect_same(one["verdict"], verdict(now, one, percent >= 5 and not oversubscribed, "faster"))

    compare(4.9, 5.0)
    compare(12.5, 0)
    compare(12.5, 40, oversubscribed=1)  # its own threads waited for one another
    cases = [{**made["cases"][0], "waited_percent": 12.5}, {**made["cases"][1], "waited_percent": 0}]
    kept.write_text(json.dumps({**made, "cases": cases}))
    shown = bench.bench("--cases", "decode:3,prefill:9", "--compare", kept)
    expect(re.search(r"^waited   while others had the cores: decode:3 .*12\.5 % of the time before.*; doubtful from 5 % on$", shown, re.M), shown)
    expect(re.search("case=decode .* verdict=doubtful waited_percent=[0-9.]+ before_waited_percent=12.500$", shown, re.M), shown)
    rows = list(csv.DictReader(io.StringIO(bench.bench("--cases", "decode:3,prefill:9", "--compare", kept, "--format", "csv"))))
    expect(rows[0]["verdict"] == "doubtful" and float(rows[0]["waited %"]) >= 0, rows)
    del cases[0]["waited_percent"]  # of a program that did not know
    kept.write_text(json.dumps({**made, "cases": cases}))
    now = json.loads(bench.bench("--cases", "decode:3", "--compare", kept, "--json"))
    expect("before_waited_percent" not in now["cases"][0], now)


@case
def random_weights_are_no_part_of_a_manifest(bench):
    config = json.loads((bench.demo / "config.json").read_text())
    config.pop("tfrun")
    (bench.folder / "config.json").write_text(json.dumps({**config, "n_layer": 1}))
    made = json.loads(bench.run("bench", bench.folder / "config.json", *SHORT, "--cases", "decode:3", "--json")[0])
    expect_same(made["manifest"]["overrides"], [["runtime.threads", "1"]])


@case
def ranks_have_the_same_digest(bench):
    if bench.mpiexec is None:
        sys.exit(77)
    alone, two = bench.document("--cases", CASES), bench.document("--cases", CASES, ranks=2)
    expect_same(two["logits_digest"], alone["logits_digest"])
    expect_same((two["ranks"], len(two["per_rank"]), two["manifest"]["transport"]), (2, 2, "shared memory"))
    expect(two["manifest"]["command"].startswith("mpirun -n 2 tfrun bench "), two["manifest"]["command"])
    expect_same(two["manifest"]["config_digest"], alone["manifest"]["config_digest"])
    for one, rows in zip(two["cases"], (1, 9, 2)):  # the last of two ranks sends the hidden states of its rows, and nothing else
        expect_same(one["ranks"][1]["bytes_sent"], rows * 256 * 4 if one["case"] != "prefill" else 256 * 4)
        for rank in one["ranks"]:
            expect(rank["busy_ms"] > 0 and rank["wait_ms"] >= 0 and rank["control_ms"] >= 0 and rank["messages_sent"] > 0, one)
            others = rank["busy_ms"] + rank["control_ms"]  # the time that it was asked in is none of the case
            expect(rank["wait_ms"] <= max(0, one["median_ms"] - others) + 1e-6 * one["median_ms"], one)
    shown = bench.bench("--cases", CASES, ranks=2)
    expect("kB sent" in shown and "kB sent" not in bench.bench("--cases", CASES), shown)
    kept = bench.folder / "kept.json"
    kept.write_text(json.dumps(two))
    told = bench.run("bench", "--rerun", kept, code=2)[1]
    expect(f"was measured on 2 ranks, and 1 started: run tfrun bench --ranks 2 --rerun {kept}" in told, told)
    again = json.loads(bench.run("bench", "--rerun", kept, "--json", ranks=2)[0])
    expect_same((again["manifest"]["command"], again["same_digest_as_before"]), (two["manifest"]["command"], True))


MICRO = ("# what a small model asks\nnorm layer_norm rows=3 n=32\nfc linear rows=4 k=48 n=64 act=gelu_tanh  # with bias\n"
         "step attention heads=2 dim=16 seqs=33+1,0+4 weights=1 mask=2\nkeep kv_append heads=2 dim=16 seqs=5+2\nhalf linear rows=2 k=32 n=32 dtype=bf16\n")


def micro(bench, *words, text=MICRO, code=0):
    (bench.folder / "cases.txt").write_bytes(text.encode("latin-1"))
    return bench.run("bench", "--micro", bench.folder / "cases.txt", "--threads", 1, "--repetitions", 10, *words, code=code)


@case
def kernels_alone_are_those_that_serve_a_case(bench):
    made = json.loads(micro(bench, "--json", "--no-roofs")[0])
    kernels = json.loads(bench.run("plugins", "--json")[0])
    names = {one["name"]: one["op"] for plugin in kernels for one in plugin["kernels"]}
    expect_same((made["schema"], made["threads"], made["repetitions"]), ("tfrun-kernels-1", 1, 10))
    expect("memory_bytes_per_s" not in made and "flops_per_s" not in made, "rates that were not measured")
    expect_same([(one["case"], one["line"]) for one in made["cases"]], [("norm", 2), ("fc", 3), ("step", 4), ("keep", 5), ("half", 6)])
    for one, op in zip(made["cases"], ("layer_norm", "linear", "attention", "kv_append", "linear")):
        served, refused = [kernel["kernel"] for kernel in one["kernels"]], [kernel["kernel"] for kernel in one["refused"]]
        expect_same(sorted(served + refused), sorted(name for name in names if names[name] == op))
        expect(served and all(kernel["reason"] for kernel in one["refused"]), one)
        expect(all(".ref." not in name for name in served), served)
        for kernel in one["kernels"]:
            times = kernel["times_us"]
            median = statistics.median(times)
            q1, _, q3 = statistics.quantiles(times, n=4, method="inclusive")
            expect(len(times) == 10 and min(times) > 0 and near(kernel["median_us"], median), kernel)
            expect(near(kernel["q1_us"], q1) and near(kernel["q3_us"], q3) and "roof_us" not in kernel, kernel)
            expect(near(kernel["gflops"], one["flops"] / median / 1e3) and near(kernel["gb_s"], one["bytes"] / median / 1e3), kernel)
    norm, fc, step, keep, _ = made["cases"]
    expect_same((norm["flops"], norm["bytes"]), (7 * 3 * 32 + 5 * 3, 4 * 2 * 3 * 32 + 8 * 32))
    expect_same((fc["flops"], fc["bytes"]), (4 * 64 * (2 * 48 + 1 + 9), 4 * (4 * 48 + 48 * 64 + 64 + 4 * 64)))
    expect_same((step["flops"], step["bytes"]), (44 * (4 * 32 + 6 * 2), 4 * (2 * 5 * 32 + 2 * 38 * 32)))
    expect_same((keep["flops"], keep["bytes"]), (0, 4 * 4 * 2 * 32))
    if any(name.startswith("linear.f32.onednn.") for name in names):
        expect(any(".onednn." in kernel["kernel"] for kernel in fc["kernels"] + fc["refused"]), fc)


@case
def kernels_alone_have_tables_and_a_roof(bench):
    text, told = micro(bench, "--case", "fc", "--kernel", "ref")
    lines = [line for line in text.splitlines() if line.startswith("tfrun-perf: ")]
    expect_same(len(lines), 1)
    pairs = dict(word.split("=") for word in lines[0].split(" ")[1:])
    expect_same(list(pairs), ["case", "kernel", "threads", "repetitions", "median_us", "q1_us", "q3_us", "low95_us", "high95_us", "gflops", "gb_s",
                              "roof_us", "roof_share", "doubtful"])
    expect_same((pairs["case"], pairs["kernel"], pairs["threads"]), ("fc", "linear.f32.ref.plain", "1"))
    expect(float(pairs["roof_us"]) > 0 and "% of roof" in text and "not timed" not in text and "case 1 of" not in told, text, told)
    text, told = micro(bench, "--case", "half", "--kernel", "ref", "--no-roofs", "--verbose", "--save", bench.folder / "kept.json")
    expect("not timed" in text and "does not serve bf16 weights" in text and "bench  case 1 of 1" in told and "% of roof" not in text, text, told)
    kept = json.loads((bench.folder / "kept.json").read_text())
    expect_same([one["case"] for one in kept["cases"]], ["half"])
    expect("--micro" in kept["manifest"]["command"] and kept["manifest"]["overrides"] == [["runtime.threads", "1"]], kept["manifest"])
    rows = list(csv.DictReader(io.StringIO(micro(bench, "--kernel", "layer_norm", "--no-roofs", "--format", "csv")[0])))
    expect("none serves it" in {row["kernel"] for row in rows} and rows[0]["case"] == "norm" and rows[0]["kernel"].startswith("layer_norm."), rows)
    expect("| fc |" in micro(bench, "--case", "fc", "--no-roofs", "--format", "md")[0].replace("  ", " "), "no Markdown")
    expect("is of kernels alone (--micro), and" in bench.run("bench", bench.demo, "--compare", bench.folder / "kept.json", code=4)[1], "a document of kernels is compared")


@case
def a_case_has_one_roof(bench):
    """That of the best instructions for what it multiplies, whichever a kernel takes; and of no rows that only ask."""
    text = ("whole linear rows=4 k=64 n=64 dtype=int8\nhalf attention heads=2 dim=16 seqs=0+32 kv=bf16 products=bf16\n"
            "fc linear rows=4 k=64 n=64\nidle kv_append heads=2 dim=16 seqs=5+2 query_only=1\n")
    for limit in ((), ("--isa", "plain")):
        head = micro(bench, "--save", bench.folder / "roofs.json", "--force", *limit, text=text)[0].split("\ncase ")[0]
        made = json.loads((bench.folder / "roofs.json").read_text())
        peaks, (whole, half, fc, idle) = made["flops_per_s"], made["cases"]
        expect(made["memory_bytes_per_s"] > 0, made)
        expect_same([one["factors"] for one in made["cases"]], ["int8", "bf16", "f32", "f32"])
        expect(idle["bytes"] == 0 and all("roof_us" not in kernel for kernel in idle["kernels"]), idle)
        for one in (whole, half, fc):
            kernels, peak = one["kernels"], peaks.get(one["factors"], 0)
            expect_same(len({kernel.get("roof_us") for kernel in kernels}), 1)
            expect_same("roof_us" in kernels[0], peak > 0)
            expect((f" GFLOP/s in {one['factors']}, " in head) == (peak > 0) != (f"no roof  for products in {one['factors']}: " in head), head)
            for kernel in kernels if peak > 0 else []:
                expect(kernel["roof_us"] >= one["flops"] / peak * 1e6 * (1 - 1e-9), kernel, peaks)
                expect_same(kernel["doubtful"], kernel["roof_us"] / kernel["median_us"] > 1.05)
        if limit:
            expect(peaks["bf16"] == peaks["f32"] and "int8" not in peaks, peaks)


@case
def kernels_are_those_that_options_leave(bench):
    one = json.loads(micro(bench, "--case", "fc", "--no-roofs", "--json", "--isa", "plain", "--kernels=-onednn", "--threads", 2)[0])["cases"][0]
    expect(one["kernels"] and all(".onednn." not in kernel["kernel"] for kernel in one["kernels"]), one["kernels"])
    expect(all(kernel["kernel"].endswith(".plain") for kernel in one["kernels"]), one["kernels"])
    told = {kernel["kernel"]: kernel["reason"] for kernel in one["refused"]}
    expect(all("banned" in told[name] for name in told if ".f32.onednn." in name), told)
    micro(bench, "--case", "norm", "--no-roofs", "-o", bench.folder / "out.txt")
    expect("tfrun-perf: case=norm" in (bench.folder / "out.txt").read_text(), "no table in the file")


@case
def what_says_nothing_of_kernels_is_refused(bench):
    for words, sentence in ((("--cases", "decode:3"), "--cases is about a model"), (("--gate",), "--gate is about a model"),
                            (("--compare", "a.json"), "--compare is about a model"), (("--rerun", "a.json"), "--rerun is about a model"),
                            ((bench.demo,), "--micro times kernels alone: leave"), (("--dtype", "bf16"), "--dtype (runtime.dtype) is about a model"),
                            (("--max-batch", 3), "(runtime.max_batch) is about a model"), (("--trust", "/"), "(trust) is about a model"),
                            (("--kernels", "gemv"), "--kernels prefers some (gemv): ban others"), (("--kernels=-onednn, gemv",), "prefers some"),
                            (("--repetitions", 9), "--repetitions"), (("--format", "xml"), "--format"), (("--case", "nothing"), "has no case \"nothing\"; give one that it has: "),
                            (("--case", "norn"), "did you mean \"norm\"?"),
                            (("--case", "fc", "--case", "norm"), "--case is given 2 times"), (("--kernel", ""), "--kernel is empty"),
                            (("--kernel", "nothing"), "no kernel here has \"nothing\" in its name"), (("--threads", 0), "--threads")):
        out, told = micro(bench, *words, code=2)
        expect(sentence in told and out == "", words, told)
    expect("no kernel with \"layer_norm\" in its name serves case fc; leave --kernel out" in micro(bench, "--case", "fc", "--kernel", "layer_norm", "--no-roofs", code=4)[1])
    alone = "linear.f32.ref.plain"
    told = micro(bench, "--case", "half", "--kernel", alone, "--no-roofs", "-v", code=4)[1]
    expect(f"case half: {alone} is not timed: " in told and "serves case half; " in told, told)
    both = bench.folder / "both.json"
    told = micro(bench, "--no-roofs", "-o", both, "--save", f"{bench.folder}/./both.json", code=2)[1]
    expect("--save and -o both name" in told and not both.exists(), told)
    expect("--case picks what --micro times" in bench.run("bench", bench.demo, "--case", "fc", code=2)[1], "--case alone is taken")
    expect("--kernel picks what --micro times" in bench.run("bench", bench.demo, "--kernel", "ref", code=2)[1], "--kernel alone is taken")
    expect("none.txt" in bench.run("bench", "--micro", bench.folder / "none.txt", code=5)[1], "a file that is not there is no failure")
    available = int(re.search(r"^MemAvailable: *(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) << 10
    if available < 8e11:  # most that can be asked for is 10^12 bytes
        told = micro(bench, text="big linear rows=1 k=474000 n=474000\n", code=5)[1]
        expect("GB of memory with all kernels" in told, told)
    for text, sentence in (("fc liner rows=4\n", "cases.txt:1: there is no op \"liner\"; did you mean \"linear\"?"),
                           ("a copy rows=1 n=1\n\nb copy rows=-1 n=1\n", "cases.txt:3: rows=-1 is not a whole number in 1..1048576"),
                           ("a copy rows=1 n=\x80\n", "plain ASCII"), ("# none\n", "there is no case in it")):
        out, told = micro(bench, text=text, code=3)
        expect(sentence in told and out == "" and told.count("\n") == 1, text, told)


if __name__ == "__main__":
    sys.exit(main(Bench))
