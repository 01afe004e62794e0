"""fake_peer.py KIND: a worker for scripts/compare_peers.py that is tfrun in f32 in disguise, right, wrong, or dead in the middle."""

import array
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "peers"))
import with_tfrun  # noqa: E402
import worker  # noqa: E402

KIND = sys.argv[1]


class Peer(with_tfrun.Peer):
    notes, prefills = "in disguise", 0

    def __init__(self, model, _precision, threads, files):
        super().__init__(model, "f32", threads, files)
        self.start = None

    def prefill(self, ids):
        self.prefills += 1
        if KIND == "dies" and self.prefills > 1:
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(3)
        return super().prefill(ids)

    def step(self, tokens):
        return super().step(tokens if KIND != "late" else [self.vocabulary - 1 - token for token in tokens])

    def rows(self, result):
        row = super().rows(result)
        return row if KIND != "wrong" else array.array("f", reversed(array.array("f", row))).tobytes()


worker.serve(Peer, worker.apart())
