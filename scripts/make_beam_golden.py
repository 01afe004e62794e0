#!/usr/bin/env python3
"""Write what transformers' beam search gives on small models, as reference data for tests/model/test_beam.c.

    python3 scripts/make_beam_golden.py tests/model/golden -o tests/model/golden/beam.json
    python3 scripts/make_beam_golden.py --demo configs/demo -n 50 -o tests/model/golden/demo_beam.json

The first form takes the tiny models of tests/model/golden and 30 random settings; the second prompts of the demo
model, each greedy, with three settings of beams, and with drafts by a smaller model and by prompt lookup. Settings stand in the file under tfrun's keys. A case counts only if float32 and float64 agree about it, so that it does not hang on
rounding.
"""
import argparse
import copy
import json
import random

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=argtypes.folder, nargs="?", help="folder of the tiny models")
    parser.add_argument("--demo", type=argtypes.holding("config.json"), help="folder of the demo model, instead")
    parser.add_argument("-o", "--out", required=True, type=argtypes.writable)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-n", type=int, default=30, help="number of cases, or of prompts of the demo")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers")

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AutoTokenizer, GPT2LMHeadModel  # noqa: E402

MODELS = ["base", "layers_5", "untied", "vocab_65", "one_head"]
HF_TO_TFRUN = {"max_new_tokens": "max_tokens", "min_new_tokens": "min_tokens", "prompt_lookup_num_tokens": "prompt_lookup",
               "assistant_model": "assistant"}
DEMO_SETTINGS = {
    "greedy": {"max_new_tokens": 40},
    "beam": {"num_beams": 4, "max_new_tokens": 24},
    "beam_early": {"num_beams": 5, "num_return_sequences": 3, "length_penalty": 0.5, "early_stopping": True,
                   "no_repeat_ngram_size": 3, "max_new_tokens": 24},
    "beam_never": {"num_beams": 3, "length_penalty": 2.0, "early_stopping": "never", "repetition_penalty": 1.2,
                   "max_new_tokens": 24},
    "assistant": {"max_new_tokens": 40, "assistant_model": "the first two blocks"},
    "prompt_lookup": {"max_new_tokens": 40, "prompt_lookup_num_tokens": 5},
}


@torch.no_grad()
def search(model, prompt, settings, eos):
    """The new ids of every returned sequence, up to and with its end token. Cut at max_new_tokens: with drafts by prompt lookup
    transformers may go a token beyond."""
    text = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
                          pad_token_id=eos[0] if eos else 0, eos_token_id=eos or None, **settings)
    rows = []
    for row in text[:, len(prompt):].tolist():
        ends = [i for i, t in enumerate(row) if t in eos]
        rows.append((row[: ends[0] + 1] if ends else row)[: settings["max_new_tokens"]])
    return rows


class Reference:
    def __init__(self, folder):
        load = lambda dtype: GPT2LMHeadModel.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
        self.single, self.double = load(torch.float32), load(torch.float64)
        for model in (self.single, self.double):
            model.generation_config = transformers.GenerationConfig()

    def run(self, prompt, settings, eos, drafts=None):
        """None where float32 and float64 differ. `drafts` has the assistant of each model."""
        def rows_of(model):
            return search(model, prompt, settings | ({"assistant_model": drafts[model]} if "assistant_model" in settings else {}), eos)
        rows = rows_of(self.single)
        return rows if rows == rows_of(self.double) else None


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


def first_blocks(model, n):
    """A model of the first blocks of another: a draft model that is often right."""
    config = copy.deepcopy(model.config)
    config.n_layer = n
    small = GPT2LMHeadModel(config).to(model.dtype).eval()
    small.load_state_dict({name: value for name, value in model.state_dict().items() if name in small.state_dict()})
    small.generation_config = transformers.GenerationConfig()
    return small


def heldout_prompts(folder, rng):
    """Beginnings of paragraphs that the model has not seen, 3 to 20 words, in random order."""
    paragraphs = (folder / "heldout.txt").read_text(encoding="utf-8").splitlines()
    paragraphs = [words for words in (paragraph.split(" ") for paragraph in paragraphs) if len(words) > 30]
    rng.shuffle(paragraphs)
    return [" ".join(words[:rng.randrange(3, 21)]) for words in paragraphs]


def demo_cases(folder, seed, n_prompts):
    """The same prompts under every setting; a prompt that hangs on rounding under any of them is replaced by another."""
    reference, tokenizer, cases, dropped = Reference(folder), AutoTokenizer.from_pretrained(folder), [], 0
    drafts = {model: first_blocks(model, 2) for model in (reference.single, reference.double)}
    eos = reference.single.config.eos_token_id
    for text in heldout_prompts(folder, random.Random(seed)):
        prompt, found = tokenizer(text)["input_ids"], []
        for name, settings in DEMO_SETTINGS.items():
            rows = reference.run(prompt, settings, [eos], drafts)
            if rows is None:
                break
            ours = under_tfrun(settings | ({"assistant_model": "itself"} if "assistant_model" in settings else {}))
            found.append({"name": name, "model": "demo", "prompt": prompt, "settings": ours, "eos": [eos], "ids": rows})
        if len(found) < len(DEMO_SETTINGS):
            dropped += 1
            continue
        cases += found
        if len(cases) == n_prompts * len(DEMO_SETTINGS):
            break
    return cases, dropped


def main(args):
    torch.set_grad_enabled(False)
    cases, dropped = demo_cases(args.demo, args.seed, args.n) if args.demo else tiny_cases(args.folder, args.seed, args.n)
    with open(args.out, "w", encoding="utf-8") as file:
        lines = ",\n".join(json.dumps(case) for case in cases)
        file.write(f'{{"made_by": "scripts/make_beam_golden.py", "seed": {args.seed}, "transformers": "{transformers.__version__}", '
                   f'"cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, {dropped} {'prompts' if args.demo else 'cases'} dropped because float32 and float64 differ")


if __name__ == "__main__":
    main(ARGS)
