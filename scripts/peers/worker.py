#!/usr/bin/env python3
"""worker.py PEER: one program with one precision, for scripts/compare_peers.py: JSON lines on stdin, one JSON line back for each.

  {"do": "load", "model": DIR, "precision": P, "threads": N, "files": DIR}
        {"versions": {..}, "notes": TEXT, "start": COMMAND or null}
  {"do": "check", "prefill": [[id..]..], "prompts": [[id..]..], "tokens": [[id..]..], "logits": FILE}
        {"sequences": [[id..]..]}: FILE has a row of f32 logits behind the last token of each: first those of `prefill`, one call each,
        then the first prompt alone, then all together, with a step for each of the lists of tokens behind them
  {"do": "prefill", "ids": [id..]}
        {"ms": T}: logits of the last position
  {"do": "decode", "prompts": [[id..]..], "tokens": [[id..]..]}
        {"ms": [T..]}: of each step; the prompts are not timed
  {"do": "quit"}

What fails answers {"error": TEXT}. Two ways beside: `worker.py PEER --convert MODEL PRECISION FILES` makes the files that a peer needs,
and `worker.py PEER --start MODEL PRECISION THREADS FILES ID,..` prints the greedy token behind those ids and ends. PEER is the end of
the name of a file with_PEER.py beside this one, which has a class Peer.
"""

import importlib
import json
import os
import pathlib
import sys
import time


class Peer:
    """What a peer is made of. `rows` turns what `prefill` and `step` gave into bytes, f32 [sequences, vocabulary]."""

    notes, start = "", None

    def versions(self):
        return {}

    def prefill(self, ids):
        raise NotImplementedError

    def open(self, prompts):
        raise NotImplementedError

    def step(self, tokens):
        raise NotImplementedError

    def rows(self, result):
        raise NotImplementedError

    def decode(self, prompts, tokens):
        """ms of each step, what was fed behind the prompts, and the last step's result."""
        self.open(prompts)
        ms, result = [], None
        for fed in tokens:
            begin = time.perf_counter()
            result = self.step(fed)
            ms.append(1e3 * (time.perf_counter() - begin))
        return ms, tokens, result


def answer_check(peer, asked):
    sequences, prompts = list(asked["prefill"]), asked["prompts"]
    with open(asked["logits"], "wb") as file:
        for ids in asked["prefill"]:
            file.write(peer.rows(peer.prefill(ids)))
        for some in (prompts[:1], prompts) if prompts else ():
            _, fed, result = peer.decode(some, [step[: len(some)] for step in asked["tokens"]])
            sequences += [prompt + [step[i] for step in fed] for i, prompt in enumerate(some)]
            file.write(peer.rows(result))
    return {"sequences": sequences}


def answer(peer, asked):
    what = asked["do"]
    if what == "check":
        return answer_check(peer, asked)
    if what == "prefill":
        begin = time.perf_counter()
        peer.prefill(asked["ids"])
        return {"ms": 1e3 * (time.perf_counter() - begin)}
    if what == "decode":
        return {"ms": peer.decode(asked["prompts"], asked["tokens"])[0]}
    raise ValueError(f"'{what}' is nothing that a worker does")


def apart():
    """Where stdout led to, for answers alone: what a library prints goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def serve(make, out):
    peer = None
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "quit":
            break
        try:
            if asked["do"] == "load":
                peer = make(asked["model"], asked["precision"], asked["threads"], asked["files"])
                reply = {"versions": peer.versions(), "notes": peer.notes, "start": peer.start}
            else:
                reply = answer(peer, asked)
        except Exception as error:  # of a library: whatever it throws is told, and the driver decides
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=out, flush=True)
    os._exit(0)  # nothing to keep, and some libraries are slow to go


def start(make, out, model, precision, threads, files, ids):
    peer = make(model, precision, int(threads), files)
    row = memoryview(peer.rows(peer.prefill([int(token) for token in ids.split(",")]))).cast("B").cast("f")
    print(max(range(len(row)), key=row.__getitem__), file=out, flush=True)
    os._exit(0)


def main():
    if sys.argv[1:2] in ([], ["-h"], ["--help"]):
        print(__doc__.strip())
        return 0 if sys.argv[1:] else 2
    peers = sorted(path.stem.removeprefix("with_") for path in pathlib.Path(__file__).parent.glob("with_*.py"))
    if sys.argv[1] not in peers:
        print(f"worker.py: {sys.argv[1]!r} is none of {', '.join(peers)}", file=sys.stderr)
        return 2
    out, name, how, words = apart(), sys.argv[1], sys.argv[2:3], sys.argv[3:]
    module = importlib.import_module("with_" + name)
    if how == ["--convert"]:
        module.convert(*words)
    elif how == ["--start"]:
        start(module.Peer, out, *words)
    else:
        serve(module.Peer, out)
    return 0


if __name__ == "__main__":
    sys.modules["worker"] = sys.modules["__main__"]
    sys.exit(main())
