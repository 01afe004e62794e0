#!/usr/bin/env python3
"""test_inject.py TFRUN NAME SOURCE_DIR INJECT_SO INJECT_CALLS [MPIEXEC]: what comes when a request of a command is refused, a sample of all places.

`test_inject.py --list` prints the names: the commands of injecting_commands.py, each run again and again with another request refused, alone or
with all after it. Exit code 0 has to mean the whole right result, any other a sentence on stderr; no crash, no half-written file, and
nothing held at the end that was not held without the fault. scripts/inject tries all places.
"""
import os
import pathlib
import subprocess
import sys

from cases import CASES, case, expect, main
from injecting import ALONE, CALL_KINDS, LIBRARY_KINDS, Box, Case, Skip
from injecting_commands import COMMANDS
from injecting_ends import FAULTS, judge

MEMORY_POINTS, OTHERS = 3, 3  # kinds beside memory that a command has, one point each; all kinds have their turn
NEVER_NONE = ("memory", "open", "read", "stat", "close", "interrupt", "sigint", "sigterm")  # whatever the command
SLOW = ("load", "bench", "bench_compare", "profile", "quantize_data")  # for scripts/inject


def spread(count, points):
    """`points` numbers of 1..count, neither the first nor the last."""
    return sorted({1 + (2 * i + 1) * count // (2 * points) for i in range(points)} if count > 0 else set())


def sample(box, name, kind, case):
    clean = box.run(case, kind)
    if clean.code == 77 and kind in CALL_KINDS:
        print(f"{kind} is left out: this machine lets no tracer stop calls")
        return []
    expect(clean.code == 0, name, kind, clean.code, clean.error)
    expect(clean.count > (10 if kind == "memory" else 0) or kind not in NEVER_NONE, clean.count, kind, "requests; they are counted wrongly")
    faults = []
    first = [1] if kind.startswith("message") else []  # the start of MPI, without which it has no words for a failure
    for at in first + spread(clean.count, MEMORY_POINTS if kind == "memory" else 1):
        for rest in (False,) if kind in ALONE or case.ranks > 1 else (False, True):
            outcome, what = judge(case, kind, box.run(case, kind, at, rest), clean, rest)
            if outcome in FAULTS:
                faults.append(f"{kind} {at} of {clean.count}{' and all after it' if rest else ''}: {outcome}: {what}")
    return faults


def kinds_of_sample(name, case):
    if case.ranks > 1:
        return ("message_0", "message_1", "memory_1")
    turn, others = list(COMMANDS).index(name), LIBRARY_KINDS[1:] + CALL_KINDS
    return ["memory"] + [others[(OTHERS * turn + i) % len(others)] for i in range(OTHERS)]


def try_sample(box, name):
    case = COMMANDS[name](box)
    faults = [fault for kind in kinds_of_sample(name, case) for fault in sample(box, name, kind, case)]
    expect(not faults, len(faults), "faults:", "\n".join(faults))


def try_or_skip(box, name):
    try:
        try_sample(box, name)
    except Skip as reason:
        print("skipped:", reason)
        sys.exit(77)


def make(program, source, folder):
    if len(sys.argv) < 6 or not os.path.exists(sys.argv[4]):
        print("skipped: no library to preload")
        sys.exit(77)
    return Box(program, source, folder, *sys.argv[4:7])


@case
def duplicates_of_files_are_counted(box):
    """However a file is duplicated, the report of what is held has it, until it is closed."""
    count = box.folder / "count"
    subprocess.run([pathlib.Path(box.library).parent / "inject_dups"], check=True, env={**os.environ, "LD_PRELOAD": box.library, "TFR_INJECT_COUNT": str(count)})
    held = dict(line.split(" ", 1) for line in count.read_text().splitlines() if " " in line)
    expect(held["files"] == "5" and held["names"].split() == [f"/proc/{held['names'].split('/')[2]}/maps"] * 5, held)


@case
def ways_are_told_by_their_first_and_last_request(box):
    """scripts/inject begins with these: each way once, the first request begins one, and the same ways in another run."""
    case = COMMANDS["generate"](box)
    for kind in ("memory", "map"):
        one, other = (box.run(case, kind, wants_ways=True) for _ in range(2))
        firsts = [first for first, _ in one.ways]
        expect(one.code == 0 and one.ways == other.ways, kind, one.code, one.error)
        expect(firsts[0] == 1 and len(set(firsts)) == len(firsts) <= one.count, kind, firsts, one.count)
        expect(all(first <= last <= one.count for first, last in one.ways), kind, one.ways)
    calls = box.run(case, "read", wants_ways=True)
    expect(calls.code == 77 or 1 < len(calls.ways) < calls.count, calls.code, calls.ways, calls.count, calls.error)


@case
def a_primitive_does_not_run_without_its_data(box):
    """The last calls of oneDNN, each refused in turn, are those of a linear that runs: where its data are, and the run itself."""
    linears = Case(box.golden / "base", "--prompt-ids", "1,2,3", "-n", 1, "-q", "-t", 1, "--kernels", "onednn")
    clean = box.run(linears, "vendor")
    expect(clean.code == 0, clean.code, clean.error)
    for at in range(max(1, clean.count - 11), clean.count + 1):
        outcome, what = judge(linears, "vendor", box.run(linears, "vendor", at), clean)
        expect(outcome not in FAULTS, at, clean.count, outcome, what)


for each in (name for name in COMMANDS if name not in SLOW):
    CASES[each] = lambda box, name=each: try_or_skip(box, name)

if __name__ == "__main__":
    sys.exit(main(make))
