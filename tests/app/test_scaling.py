#!/usr/bin/env python3
"""test_scaling.py TFRUN NAME SOURCE_DIR: what `tfrun scaling` makes of documents, against a computation of its own in fractions."""
import copy
import csv
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from fractions import Fraction

from cases import SLOWER, case, expect, expect_same, main
from spread import interval, near


class Scaling:
    """Documents made from one that was measured: `document` changes ranks, threads, times."""

    def __init__(self, program, source_dir, folder):
        self.program, self.folder, self.environment, self.source_dir = program, folder, dict(os.environ), source_dir
        made = self.run("bench", source_dir / "configs" / "demo", "--threads", 1, "--repetitions", 10, "--no-roofs", "--cases",
                        "decode:3", "--json")[0]
        self.made, self.n = json.loads(made), 0

    def run(self, *words, code=0):
        ran = subprocess.run([str(word) for word in (self.program, *words)], capture_output=True, timeout=200 * SLOWER, env=self.environment)
        expect(ran.returncode == code, ran.returncode, "is not exit code", code, ran.stderr.decode())
        return ran.stdout.decode(), ran.stderr.decode()

    def document(self, ranks, cases, threads=1, overrides=(), **changes):
        """cases: {("sequences", 4): times in ms or (times, ranks)}; the path of what is written."""
        made = copy.deepcopy(self.made)
        made["ranks"], made["threads"] = ranks, threads
        made["per_rank"] = [{"rank": rank, "peak_memory_bytes": 1 << 20} for rank in range(ranks)]
        made["manifest"]["overrides"] = [["runtime.threads", str(threads)], *overrides]
        made["manifest"].update(changes)
        made["cases"] = []
        for (name, n), times in cases.items():
            times, facts = times if isinstance(times, tuple) else (times, None)
            made["cases"].append({"case": name, "n": n, "tokens": 1 if name == "decode" else n, "first_ms": 1.0, "times_ms": times})
            if facts is not None:
                made["cases"][-1]["ranks"] = [{"busy_ms": busy, "wait_ms": 0.5, "control_ms": 0.25, "bytes_sent": 100,
                                               "messages_sent": 2} for busy in facts]
        self.n += 1
        path = self.folder / f"document-{self.n:02}.json"
        path.write_text(json.dumps(made))
        return path

    def points(self, *words):
        return json.loads(self.run("scaling", "--report", *words, "--json")[0])["points"]


def times_around(median, n=11):
    """n times, uneven, with this median."""
    middle = n // 2
    return [median * (1 + 0.25 * (i - middle) * abs(i - middle) / middle**2) for i in range(n)]


def strong(base, now, q):
    """Speed-up, efficiency, Karp and Flatt's serial fraction, in exact arithmetic of the given times."""
    s, q = Fraction(base) / Fraction(now), Fraction(q)
    return float(s), float(s / q), float((1 / s - 1 / q) / (1 - 1 / q)) if q > 1 else None


def weak(base, now, q):
    s, q = Fraction(q) * Fraction(base) / Fraction(now), Fraction(q)
    return float(s), float(s / q), float((q - s) / (q - 1))


def check_point(point, want):
    for key, value in zip(("speedup", "efficiency", "serial_fraction"), want):
        if value is None:
            expect(key not in point, point)
        else:
            expect(abs(point[key] - value) < 1e-9 * max(1, abs(value)), key, point[key], value)


@case
def strong_points_follow_the_formulas(scaling):
    medians = {1: 103.7, 2: 61.3, 3: 47.9, 4: 51.1, 8: 12.0}  # slower with 4 than with 3; more than eight times with 8
    paths = [scaling.document(ranks, {("prefill", 512): times_around(ms)}) for ranks, ms in medians.items()]
    points = scaling.points(*reversed(paths))
    expect_same([(point["kind"], point["ranks"], point["base_cores"]) for point in points],
                [("strong", ranks, 1) for ranks in medians])
    for point in points:
        base, now = times_around(medians[1]), times_around(medians[point["ranks"]])
        check_point(point, strong(statistics.median(base), statistics.median(now), point["ranks"]))
        (base_low, base_high), (low, high) = interval(base), interval(now)
        expect(near(point["speedup_low"], 1 if point["ranks"] == 1 else base_low / high), point)
        expect(near(point["speedup_high"], 1 if point["ranks"] == 1 else base_high / low), point)
        expect(near(point["tokens_per_s"], 512e3 / statistics.median(now)), point)


@case
def cores_are_ranks_times_threads(scaling):
    times = {(1, 2): 50.0, (2, 2): 30.0, (4, 1): 28.0, (4, 2): 20.0}
    paths = [scaling.document(ranks, {("decode", 16): times_around(ms)}, threads) for (ranks, threads), ms in times.items()]
    for point in scaling.points(*paths):
        shape = point["ranks"], point["threads"]
        expect_same(point["base_cores"], 2)
        check_point(point, strong(50.0, times[shape], Fraction(shape[0] * shape[1], 2)))


@case
def weak_points_have_as_much_for_each_core(scaling):
    """1 core has 1, 2 and 3 sequences; 2 and 4 cores twice and four times that, and 6, which 3 times 2 is and 4 times nothing."""
    times = {1: {1: 10.0, 2: 12.0, 3: 15.0}, 2: {2: 11.0, 4: 12.5, 6: 16.0}, 4: {4: 13.0, 6: 14.0, 8: 15.5}}
    paths = [scaling.document(ranks, {("sequences", n): times_around(ms) for n, ms in cases.items()}) for ranks, cases in times.items()]
    points = [point for point in scaling.points(*paths) if point["kind"] == "weak"]
    expect_same([(point["ranks"], point["n"]) for point in points], [(2, 2), (2, 4), (4, 4), (2, 6), (4, 8)])
    for point in points:
        ranks, n = point["ranks"], point["n"]
        check_point(point, weak(times[1][n // ranks], times[ranks][n], ranks))


@case
def balance_and_communication_are_those_of_the_ranks(scaling):
    busy = [6.0, 8.0, 3.0, 7.0]
    path = scaling.document(4, {("decode", 16): (times_around(10.0), busy)})
    [point] = scaling.points(path)
    expect(near(point["load_balance"], sum(busy) / 4 / 8.0) and near(point["communication_efficiency"], 8.0 / 10.0), point)
    again = json.loads(path.read_text())
    expect("load_balance" not in scaling.points(scaling.document(2, {("decode", 16): times_around(10.0)}))[0], "made up")
    again["cases"][0]["ranks"].pop()
    path.write_text(json.dumps(again))
    expect("ranks must be a list with an item for each rank" in scaling.run("scaling", "--report", path, code=4)[1], "3 of 4 ranks")


@case
def efficiency_is_a_product_of_three(scaling):
    """Balance, communication and computation, over the share in which the ranks of the base work; two threads count twice."""
    paths = [scaling.document(1, {("sequences", 2): (times_around(10.0), [9.0]), ("sequences", 4): (times_around(15.0), [14.0])}),
             scaling.document(2, {("sequences", 2): (times_around(8.0), [4.0, 6.0]), ("sequences", 4): (times_around(9.0), [8.0, 7.0])}, 2)]
    points = [point for point in scaling.points(*paths) if point["ranks"] == 2]
    expect_same([(point["kind"], point["n"], point["base_cores"]) for point in points], [("strong", 2, 1), ("strong", 4, 1)])
    for point, busy, own, alone in zip(points, (20.0, 30.0), (9.0, 14.0), (0.9, 14 / 15)):
        expect(near(point["computation_efficiency"], own / busy), point)
        product = point["load_balance"] * point["communication_efficiency"] * point["computation_efficiency"]
        expect(near(point["efficiency"], product / alone), point)
    paths = [scaling.document(1, {("sequences", 1): (times_around(10.0), [9.0])}),
             scaling.document(2, {("sequences", 2): (times_around(8.0), [4.0, 6.0])})]
    [weak_one] = [point for point in scaling.points(*paths) if point["kind"] == "weak"]
    expect(near(weak_one["computation_efficiency"], 2 * 9.0 / 10.0), weak_one)


@case
def a_layout_has_one_name_on_all_numbers_of_ranks(scaling):
    """As many shards as ranks are "ranks"; one line of a picture, which begins at what it is compared with."""
    times = {1: 10.0, 2: 6.0, 4: 4.0}
    split = ("parallel.head", "split")
    paths = [scaling.document(1, {("decode", 16): times_around(times[1])})]
    paths += [scaling.document(n, {("decode", 16): times_around(times[n])}, overrides=[("parallel.tensor", str(n)), split]) for n in (2, 4)]
    paths.append(scaling.document(4, {("decode", 16): times_around(5.0)}, overrides=[("parallel.tensor", "2"), split], oversubscribed=1))
    have = [(point["settings"], point["ranks"], point["shares_cores"]) for point in scaling.points(*paths)]
    expect_same(have, [("", 1, False), ("parallel.tensor=2 parallel.head=split", 4, True), ("parallel.tensor=ranks parallel.head=split", 2, False),
                       ("parallel.tensor=ranks parallel.head=split", 4, False)])
    scaling.run("scaling", "--report", *paths, "-o", scaling.folder / "out")
    script = (scaling.folder / "out" / "strong-decode-16.gp").read_text()
    (low, high), (base_low, base_high) = interval(times_around(5.0)), interval(times_around(10.0))
    expect(f"$line0 << end\n1 1 1 1\n4 2.000000 {base_low / high:.6f} {base_high / low:.6f}\nend\n" in script, script)
    expect(re.search(r"\$line1 << end\n1 1 1 1\n2 1.666667 .*\n4 2.500000 .*\nend\n", script), script)
    expect("'measured, parallel.tensor=2, 1 thread a rank'" in script and ". 'parallel.head=split'\n" in script, script)  # told once
    expect("set xtics (1, 4, 2)" in script, script)
    document = json.loads(paths[0].read_text())
    del document["manifest"]["oversubscribed"]  # as before it was told
    paths[0].write_text(json.dumps(document))
    expect_same([point["shares_cores"] for point in scaling.points(paths[0])], [False])


@case
def runs_of_the_same_are_one_point(scaling):
    """All times count, and the interval holds those of all runs: a machine is not the same in every minute."""
    runs = [(20.0, [15.0]), (24.0, [18.0]), (21.0, [16.5])]
    paths = [scaling.document(1, {("decode", 16): (times_around(ms), busy)}, measured_at=f"2026-01-01T00:00:0{i}Z")
             for i, (ms, busy) in enumerate(runs)]
    [point] = scaling.points(*paths)
    times = [time for ms, _ in runs for time in times_around(ms)]
    ends = [interval(times_around(ms)) for ms, _ in runs]
    expect_same((point["runs"], near(point["median_ms"], statistics.median(times))), (3, True))
    expect(near(point["low95_ms"], min(low for low, _ in ends)) and near(point["high95_ms"], max(high for _, high in ends)), point, ends)
    expect(near(point["communication_efficiency"], statistics.mean(busy for _, [busy] in runs) / statistics.median(times)), point)
    for twice in ((0, 0, 1), (0, 1, 1), (1, 0, 1)):
        expect_same([point["runs"] for point in scaling.points(*(paths[i] for i in twice))], [2])
    many = [scaling.document(1, {("decode", 16): times_around(9.0, 501)}, measured_at=f"2026-01-02T00:00:0{i}Z") for i in range(2)]
    expect("up to 1000" in scaling.run("scaling", "--report", *many, code=2)[1], "too many times")
    other = scaling.document(1, {("decode", 16): times_around(20.0)}, commit="0123456")
    expect_same([point["runs"] for point in scaling.points(*paths, other)], [3, 1])


@case
def lines_that_a_picture_has_no_room_for_are_told(scaling):
    paths = [scaling.document(1, {("decode", 16): times_around(8.0)})]
    paths += [scaling.document(2, {("decode", 16): times_around(7.0)}, overrides=[("model.name", f"layout-{i:02}")]) for i in range(17)]
    for n, told in ((17, False), (18, True)):
        out = scaling.folder / f"out-{n}"
        scaling.run("scaling", "--report", *paths[:n], "-o", out)
        script = (out / "strong-decode-16.gp").read_text()
        expect(("more layouts than these lines" in script) == told and script.count("with yerrorlines") == 16, n)


@case
def a_border_stands_where_threads_get_more_than_cores(scaling):
    paths = [scaling.document(n, {("decode", 16): times_around(8.0)}, oversubscribed=int(n > 2)) for n in (1, 2, 3, 4)]
    scaling.run("scaling", "--report", *paths, "-o", scaling.folder / "out")
    script = (scaling.folder / "out" / "strong-decode-16.gp").read_text()
    expect(f"set arrow from {6 ** 0.5:.6g}, graph 0" in script, script)
    scaling.run("scaling", "--report", *paths[:2], "-o", scaling.folder / "own")
    expect("set arrow" not in (scaling.folder / "own" / "strong-decode-16.gp").read_text(), "a border")


@case
def settings_are_told_apart_and_share_a_base(scaling):
    split = [("parallel.split", "hf")]
    paths = [scaling.document(1, {("decode", 16): times_around(8.0)}), scaling.document(2, {("decode", 16): times_around(6.0)}),
             scaling.document(2, {("decode", 16): times_around(5.0)}, overrides=split),
             scaling.document(1, {("decode", 16): times_around(9.0)}, overrides=split)]
    points = {(point["settings"], point["ranks"]): point for point in scaling.points(*paths[:3])}
    check_point(points["", 2], strong(8.0, 6.0, 2))
    check_point(points["parallel.split=hf", 2], strong(8.0, 5.0, 2))
    points = {(point["settings"], point["ranks"]): point for point in scaling.points(*paths)}
    check_point(points["parallel.split=hf", 2], strong(9.0, 5.0, 2))  # one with its own settings


@case
def simulated_points_stand_apart(scaling):
    paths = [scaling.document(1, {("decode", 16): times_around(8.0)}), scaling.document(4, {("decode", 16): times_around(7.0)}),
             scaling.document(1, {("decode", 16): times_around(20.0)}, mpi="SMPI Version 3.32"),
             scaling.document(4, {("decode", 16): times_around(6.0)}, mpi="SMPI Version 3.32"),
             scaling.document(8, {("decode", 16): times_around(5.0)}, plugins="ref 0.1.0 (plain C); clock 1 (takes time)")]
    points = {(point["source"], point["ranks"]): point for point in scaling.points(*paths)}
    check_point(points["measured", 4], strong(8.0, 7.0, 4))
    check_point(points["simulated", 4], strong(20.0, 6.0, 4))
    check_point(points["simulated", 8], strong(20.0, 5.0, 8))


@case
def forms_say_the_same(scaling):
    folder = scaling.folder / "study"
    for ranks, ms in {1: 10.0, 2: 6.0}.items():
        path = scaling.document(ranks, {("decode", 16): times_around(ms)}, overrides=[("model.name", "a, b|c")])
        folder.mkdir(exist_ok=True)
        shutil.move(path, folder)
    points = scaling.points(folder)
    rows = list(csv.DictReader(io.StringIO(scaling.run("scaling", "--report", folder, "--format", "csv")[0])))
    expect_same([row["speed-up"] for row in rows], [f"{point['speedup']:.3f}" for point in points])
    expect_same([row["settings"] for row in rows], ["model.name=a, b|c"] * 2)
    model = scaling.made["model"]
    for form, end in (("table", "\n\n"), ("md", "\n\n|")):  # which model and machine, above the table
        first = scaling.run("scaling", "--report", folder, "--format", form)[0].split(end)[0].splitlines()
        expect(len(first) == 1 and first[0].startswith(f"{model}; {scaling.made['machine']} on "), first)
    expect("1.667" in scaling.run("scaling", "--report", folder)[0] and "| strong | decode |" in scaling.run("scaling", "--report", folder, "--format", "md")[0],
           "no table")
    out = scaling.folder / "out"
    listed = scaling.run("scaling", "--report", folder, "-o", out)[0].split()
    expect_same(sorted(os.path.basename(path) for path in listed), sorted(os.listdir(out)))
    expect_same(json.loads((out / "scaling.json").read_text())["points"], points)
    script = (out / "strong-decode-16.gp").read_text()
    expect("2 1.666667 " in script and "'ideal'" in script, script)
    if shutil.which("gnuplot"):
        expect("<svg" in (out / "strong-decode-16.svg").read_text(), "no picture")
    before = {name: (out / name).read_bytes() for name in os.listdir(out)}
    (out / "scaling.txt").unlink()  # one that would be written before one that is there
    expect("--force" in scaling.run("scaling", "--report", folder, "-o", out, code=2)[1], "written over")
    expect("scaling.txt" not in os.listdir(out), "half a report")
    scaling.run("scaling", "--report", folder, "-o", out, "--force")
    expect_same({name: (out / name).read_bytes() for name in os.listdir(out)}, before)
    for _ in range(2):  # its own files are none of the documents
        told = scaling.run("scaling", "--report", folder, "-o", folder, "--force")[1]
    expect(f"{folder}/scaling.json is passed over" in told, told)
    scaling.environment["PATH"] = str(scaling.folder)
    told = scaling.run("scaling", "--report", folder, "-o", scaling.folder / "scripts")[1]
    expect("gnuplot-nox" in told and "strong-decode-16.svg" not in os.listdir(scaling.folder / "scripts"), told)


@case
def texts_of_a_document_are_no_commands(scaling):
    """A line end in a text of it would end the quotes of gnuplot's script, and what follows would run."""
    harm = f'x\nsystem "touch {scaling.folder}/harm"\n'
    for change in ({"model": harm}, {"machine": harm}, {"overrides": [["model.name", harm]]}, {"host": harm},
                   {"environment": [[harm, "1"]]}):
        paths = [scaling.document(ranks, {("decode", 16): times_around(8.0)}) for ranks in (1, 2)]
        for path in paths:
            made = json.loads(path.read_text())
            (made if set(change) <= set(made) else made["manifest"]).update(change)
            path.write_text(json.dumps(made))
        expect("control characters" in scaling.run("scaling", "--report", *paths, "-o", scaling.folder / "out", code=4)[1], change)
    paths = [scaling.document(ranks, {("decode", 16): times_around(8.0)}, overrides=[("model.name", "it's 'x' `y` \\")]) for ranks in (1, 2)]
    scaling.run("scaling", "--report", *paths, "-o", scaling.folder / "out")
    expect("it''s ''x'' `y` \\'" in (scaling.folder / "out" / "strong-decode-16.gp").read_text(), "quotes")
    expect("harm" not in os.listdir(scaling.folder), "a text ran")


@case
def refusals_name_what_is_wrong(scaling):
    path = scaling.document(1, {("decode", 16): times_around(8.0)})
    (scaling.folder / "empty").mkdir()
    expect("joins documents with --report" in scaling.run("scaling", path, code=2)[1], "no mode")
    for words, code, sentence in (((), 2, "give documents"), ((path, "--format", "xml"), 2, "--format"),
                                  ((path, "-o", scaling.folder / "x", "--json"), 2, "leave --format out"),
                                  ((path, "--force"), 2, "--output"), ((path, "-o", path / "below"), 5, "cannot make"), ((scaling.folder / "empty",), 2, "no documents"),
                                  ((scaling.folder / "none.json",), 5, "none.json"),
                                  ((scaling.document(1, {}),), 2, "nothing to join")):
        expect(sentence in scaling.run("scaling", "--report", *words, code=code)[1], words, sentence)


def a_launcher(folder, name, text):
    (folder / name).write_text("#!/bin/sh\n" + text)
    (folder / name).chmod(0o755)


@case
def a_study_starts_ranks_by_three_launchers(scaling):
    """By stand-ins that say what they were told, and run jobs as Slurm would."""
    bin_folder = scaling.folder / "bin"
    bin_folder.mkdir()
    for name in ("mpirun", "srun"):
        a_launcher(bin_folder, name, f'printf "{name}"; for word in "$@"; do printf " [%s]" "$word"; done; echo\n')
    a_launcher(bin_folder, "sbatch", 'while [ $# -gt 1 ]; do if [ "$1" = -o ]; then out=$2; fi; shift; done; sh "$1" > "$out"\n')
    scaling.environment["PATH"] = f"{bin_folder}:{os.environ['PATH']}"
    start = scaling.source_dir / "scripts" / "study" / "start"

    def told(launcher):
        ran = subprocess.run([start, launcher, "4", "2", "tfrun", "a b", "it's", "RANKS"], capture_output=True, text=True, cwd=scaling.folder,
                             env=scaling.environment, timeout=60 * SLOWER)
        return ran.returncode, ran.stdout

    expect_same(told("mpirun"), (0, "mpirun [-n] [4] [tfrun] [a b] [it's] [4]\n"))
    expect_same(told("srun"), (0, "srun [--kill-on-bad-exit=1] [--mpi=pmix] [-n] [4] [-c] [2] [tfrun] [a b] [it's] [4]\n"))
    expect_same(told("sbatch"), (0, "srun [--kill-on-bad-exit=1] [--mpi=pmix] [-c] [2] [tfrun] [a b] [it's] [4]\n"))
    expect_same(told("ssh")[0], 2)


@case
def a_study_by_jube_ends_in_a_report(scaling):
    if shutil.which("jube") is None:
        print("no jube (package jube)")
        sys.exit(77)
    bin_folder = scaling.folder / "bin"
    bin_folder.mkdir()
    a_launcher(bin_folder, "mpirun", 'shift 2; exec "$@"\n')
    scaling.environment |= {"PATH": f"{bin_folder}:{os.environ['PATH']}", "STUDY_TFRUN": str(scaling.program), "STUDY_RANKS": "1", "STUDY_PASSES": "1,2",
                            "STUDY_CONFIG": str(scaling.source_dir / "configs" / "demo"), "STUDY_CASES": "decode:16,sequences:2",
                            "STUDY_OPTIONS": "--no-roofs --repetitions 10"}
    ran = subprocess.run([scaling.source_dir / "scripts" / "study" / "run", scaling.folder / "study"], capture_output=True, text=True,
                         env=scaling.environment, timeout=200 * SLOWER)
    told = [line for line in ran.stderr.splitlines() if not line.startswith("tfrun: warning: ")]  # of cores that others use
    expect_same((ran.returncode, told), (0, []))
    points = json.loads((scaling.folder / "study" / "report" / "scaling.json").read_text())["points"]
    expect_same([(point["case"], point["n"], point["settings"], point["runs"]) for point in points],
                [("decode", 16, "", 2), ("sequences", 2, "", 2)])
    for i in range(2):
        document = json.loads((scaling.folder / "study" / "documents" / f"00000{i}_bench.json").read_text())
        told = str(round(document["cases"][0]["median_ms"], 6))  # JUBE leaves out the last digit where it is 0
        expect(told in ran.stdout and document["logits_digest"] in ran.stdout, ran.stdout)


if __name__ == "__main__":
    sys.exit(main(Scaling))
