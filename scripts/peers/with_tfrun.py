"""with_tfrun.py: tfrun's library through its public header tfrun.h, for worker.py. Precisions: runtime.dtype.

Whole numbers are rounded once before, by `tfrun quantize`, as those of other programs are.
"""

import ctypes
import os
import pathlib
import re
import subprocess
import sys

import worker

PROGRAM = os.environ.get("TFRUN_PROGRAM") or str(pathlib.Path(__file__).resolve().parents[2] / "build" / "bin" / "tfrun")


def library():
    """The one that the program itself loads."""
    loads = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True, check=True).stdout
    return re.search(r"=> (\S*/libtfrun\.so\S*)", loads).group(1)


class Override(ctypes.Structure):
    _fields_ = [("key", ctypes.c_char_p), ("value", ctypes.c_char_p), ("origin", ctypes.c_char_p)]


class Feed(ctypes.Structure):
    _fields_ = [
        ("session", ctypes.c_void_p),
        ("ids", ctypes.POINTER(ctypes.c_int32)),
        ("n", ctypes.c_int64),
        ("keep", ctypes.c_int64),
    ]


def ids_of(ids):
    return (ctypes.c_int32 * len(ids))(*ids)


def convert(model, precision, files):
    words = [PROGRAM, "quantize", model, "--to", precision, "-o", pathlib.Path(files) / "model", "-q"]
    subprocess.run(words, check=True, stdout=sys.stderr)


class Peer(worker.Peer):
    def __init__(self, model, precision, threads, files):
        if files != "-":
            model, self.notes = str(pathlib.Path(files) / "model"), "rounded before"
        self.lib = ctypes.CDLL(library())
        self.lib.tfr_last_error.restype = self.lib.tfr_version.restype = self.lib.tfr_engine_isa.restype = ctypes.c_char_p
        self.lib.tfr_engine_vocab_size.restype = self.lib.tfr_engine_n_positions.restype = ctypes.c_int64
        wanted = {"runtime.dtype": precision, "runtime.threads": threads}
        overrides = (Override * len(wanted))(
            *[Override(key.encode(), str(value).encode(), b"worker") for key, value in wanted.items()]
        )
        self.engine = ctypes.c_void_p()
        self.must(self.lib.tfr_engine_open(ctypes.byref(self.engine), os.fsencode(model), overrides, ctypes.c_size_t(len(wanted))))
        self.vocabulary = self.lib.tfr_engine_vocab_size(self.engine)
        self.sessions = []
        self.start = [PROGRAM, str(model), "--dtype", precision, "-t", str(threads), "-n", "1", "-q", "--no-echo", "-p", "{text}"]

    def must(self, status):
        if status:
            raise RuntimeError(self.lib.tfr_last_error().decode())

    def versions(self):
        return {"tfrun": self.lib.tfr_version().decode(), "isa": self.lib.tfr_engine_isa(self.engine).decode()}

    def sessions_of(self, n):
        """n sessions with nothing in them."""
        while len(self.sessions) < n:
            session = ctypes.c_void_p()
            room = self.lib.tfr_engine_n_positions(self.engine)
            self.must(self.lib.tfr_session_open(ctypes.byref(session), self.engine, ctypes.c_int64(room)))
            self.sessions.append(session)
        for session in self.sessions:
            self.must(self.lib.tfr_session_crop(session, ctypes.c_int64(0)))
        return self.sessions[:n]

    def feed(self, sessions, inputs):
        feeds = (Feed * len(sessions))(*[Feed(s, ids_of(ids), len(ids), 1) for s, ids in zip(sessions, inputs)])
        logits = ctypes.POINTER(ctypes.c_float)()
        self.must(self.lib.tfr_engine_feed(self.engine, feeds, ctypes.c_size_t(len(sessions)), ctypes.byref(logits)))
        return logits, len(sessions)

    def prefill(self, ids):
        return self.feed(self.sessions_of(1), [ids])

    def open(self, prompts):
        self.streams = self.sessions_of(len(prompts))
        for session, prompt in zip(self.streams, prompts):
            self.feed([session], [prompt])

    def step(self, tokens):
        return self.feed(self.streams, [[token] for token in tokens])

    def rows(self, result):
        logits, n = result
        return ctypes.string_at(logits, 4 * n * self.vocabulary)
