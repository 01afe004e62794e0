#!/usr/bin/env python3
"""compare_peers.py MODEL [OPTION...]: tfrun beside other programs that run GPT-2: prompts, tokens, sixteen streams, start, memory.

Every program and precision is a process of its own (scripts/peers/worker.py) that stays alive; the rounds go over all of them work
by work, and whoever does not work is stopped. First each one's logits are compared with tfrun's in f32, of prompts and of decoding; who
is too far off is named and not timed. Then, in each round: prompts of 512 and 1000 tokens (fresh ids, logits of the last position), one
stream and sixteen behind 128 tokens each, and a fresh process from its start to the first token behind a prompt of 8, with its peak
memory. Peers live in virtual environments that scripts/peers/setup makes; who is missing is left out by name. Python's own library only.
"""

import argparse
import json
import os
import pathlib
import random
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))
import argtypes  # noqa: E402
import fleet  # noqa: E402
import report  # noqa: E402
from peers import CLASSES, PEERS  # noqa: E402
from servers import end_by_signals  # noqa: E402

VENVS = pathlib.Path("peers")
WORKS = {"prefill-512": 512, "prefill-1000": 1000, "decode-1": 1, "decode-16": 16, "start": 8}
LONG_START_S = 10  # a start that takes longer is measured in the first round alone
CONTEXT, TEXT = 128, "The old sailor looked at the sea and"  # eight tokens of GPT-2's vocabulary


class Tokens:
    """Ids that nobody has seen before, so that no cache of prefixes helps; never the last one, which ends a text."""

    def __init__(self, model, seed):
        self.n = json.loads((pathlib.Path(model) / "config.json").read_text(encoding="utf-8"))["vocab_size"] - 1
        self.random = random.Random(seed)

    def some(self, n):
        return [self.random.randrange(self.n) for _ in range(n)]

    def lists(self, n, length):
        return [self.some(length) for _ in range(n)]


def check(workers, options, tokens, folder):
    """Keeps those whose logits are right; the reference is asked once for each sequence."""
    asked = {
        "prefill": [tokens.some(WORKS[work]) for work in options.work if work.startswith("prefill")] or [tokens.some(8)],
        "prompts": tokens.lists(16, CONTEXT) if any(work.startswith("decode") for work in options.work) else [],
        "tokens": tokens.lists(2, 16),
    }
    reference, known, right = workers[0], {}, []
    for worker in workers:
        try:
            found = worker.logits(asked, folder / "logits")
            missing = list(dict.fromkeys(ids for ids, _ in found if ids not in known))
            if missing:
                known.update(reference.logits({"prefill": missing, "prompts": [], "tokens": []}, folder / "reference"))
            worker.agreement = fleet.agreement(found, known, worker.precision)
        except fleet.Failed as failed:
            options.skipped.append((worker.name, str(failed)))
            worker.end()
            continue
        options.say(f"{worker.name}: {report.agreement_text(worker.agreement)}")
        if worker.agreement["is_right"]:
            right.append(worker)
        else:
            options.skipped.append((worker.name, "wrong logits: " + report.agreement_text(worker.agreement)))
            worker.end()
    return right


def measure(worker, work, options, tokens):
    """Samples in ms (a start: s and MB) of one work of one worker in one round."""
    if work == "start":
        if any(seconds > LONG_START_S for one in worker.samples.get("start", []) for seconds in one):
            return {}
        return worker.measure_start(TEXT, tokens.some(WORKS[work]))
    with worker.awake():
        if work.startswith("prefill"):
            return {
                work: [worker.ask({"do": "prefill", "ids": tokens.some(WORKS[work])})["ms"] for _ in range(options.repetitions)]
            }
        n = WORKS[work]
        steps = options.steps + 1 if n == 1 else options.steps // 2 + 1
        asked = {"do": "decode", "prompts": tokens.lists(n, CONTEXT), "tokens": tokens.lists(steps, n)}
        return {work: worker.ask(asked)["ms"][1:]}  # the first step behind a prompt finds cold caches


def run_rounds(workers, options, tokens):
    """As many rounds as were asked for, but none that would not end within --minutes; how many there were."""
    longest = 0
    for number in range(options.rounds):
        begin = time.monotonic()
        if number and options.minutes and begin + longest > options.begin + 60 * options.minutes:
            options.say(f"no time for round {number + 1}")
            return number
        for work in options.work:
            for worker in workers[number % len(workers) :] + workers[: number % len(workers)]:
                if worker.is_over:
                    continue
                try:
                    for name, samples in measure(worker, work, options, tokens).items():
                        worker.samples.setdefault(name, []).append(samples)
                except fleet.Failed as failed:
                    options.skipped.append((worker.name, f"{work}, round {number + 1}: {failed}"))
                    worker.end()
        longest = max(longest, time.monotonic() - begin)
        options.say(f"round {number + 1} of {options.rounds} done in {time.monotonic() - begin:.0f} s")
    return options.rounds


def candidates(options):
    """(peer, precision, command, environment, files) of all that were asked for and are there."""
    for peer in PEERS:
        for precision in peer.precisions:
            name = f"{peer.name} {precision}"
            if peer.name != "tfrun" and not options.wants(peer, precision):
                continue
            if peer.name == "tfrun" and precision != "f32" and not options.wants(peer, precision):
                continue
            try:
                yield fleet.known(peer, precision, options)
            except fleet.Failed as failed:
                options.skipped.append((name, str(failed)))
    for given in options.worker:
        name, _, command = given.partition("=")
        peer, _, precision = name.rpartition("/")
        yield fleet.Worker(peer, precision, command.split(), {}, "-", options)


def start_all(options):
    workers = []
    for worker in candidates(options):
        try:
            options.say(f"{worker.name}: loading")
            worker.load()
            workers.append(worker)
        except fleet.Failed as failed:
            options.skipped.append((worker.name, str(failed)))
            worker.end()
    if not workers or workers[0].name != "tfrun f32":
        sys.exit("tfrun f32, the reference, does not run: " + dict(options.skipped).get("tfrun f32", "it is not there"))
    return workers


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="a Hugging Face folder of GPT-2, f32, config.json and model.safetensors")
    parser.add_argument(
        "--venvs", type=pathlib.Path, metavar="DIR", help=f"where scripts/peers/setup put the peers [{VENVS}; where it is not there, tfrun alone]"
    )
    parser.add_argument("--tfrun", type=pathlib.Path, default=HERE.parent / "build" / "bin" / "tfrun", metavar="PROGRAM")
    parser.add_argument(
        "--files", type=argtypes.makeable, metavar="DIR",
        help="converted models, made where they are missing; default: VENVS/models, for this run alone where VENVS is not there"
    )
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="of each, on the first N cores that this process may use"
    )
    parser.add_argument("--peers", metavar="LIST", help="names or NAME/PRECISION, in commas: tfrun,llama.cpp/q8_0; default: all")
    parser.add_argument("--work", default=",".join(WORKS), metavar="LIST", help="some of " + ", ".join(WORKS))
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--minutes", type=float, metavar="N", help="for all; a round that would end later is not begun")
    parser.add_argument("--repetitions", type=int, default=2, metavar="N", help="prompts of each length in a round")
    parser.add_argument("--steps", type=int, default=16, metavar="N", help="of one stream in a round; of sixteen, half as many")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument(
        "--worker", action="append", default=[], metavar="NAME/PRECISION=COMMAND", help="one more, that speaks as peers/worker.py"
    )
    parser.add_argument("--format", choices=("table", "json", "md"), default="table")
    parser.add_argument("-o", "--output", metavar="FILE", help="the JSON document, whatever is printed")
    options = parser.parse_args()
    options.skipped, options.begin = [], time.monotonic()
    if options.venvs is not None and not options.venvs.is_dir():
        parser.error(f"--venvs: there is no folder '{options.venvs}'; scripts/peers/setup {options.venvs} makes it")
    options.venvs = options.venvs or VENVS
    if options.files is None and options.venvs.is_dir():
        options.files = options.venvs / "models"
    refuse_nonsense(parser, options)
    return options


def need(work, options):
    return CONTEXT + options.steps + 1 if work.startswith("decode") else WORKS[work]


def refuse_nonsense(parser, options):
    options.work = options.work.split(",")
    for work in options.work:
        if work not in WORKS:
            parser.error(f"--work: '{work}' is none of {', '.join(WORKS)}")
    if not options.tfrun.is_file():
        parser.error(f"--tfrun: there is no program '{options.tfrun}'")
    for file in (options.model / "config.json", options.model / "model.safetensors"):
        if not file.is_file():
            parser.error(f"{file}: there is no such file")
    try:
        config = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
        positions, _ = config.get("n_positions", 1024), config["vocab_size"]
    except (ValueError, AttributeError, KeyError) as error:
        parser.error(f"{options.model / 'config.json'}: this is not the config of a model ({error!r})")
    if options.output and not pathlib.Path(options.output).absolute().parent.is_dir():
        parser.error(f"--output: there is no folder for {options.output}")
    for work in options.work:
        if (needed := need(work, options)) > positions:
            parser.error(f"--work: {work} takes {needed} positions, the model has {positions}")
    for name in ("threads", "rounds", "repetitions", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: {getattr(options, name)} is no whole number above 0")
    if options.minutes is not None and not options.minutes > 0:
        parser.error(f"--minutes: {options.minutes} is no number above 0")
    if options.threads > len(os.sched_getaffinity(0)):
        parser.error(
            f"--threads: {options.threads} is more than the {len(os.sched_getaffinity(0))} cores that this process may use"
        )
    wanted = options.peers.split(",") if options.peers else []
    known = {peer.name for peer in PEERS} | {f"{peer.name}/{precision}" for peer in PEERS for precision in peer.precisions}
    lower = {name.lower() for name in known}
    for name in wanted:
        if name.lower() not in lower:
            parser.error(f"--peers: '{name}' is none of {', '.join(peer.name for peer in PEERS)}")
    wanted = {name.lower() for name in wanted}
    options.wants = lambda peer, precision: not wanted or bool({peer.name.lower(), f"{peer.name}/{precision}".lower()} & wanted)
    for given in options.worker:
        name, _, command = given.partition("=")
        if not command or name.rpartition("/")[2] not in CLASSES or not name.rpartition("/")[0]:
            parser.error(f"--worker: '{given}' is not NAME/PRECISION=COMMAND with a precision of {', '.join(CLASSES)}")


def main():
    options = parse()
    options.say = lambda what: print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    load_before, workers = os.getloadavg()[0], []
    end_by_signals()
    with tempfile.TemporaryDirectory() as folder:
        options.logs, tokens = pathlib.Path(folder), Tokens(options.model, options.seed)
        if options.files is None:
            options.files = options.logs / "models"
            options.say(f"there is no folder '{options.venvs}': files that are made are for this run alone; --files DIR keeps them")
        try:
            workers = start_all(options)
            timed = check(workers, options, tokens, options.logs)
            options.rounds = run_rounds(timed, options, tokens)
            document = report.document(timed, options, (load_before, os.getloadavg()[0]))
        finally:
            fleet.end_all()
    if options.output:
        pathlib.Path(options.output).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(report.text(document, options.format))
    return 0


if __name__ == "__main__":
    sys.exit(main())
