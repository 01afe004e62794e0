"""with_llama.py: llama.cpp's own library through the bindings of llama-cpp-python's source, for worker.py.

`setup` unpacks and builds it in the folder LLAMA_CPP, whose src and build are meant here. Keys and values are f32 beside f32
weights, else f16, llama.cpp's default. Start to first token is measured of its program llama-completion, not of Python.
"""

import ctypes
import importlib
import os
import pathlib
import subprocess
import sys
import types

import worker

FOLDER = pathlib.Path(os.environ["LLAMA_CPP"])
QUANTIZED = {"q8_0": "Q8_0", "q4_0": "Q4_0"}
STREAMS, POSITIONS, ROOM = 16, 1024, 256  # most streams, positions of one alone, and of each of several
F32, F16 = 0, 1  # ggml_type


def source():
    return next((FOLDER / "src").glob("llama_cpp_python-*/"))


def bindings():
    """The module of bindings alone, without the package's own model class and what that imports."""
    package = types.ModuleType("llama_cpp")
    package.__path__ = [str(source() / "llama_cpp")]
    sys.modules["llama_cpp"] = package
    os.environ["LLAMA_CPP_LIB_PATH"] = str(FOLDER / "build" / "bin")
    return importlib.import_module("llama_cpp.llama_cpp")


def convert(model, precision, files):
    """A GGUF file by llama.cpp's own converter; q8_0 and q4_0 by llama-quantize from f32, wte and so the head in that type too."""
    plain = "f32" if precision in QUANTIZED else precision
    target = pathlib.Path(files) / f"{plain}.gguf"
    script = source() / "vendor" / "llama.cpp" / "convert_hf_to_gguf.py"
    subprocess.run([sys.executable, script, model, "--outtype", plain, "--outfile", target], check=True, stdout=sys.stderr)
    if precision in QUANTIZED:
        coarse = target.with_name(f"{precision}.gguf")
        subprocess.run(
            [
                FOLDER / "build" / "bin" / "llama-quantize",
                "--token-embedding-type",
                QUANTIZED[precision],
                target,
                coarse,
                QUANTIZED[precision],
            ],
            check=True,
            stdout=sys.stderr,
        )
        target.unlink()


class Peer(worker.Peer):
    def __init__(self, _model, precision, threads, files):
        self.lib = bindings()
        self.silence = self.lib.llama_log_callback(lambda level, text, user: None)
        self.lib.llama_log_set(self.silence, ctypes.c_void_p(0))
        self.lib.llama_backend_init()
        file = pathlib.Path(files) / f"{precision}.gguf"
        self.model = self.lib.llama_model_load_from_file(str(file).encode(), self.lib.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"{file} can't be loaded")
        self.threads, self.kv = threads, F32 if precision == "f32" else F16
        self.notes = "" if precision == "f32" else "KV f16"
        self.vocabulary = self.lib.llama_vocab_n_tokens(self.lib.llama_model_get_vocab(self.model))
        self.batch, self.contexts = self.lib.llama_batch_init(2048, 0, 1), {}
        self.start = [
            str(FOLDER / "build" / "bin" / "llama-completion"),
            "-m",
            str(file),
            "-t",
            str(threads),
            "-n",
            "1",
            "-c",
            "64",
            "-no-cnv",
            "--no-warmup",
            "--no-display-prompt",
            "--temp",
            "0",
            "-p",
            "{text}",
        ]

    def versions(self):
        return {
            "llama.cpp": source().name.replace("llama_cpp_python-", "of llama-cpp-python "),
            "cpu": self.lib.llama_print_system_info().decode().replace(" = 1", "").split("CPU : ")[-1].strip(" |"),
        }

    def context(self, streams):
        """Empty, for one stream or for as many as STREAMS; each kind is made once."""
        streams = 1 if streams == 1 else STREAMS
        if streams not in self.contexts:
            params = self.lib.llama_context_default_params()
            params.n_ctx, params.n_seq_max = (POSITIONS, 1) if streams == 1 else (ROOM * STREAMS, STREAMS)
            params.n_batch, params.n_threads, params.n_threads_batch = 2048, self.threads, self.threads
            params.type_k = params.type_v = self.kv
            self.contexts[streams] = self.lib.llama_init_from_model(self.model, params)
            if not self.contexts[streams]:
                raise RuntimeError("no context")
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.contexts[streams]), False)
        return self.contexts[streams]

    def feed(self, context, inputs, position):
        """inputs[i] goes behind what stream i has, from `position` on; logits of the last of each."""
        batch, n, last = self.batch, 0, []
        for stream, ids in enumerate(inputs):
            for i, token in enumerate(ids):
                batch.token[n], batch.pos[n], batch.n_seq_id[n], batch.seq_id[n][0] = token, position + i, 1, stream
                batch.logits[n] = i == len(ids) - 1
                n += 1
            last.append(n - 1)
        batch.n_tokens = n
        if self.lib.llama_decode(context, batch):
            raise RuntimeError("llama_decode failed")
        return context, last

    def prefill(self, ids):
        context = self.context(1)
        result = self.feed(context, [ids], 0)
        self.lib.llama_get_logits_ith(context, -1)  # waits for the result
        return result

    def open(self, prompts):
        self.streams, self.position = self.context(len(prompts)), len(prompts[0])
        self.feed(self.streams, prompts, 0)
        self.lib.llama_get_logits_ith(self.streams, -1)

    def step(self, tokens):
        result = self.feed(self.streams, [[token] for token in tokens], self.position)
        self.lib.llama_get_logits_ith(self.streams, -1)
        self.position += 1
        return result

    def rows(self, result):
        context, last = result
        return b"".join(ctypes.string_at(self.lib.llama_get_logits_ith(context, row), 4 * self.vocabulary) for row in last)
