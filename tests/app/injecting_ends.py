"""What is right at the end of a command of which a request was refused, or that got a signal: see injecting.py."""
import json
import signal

PASSING = ("short_read", "short_write")  # nothing is lost: the result is whole
OWN_WORDS = ("libgomp: Out of memory", "libgomp: Thread creation failed", "topology-linux.c")  # of vendors that end the process themselves
MACHINES = 4  # records of the machine, kept for plugins: another one where it can be looked at only in part
OTHER_PRIMITIVES = 16  # that oneDNN's plugin keeps where a refused call makes the plan take another one
FAULTS = ("crash", "hang", "silent", "wrong", "half", "leak")


def may_lack_report(case, run):
    """A signal ended the process, or MPI_Abort and the launcher the ranks, or a server was told a second time to end and said so."""
    return run.code < 0 or (case.ranks > 1 and run.code != 0) or (case.serves and run.code > 128 and bool(said(case, run)))


def leak(case, run, clean, kind):
    """What is held at the end and was not in a run without a fault. A vendor that ends the process leaves no report: not asked then."""
    if not run.held and not may_lack_report(case, run):
        return f"exit code {run.code}, and no report of what is held"
    for name, room in (("blocks", MACHINES if kind == "machine" else 0), ("kept", OTHER_PRIMITIVES), ("mapped", 0), ("files", 0)):
        if run.held and int(run.held[name]) > int(clean.held[name]) + room:
            return f"{name}: {run.held[name]}, without a fault {clean.held[name]}; requests {run.held.get('held', '')}; files {run.held.get('names', '')}"
    return None


def is_whole_text(text):
    """Of a file whose figures vary."""
    if text.lstrip().startswith((b"{", b"[")):
        try:
            json.loads(text)
        except ValueError:
            return False
    return text != b""


def words_of(out, has_hidden):
    """Of a report: a file that a refused call hid has a row that tells so, which makes columns wider and counts one more."""
    lines = out.splitlines()[:-1] if has_hidden else out.splitlines()
    return [line.split() for line in lines if b"can't be looked at" not in line]


def has_same_results(case, kind, run, clean):
    if case.reports and b"can't be looked at" in run.out:
        return words_of(run.out, True) == words_of(clean.out, True)
    if not case.varies and not (case.machine and kind in ("machine", "vendor")):
        return run.out == clean.out and (run.files == clean.files or (case.spares and not run.files))
    return run.files.keys() == clean.files.keys() and bool(run.out) == bool(clean.out) and all(map(is_whole_text, run.files.values()))


def half_written(case, run, clean):
    """Names of files that are neither absent nor whole. What stands in the names' folder beforehand is none."""
    def is_whole(name, content):
        return name in clean.files and (is_whole_text(content) if case.varies else clean.files[name] == content)
    return [name for name, content in run.files.items() if not is_whole(name, content)]


def said(case, run):
    """The sentence of a refusal."""
    lines = [line for line in run.error.splitlines() if line.startswith("tfrun: ") and not line.startswith("tfrun: warning")]
    return lines or (["in the report"] if case.reports and b"refused" in run.out else [])


def judge_serve(run, clean, rest):
    answers, wanted = json.loads(run.out), json.loads(clean.out)
    for answer, want in zip(answers, wanted):
        if answer is not None and answer[0] == 200 and answer != want:
            return "wrong", f"the answer is {answer}"
    n_other = sum(answer != want for answer, want in zip(answers, wanted)) + len(wanted) - len(answers)
    if n_other > 1 and not rest and run.code == 0:
        return "silent", f"one fault, and more than one answer is another: {answers}"
    return ("whole", "") if answers == wanted else ("refused", f"{answers}")


def judge_signal(case, kind, run, clean):
    number = int(signal.SIGINT if kind == "sigint" else signal.SIGTERM)
    if run.code not in (0, -number, 128 + number):
        return "crash", f"exit code {run.code}: {run.error[-300:]}"
    if run.code == 0 and not case.serves and not has_same_results(case, kind, run, clean):
        return "wrong", f"exit code 0, but {run.out[:200]!r} and {sorted(run.files)}"
    if run.code == -number and not case.program and not said(case, run):
        return "silent", f"no sentence: {run.error!r}"
    if run.code == 128 + number and not said(case, run) and not case.varies and not clean.out.startswith(run.out.rstrip()):
        return "wrong", f"stopped in order, but what there is is no beginning of the whole: {run.out[:200]!r}"
    return ("whole" if run.code == 0 else "refused"), ""


def judge_end(case, kind, run, clean, rest):
    if run.code == "hang":
        return "hang", run.error[-300:]
    if kind.startswith("sig"):
        return judge_signal(case, kind, run, clean)
    if any(words in run.error for words in OWN_WORDS):
        return "vendor", ""
    if run.code < 0 or run.code > 6:
        return "crash", f"exit code {run.code}: {run.error[-300:]}"
    if case.serves and run.code == 0:
        return judge_serve(run, clean, rest)
    if run.code == 0:
        return ("whole", "") if has_same_results(case, kind, run, clean) else ("wrong", f"exit code 0, but {run.out[:300]!r} and {sorted(run.files)}; {run.error[-300:]}")
    if not said(case, run):
        return "silent", f"exit code {run.code} without a sentence: {run.error!r}"
    return "refused", ""


def judge(case, kind, run, clean, rest=False):
    """(outcome, what is wrong): whole, refused or vendor are right, others are FAULTS."""
    outcome, what = judge_end(case, kind, run, clean, rest)
    if outcome in FAULTS:
        return outcome, what
    half = half_written(case, run, clean)
    if half:
        return "half", f"exit code {run.code}, but there is {half}"
    if kind in PASSING and outcome == "refused":
        return "wrong", f"nothing was lost, but exit code {run.code}: {run.error[-300:]}"
    if case.program and outcome == "refused" and not rest and not kind.startswith("sig"):
        return "wrong", f"one fault, and the engine is of no more use: {run.error[-300:]}"
    held = leak(case, run, clean, kind) if outcome != "vendor" else None
    return ("leak", held) if held else (outcome, "")
