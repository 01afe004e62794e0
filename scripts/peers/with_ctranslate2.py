"""with_ctranslate2.py: CTranslate2's Generator, for worker.py.

It gives no single steps to callers: its own greedy loop runs, and a step is the time from one token of the first stream to its
next. The tokens fed are its own, so its logits are compared behind those.
"""

import json
import time

import ctranslate2
import numpy

import worker

TYPES = {"f32": "float32", "int8": "int8"}


def convert(model, precision, files):
    quantization = None if precision == "f32" else TYPES[precision]
    ctranslate2.converters.TransformersConverter(model).convert(files, quantization=quantization, force=True)


class Peer(worker.Peer):
    notes = "own greedy loop"

    def __init__(self, _model, precision, threads, files):
        self.model = ctranslate2.Generator(files, compute_type=TYPES[precision], intra_threads=threads)
        with open(f"{files}/vocabulary.json", encoding="utf-8") as file:
            self.words = json.load(file)

    def versions(self):
        return {"ctranslate2": ctranslate2.__version__}

    def generate(self, prompts, length, **more):
        return self.model.generate_batch(
            [[self.words[token] for token in prompt] for prompt in prompts],
            max_length=length,
            end_token=[],
            include_prompt_in_result=False,
            **more,
        )

    def prefill(self, ids):
        self.generate([ids], 1)
        return [ids], 1

    def decode(self, prompts, tokens):
        times, fed = [], {}

        def on_token(step):
            fed.setdefault(step.step, {})[step.batch_id] = step.token_id
            if step.batch_id == 0:
                times.append(time.perf_counter())
            return False

        self.generate(prompts, len(tokens) + 1, callback=on_token)
        own = [[fed[step][i] for i in range(len(prompts))] for step in sorted(fed)]
        return [1e3 * (after - before) for before, after in zip(times, times[1:])], own[:-1], (prompts, len(tokens) + 1)

    def rows(self, result):
        """The same once more, with logits."""
        prompts, length = result
        replies = self.generate(prompts, length, return_logits_vocab=True)
        return b"".join(numpy.asarray(reply.logits[0][-1], dtype=numpy.float32).tobytes() for reply in replies)
