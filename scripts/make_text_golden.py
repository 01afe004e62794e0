#!/usr/bin/env python3
"""Write what transformers gives for texts on tiny models with other heads and with cross-attention, as data for tests/app/test_heads.py.

    python3 scripts/make_text_golden.py -o tests/model/text [--seed 1]

One byte-level tokenizer serves all models. Cross-attention: ids of `generate` (greedy, beams) with encoder states in files; a case
counts only if float32 and float64 agree about it. Classification: labels and scores of transformers' own pipelines in float64.
Needs torch, transformers 4.57, tokenizers and safetensors.
"""
import argparse
import json

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--out", type=argtypes.makeable, required=True)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers", "safetensors")

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import (GPT2Config, GPT2ForSequenceClassification, GPT2ForTokenClassification, GPT2LMHeadModel, GPT2TokenizerFast,  # noqa: E402
                          pipeline)
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode  # noqa: E402

TEXTS = ["The king went home.", "a", "There was once a poor woman", "Grüße, 2 of them!", "the the the", "She said: \"no\" and left the house."]
PROMPTS = ["The king", "t", "There was once a poor"]
END = "<|endoftext|>"


def write_tokenizer(folder):
    folder.mkdir(parents=True, exist_ok=True)
    names = list(bytes_to_unicode().values())
    merges = ["Ġ t", "h e", "Ġt he", "a n"]
    names += [merge.replace(" ", "") for merge in merges] + [END]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    return GPT2TokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt")), len(names)


def make_model(cls, folder, g, vocab, scale, **fields):
    config = GPT2Config(n_embd=12, n_head=3, n_positions=64, vocab_size=vocab, bos_token_id=vocab - 1, eos_token_id=vocab - 1,
                        attn_implementation="eager", **fields)
    model = cls(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.randn(value.shape, generator=g) * scale + (1 if "ln_" in name and name.endswith("weight") else 0))
    if hasattr(model, "lm_head"):
        model.tie_weights()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    saved = json.loads((folder / "config.json").read_text())
    saved["tfrun"] = {"model": {"tokenizer": "../tokenizer"}}
    (folder / "config.json").write_text(json.dumps(saved, indent=1) + "\n")
    return model


def new_ids(model, prompt, encoder, mask, settings):
    model.generation_config = transformers.GenerationConfig()
    end = model.config.eos_token_id
    out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
                         encoder_hidden_states=encoder.to(model.dtype), encoder_attention_mask=mask, eos_token_id=end, pad_token_id=end,
                         **settings)
    rows = []
    for row in out[:, len(prompt):].tolist():
        rows.append(row[: row.index(end) + 1] if end in row else row)
    return rows


def cross_cases(out, g, tokenizer, vocab):
    folder = out / "cross"
    single = make_model(GPT2LMHeadModel, folder, g, vocab, .35, n_layer=3, add_cross_attention=True)
    double = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    states = torch.randn(3, 5, 12, generator=g)
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    save_file({"encoder_hidden_states": states}, folder / "rows.safetensors")
    save_file({"encoder_hidden_states": states, "encoder_attention_mask": mask}, folder / "masked.safetensors")
    save_file({"encoder_hidden_states": states[0].clone()}, folder / "one.safetensors")
    cases = []
    for name, has_mask in (("rows", False), ("masked", True), ("one", False)):
        for settings in ({"max_new_tokens": 12}, {"max_new_tokens": 12, "num_beams": 3},
                         {"max_new_tokens": 8, "num_beams": 4, "num_return_sequences": 2, "length_penalty": 0.5}):
            ids = []
            for i, text in enumerate(PROMPTS):
                row = 0 if name == "one" else i
                m = mask[row:row + 1] if has_mask else torch.ones(1, 5, dtype=torch.long)
                given = (tokenizer(text)["input_ids"], states[row:row + 1], m, settings)
                rows = new_ids(single, *given)
                if rows != new_ids(double, *given):
                    raise SystemExit(f"{name} {settings} {text}: float32 and float64 differ; take another seed")
                ids += rows
            cases.append({"states": name + ".safetensors", "settings": settings, "prompts": PROMPTS, "ids": ids})
    without = [r for t in PROMPTS for r in single.generate(torch.tensor([tokenizer(t)["input_ids"]]), max_new_tokens=12, do_sample=False,
                                                          pad_token_id=vocab - 1)[:, len(tokenizer(t)["input_ids"]):].tolist()]
    cases.append({"states": None, "settings": {"max_new_tokens": 12}, "prompts": PROMPTS, "ids": without})
    return cases


def class_cases(out, g, tokenizer, vocab):
    names = {0: "bad", 1: "fair", 2: "good"}
    kinds = {"single": dict(problem_type="single_label_classification", id2label=names),
             "multi": dict(problem_type="multi_label_classification", id2label=names),
             "regression": dict(problem_type="regression", num_labels=1),
             "inferred": dict(num_labels=3)}
    cases = {}
    for kind, fields in kinds.items():
        folder = out / kind
        make_model(GPT2ForSequenceClassification, folder, g, vocab, .3, n_layer=2, **fields)
        model = GPT2ForSequenceClassification.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
        pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
        cases[kind] = [pipe([text])[0] for text in TEXTS]
    folder = out / "tokens"
    make_model(GPT2ForTokenClassification, folder, g, vocab, .3, n_layer=2, id2label={0: "O", 1: "PER", 2: "LOC"})
    model = GPT2ForTokenClassification.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    pipe = pipeline("token-classification", model=model, tokenizer=tokenizer, ignore_labels=[])
    cases["tokens"] = [[{"label": t["entity"], "score": float(t["score"]), "start": t["start"], "end": t["end"]} for t in pipe(text)]
                       for text in TEXTS]
    return cases


def one_item_a_line(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"\n {json.dumps(k)}: {one_item_a_line(v)}" for k, v in value.items()) + "}"
    return "[" + ",".join(f"\n  {json.dumps(v)}" for v in value) + "]" if isinstance(value, list) else json.dumps(value)


def main(args):
    torch.set_grad_enabled(False)
    g = torch.Generator().manual_seed(args.seed)
    tokenizer, vocab = write_tokenizer(args.out / "tokenizer")
    golden = {"made_by": "scripts/make_text_golden.py", "seed": args.seed, "transformers": transformers.__version__,
              "generate": cross_cases(args.out, g, tokenizer, vocab), "texts": TEXTS,
              "classify": class_cases(args.out, g, tokenizer, vocab)}
    lines = [f"{json.dumps(key)}: {one_item_a_line(value)}" for key, value in golden.items()]
    (args.out / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(golden['generate'])} generations, {sum(map(len, golden['classify'].values()))} classifications")


if __name__ == "__main__":
    main(ARGS)
