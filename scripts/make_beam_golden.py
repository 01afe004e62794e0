#!/usr/bin/env python3
"""Write what transformers' beam search gives on small models, as reference data for tests/model/test_beam.c.

    python3 scripts/make_beam_golden.py tests/model/golden -o tests/model/golden/beam.json
    python3 scripts/make_beam_golden.py --demo configs/demo -o tests/model/golden/demo_beam.json

The first form takes the tiny models of tests/model/golden and 30 random settings; the second three settings and a few prompts of the
demo model. Settings stand in the file under tfrun's keys. A case counts only if float32 and float64 agree about it, so that it does not hang on
rounding.
"""
import argparse
import json
import pathlib
import random

import torch
import transformers
from transformers import AutoTokenizer, GPT2LMHeadModel

MODELS = ["base", "layers_5", "untied", "vocab_65", "one_head"]
HF_TO_TFRUN = {"max_new_tokens": "max_tokens", "min_new_tokens": "min_tokens"}
DEMO_PROMPTS = ["Once upon a time", "The", "There was once a poor woman who had three sons.", "Call me Ishmael.",
                '"I cannot tell you," said the old man,']
DEMO_SETTINGS = [
    {"num_beams": 4, "max_new_tokens": 24},
    {"num_beams": 5, "num_return_sequences": 3, "length_penalty": 0.5, "early_stopping": True, "no_repeat_ngram_size": 3,
     "max_new_tokens": 24},
    {"num_beams": 3, "length_penalty": 2.0, "early_stopping": "never", "repetition_penalty": 1.2, "max_new_tokens": 24},
]


@torch.no_grad()
def search(model, prompt, settings, eos):
    """The new ids of every returned sequence, up to and with its end token."""
    text = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
                          pad_token_id=eos[0] if eos else 0, eos_token_id=eos or None, **settings)
    rows = []
    for row in text[:, len(prompt):].tolist():
        ends = [i for i, t in enumerate(row) if t in eos]
        rows.append(row[: ends[0] + 1] if ends else row)
    return rows


class Reference:
    def __init__(self, folder):
        load = lambda dtype: GPT2LMHeadModel.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
        self.single, self.double = load(torch.float32), load(torch.float64)
        for model in (self.single, self.double):
            model.generation_config = transformers.GenerationConfig()

    def run(self, prompt, settings, eos):
        rows = search(self.single, prompt, settings, eos)
        return rows if rows == search(self.double, prompt, settings, eos) else None


def random_settings(rng, room):
    settings = {"num_beams": rng.choice([2, 3, 4, 5, 7]), "max_new_tokens": rng.randrange(1, min(room, 20) + 1)}
    if rng.random() < 0.7:
        settings["length_penalty"] = rng.choice([-1.0, 0.0, 0.3, 0.7, 1.5, 2.0, 5.0])
    if rng.random() < 0.7:
        settings["early_stopping"] = rng.choice([True, False, "never"])
    if rng.random() < 0.6:
        settings["num_return_sequences"] = rng.randrange(1, settings["num_beams"] + 1)
    if rng.random() < 0.3:
        settings["repetition_penalty"] = rng.choice([0.8, 1.3])
    if rng.random() < 0.3:
        settings["no_repeat_ngram_size"] = rng.choice([2, 3])
    if rng.random() < 0.2:
        settings["min_new_tokens"] = rng.randrange(1, 6)
    if rng.random() < 0.15:
        settings["renormalize_logits"] = True
    return settings


def under_tfrun(settings):
    return {"sampling." + HF_TO_TFRUN.get(key, key): value for key, value in settings.items()}


def tiny_cases(folder, seed, n_cases):
    rng, cases, dropped = random.Random(seed), [], 0
    references = {name: Reference(folder / name) for name in MODELS}
    while len(cases) < n_cases:
        name = MODELS[len(cases) % len(MODELS)]
        config = references[name].single.config
        prompt = [rng.randrange(config.vocab_size) for _ in range(rng.randrange(1, min(8, config.n_positions // 2)))]
        settings = random_settings(rng, config.n_positions - len(prompt))
        eos = rng.sample(range(config.vocab_size), rng.choice([0, 1, 1, 2, 4, 8]))
        rows = references[name].run(prompt, settings, eos)
        if rows is None:
            dropped += 1
            continue
        cases.append({"model": name, "prompt": prompt, "settings": under_tfrun(settings), "eos": eos, "ids": rows})
    return cases, dropped


def demo_cases(folder, prompts):
    reference, tokenizer, cases, dropped = Reference(folder), AutoTokenizer.from_pretrained(folder), [], 0
    eos = reference.single.config.eos_token_id
    for settings in DEMO_SETTINGS:
        for text in prompts:
            prompt = tokenizer(text)["input_ids"]
            rows = reference.run(prompt, settings, [eos])
            if rows is None:
                dropped += 1
            else:
                cases.append({"model": "demo", "prompt": prompt, "settings": under_tfrun(settings), "eos": [eos], "ids": rows})
    return cases, dropped


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path, nargs="?", help="folder of the tiny models")
    parser.add_argument("--demo", type=pathlib.Path, help="folder of the demo model, instead")
    parser.add_argument("--prompts", type=pathlib.Path, help="with --demo: a file with one prompt per line, instead of the five built in")
    parser.add_argument("-o", "--out", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-n", type=int, default=30, help="number of cases")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    prompts = args.prompts.read_text(encoding="utf-8").splitlines() if args.prompts else DEMO_PROMPTS
    cases, dropped = demo_cases(args.demo, prompts) if args.demo else tiny_cases(args.folder, args.seed, args.n)
    with open(args.out, "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(case) for case in cases)
        file.write(f'{{"made_by": "scripts/make_beam_golden.py", "seed": {args.seed}, "transformers": "{transformers.__version__}", '
                   f'"cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {dropped} dropped because float32 and float64 differ")


if __name__ == "__main__":
    main()
