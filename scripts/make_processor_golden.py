#!/usr/bin/env python3
"""Write what transformers' own logits processors make of random scores, as reference data for tests/unit/test_processors.c.

    python3 scripts/make_processor_golden.py -o tests/model/golden/processors.json

Every processor alone, several times, then random combinations in the order in which generate() runs them: the list of processors
comes from generate()'s own _get_logits_processor. Settings stand in the file under tfrun's keys.  A row of scores is a list of
numbers, null for minus infinity.
"""
import argparse
import copy
import json
import random

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--out", required=True, type=argtypes.writable)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers")

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel  # noqa: E402

VOCAB = 50
HF_TO_TFRUN = {"min_new_tokens": "min_tokens"}


def random_ids(rng, n):
    return [rng.randrange(VOCAB) for _ in range(n)]


def settings(rng, ids, n_prompt):
    """One random value of every setting, so chosen that it often has something to do with `ids`."""
    tail = ids[-2:]
    some = random_ids(rng, 4)
    return {
        "sequence_bias": [[[rng.randrange(1, VOCAB)], round(rng.uniform(-5, 5), 2)],
                          [[t or 1 for t in tail] + [rng.randrange(1, VOCAB)], round(rng.uniform(-5, 5), 2)],
                          [[7, 8, 9], 3.5]],
        "repetition_penalty": rng.choice([0.7, 1.2, 1.7]),
        "no_repeat_ngram_size": rng.choice([1, 2, 2, 3]),
        "bad_words_ids": [[rng.randrange(VOCAB)], tail[-1:] + [rng.randrange(VOCAB)], [1, 2, 3], [0]],
        "min_length": len(ids) + rng.choice([-1, 0, 1, 3]),
        "min_new_tokens": len(ids) - n_prompt + rng.choice([0, 1, 2]),
        "forced_bos_token_id": rng.randrange(VOCAB),
        "forced_eos_token_id": rng.choice([3, [3, 5]]),
        "remove_invalid_values": True,
        "exponential_decay_length_penalty": [rng.choice([0, 1, 2]), rng.choice([1.1, 1.5])],
        "suppress_tokens": some,
        "begin_suppress_tokens": some[:2],
        "temperature": rng.choice([0.3, 0.7, 1.3, 2.5]),
        "top_k": rng.choice([1, 5, 20, 49, 60]),
        "top_p": rng.choice([0.0, 0.1, 0.5, 0.9, 0.99]),
        "min_p": rng.choice([0.02, 0.1, 0.5, 1.0]),
        "typical_p": rng.choice([0.1, 0.5, 0.9, 0.99]),
        "epsilon_cutoff": rng.choice([1e-4, 1e-2, 0.1, 0.9]),
        "eta_cutoff": rng.choice([1e-4, 1e-2, 0.1, 0.9]),
        "renormalize_logits": True,
    }


SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


class Maker:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        config = GPT2Config(vocab_size=VOCAB, n_positions=64, n_embd=4, n_layer=1, n_head=1)
        self.model = GPT2LMHeadModel(config)
        self.cases = []

    def scores(self, about):
        scores = torch.randn(1, VOCAB, generator=self.generator) * self.rng.choice([1.0, 3.0, 6.0])
        scores = scores.mul(1e4).round().div(1e4)  # short to write
        if "remove_invalid_values" in about:
            scores[0, 4], scores[0, 9] = float("nan"), float("-inf")
        elif self.rng.random() < 0.3:
            scores[0, self.rng.randrange(VOCAB)] = float("-inf")
        return scores

    def case(self, names):
        rng = self.rng
        n_prompt = 1 if "forced_bos_token_id" in names and rng.random() < 0.7 else rng.randrange(1, 8)
        n = n_prompt + (0 if rng.random() < 0.4 else rng.randrange(0, 10))
        ids = random_ids(rng, n)
        if rng.random() < 0.5:  # repeat something
            ids = (ids[: n // 2 + 1] * 2)[:n]
        n_prompt = min(n_prompt, n)
        every = settings(rng, ids, n_prompt)
        chosen = {name: every[name] for name in names}
        eos = rng.choice([[0], [0, 11]])
        n_beams = rng.choice([1, 1, 3])
        do_sample = any(name in SAMPLING for name in names)
        max_length = n + 1 if "forced_eos_token_id" in names and rng.random() < 0.6 else n + 5
        config = GenerationConfig(**copy.deepcopy(chosen), do_sample=do_sample, num_beams=n_beams, eos_token_id=eos, pad_token_id=0,
                                  max_length=max_length, **({} if "top_k" in chosen else {"top_k": 0}))
        self.model._prepare_special_tokens(config)
        processors = self.model._get_logits_processor(config, input_ids_seq_length=n_prompt, device="cpu")
        if len(processors) < len(names):
            return False  # a value that means "nothing to do"
        scores = self.scores(names)
        after = processors(torch.tensor([ids]), scores.clone())
        if after.isnan().any() or (after == float("-inf")).all():
            return False  # where transformers itself makes no sense
        self.cases.append({
            "settings": {"sampling." + HF_TO_TFRUN.get(key, key): value for key, value in chosen.items()},
            "do_sample": do_sample, "eos": eos, "num_beams": n_beams, "ids": ids, "n_prompt": n_prompt, "max_length": max_length,
            "processors": [type(p).__name__ for p in processors],
            "before": self.row(scores), "after": self.row(after)})
        return True

    @staticmethod
    def row(scores):
        return [None if v == float("-inf") else "nan" if v != v else float(str(v)) for v in scores[0].numpy()]

    def run(self):
        names = list(settings(self.rng, [1, 2, 3], 2))
        for name in names:
            made = 0
            while made < 3:
                made += self.case([name])
        made = 0
        while made < 60:
            some = self.rng.sample(names, self.rng.randrange(2, 7))
            made += self.case([name for name in names if name in some])


def main(args):
    maker = Maker(args.seed)
    maker.run()
    with open(args.out, "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(case) for case in maker.cases)
        file.write(f'{{"made_by": "scripts/make_processor_golden.py --seed {args.seed}", "torch": "{torch.__version__.split("+")[0]}",\n'
                   f'"transformers": "{transformers.__version__}", "vocab_size": {VOCAB}, "cases": [\n{lines}\n]}}\n')
    print(f"{len(maker.cases)} cases")


if __name__ == "__main__":
    main(ARGS)
