#!/usr/bin/env python3
"""Compare `tfrun forward` with transformers: random tiny models, random requests, every output tensor.

    python3 scripts/compare_forward.py --tfrun build/bin/tfrun [--cases 200] [--seed 1] [--ranks N] [--keep DIR] [-- OPTION ...]

The reference is transformers, 4.57 or 5.x, with eager attention in float64, on the same float32 weights and inputs; 5.x has no
head_mask and no mask of rank 3 for encoder positions, so cases that ask for these are skipped and counted. Each case names what it
asks; the first cases ask for one argument each, the others for random combinations. Reported: the largest absolute difference
of every kind of output, and the cases that exceed --tolerance. Rows that see no key are left out (docs/semantics.md: tfrun gives zeros).
--golden DIR writes the cases as golden folders instead of running tfrun; the committed ones are
`--golden tests/model/forward --cases 113` by 4.57: each argument alone, 60 random combinations, packed sequences, and inputs
given once for all rows. Needs torch, transformers and safetensors.
"""
import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tfrun", type=argtypes.program, default="build/bin/tfrun")
    parser.add_argument("--cases", type=argtypes.at_least_one, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ranks", type=argtypes.at_least_one, default=1)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--shape", type=argtypes.file, help="a config.json whose sizes to take instead of tiny ones")
    parser.add_argument("--golden", help="write golden cases into this folder")
    parser.add_argument("--keep", help="keep models, requests and replies in this folder")
    parser.add_argument("options", nargs="*")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers", "safetensors")

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import (DynamicCache, EncoderDecoderCache, GPT2Config, GPT2DoubleHeadsModel, GPT2ForQuestionAnswering,  # noqa: E402
                          GPT2ForSequenceClassification, GPT2ForTokenClassification, GPT2LMHeadModel, GPT2Model)

CLASSES = {c.__name__: c for c in (GPT2LMHeadModel, GPT2Model, GPT2DoubleHeadsModel, GPT2ForSequenceClassification,
                                   GPT2ForTokenClassification, GPT2ForQuestionAnswering)}
ACTIVATIONS = ["gelu_new", "gelu", "relu", "silu", "tanh", "quick_gelu", "mish", "sigmoid", "relu2"]
CACHED = ("GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel", "GPT2ForSequenceClassification", "GPT2ForTokenClassification")
# One argument each: (class, what is asked).
SINGLE = [(c, ()) for c in CLASSES] + [(c, (w,)) for w in (
    "mask_left", "mask_right", "mask_holes", "positions", "positions_shared", "token_types", "embeds", "use_cache", "past",
    "hidden_states", "attentions", "head_mask", "head_mask_layers", "mask4", "labels", "keep", "keep_list", "auto_positions",
    "cross", "cross_mask", "cross_mask3", "cross_past", "eager", "one_row", "small_steps", "int32", "f16_embeds", "bool_mask") for c in (
        "GPT2LMHeadModel",)] + [
    ("GPT2Model", ("past",)), ("GPT2Model", ("cross", "attentions")), ("GPT2LMHeadModel", ("past", "mask_left")),
    ("GPT2LMHeadModel", ("past", "mask4")), ("GPT2LMHeadModel", ("cross", "head_mask")),
    ("GPT2DoubleHeadsModel", ("choices",)), ("GPT2DoubleHeadsModel", ("choices", "mc_labels", "labels")),
    ("GPT2DoubleHeadsModel", ("mc_ids",)), ("GPT2ForSequenceClassification", ("labels",)),
    ("GPT2ForSequenceClassification", ("labels", "regression")), ("GPT2ForSequenceClassification", ("labels", "multi_label")),
    ("GPT2ForSequenceClassification", ("mask_left",)), ("GPT2ForSequenceClassification", ("embeds", "one_row")),
    ("GPT2ForTokenClassification", ("labels",)), ("GPT2ForTokenClassification", ("labels", "mask_right")),
    ("GPT2ForQuestionAnswering", ("span",)), ("GPT2ForQuestionAnswering", ("span", "mask_right")), ("GPT2LMHeadModel", ("bidirectional",)),
    ("GPT2LMHeadModel", ("bidirectional", "mask_holes", "attentions")),
]
# After the others, whatever --cases says: position_ids that begin again, each time another sequence.
PACKED = [("GPT2LMHeadModel", ("packed",)), ("GPT2Model", ("attentions", "packed")), ("GPT2LMHeadModel", ("embeds", "packed", "positions_shared")),
          ("GPT2ForTokenClassification", ("labels", "packed")), ("GPT2LMHeadModel", ("hidden_states", "packed", "small_steps")),
          ("GPT2LMHeadModel", ("packed", "unasked")), ("GPT2DoubleHeadsModel", ("packed", "positions_shared", "unasked"))]
# And what torch repeats over rows, tokens or heads, given once; or given with other dims of 1. The last word says how.
SHAPED = [("GPT2LMHeadModel", ("mask4", "mask4_row")), ("GPT2LMHeadModel", ("mask4", "past", "mask4_row")),
          ("GPT2LMHeadModel", ("mask_left", "mask_line")), ("GPT2LMHeadModel", ("positions_shared", "positions_line")),
          ("GPT2LMHeadModel", ("positions", "positions_column")), ("GPT2LMHeadModel", ("token_types", "types_shared")),
          ("GPT2LMHeadModel", ("token_types", "types_line")), ("GPT2DoubleHeadsModel", ("choices", "token_types", "types_shared")),
          ("GPT2LMHeadModel", ("cross", "cross_shared")), ("GPT2LMHeadModel", ("cross_mask", "cross_shared")),
          ("GPT2LMHeadModel", ("cross_mask", "cross_mask_shared")), ("GPT2LMHeadModel", ("cross_mask3", "cross_mask_shared")),
          ("GPT2LMHeadModel", ("cross_past", "cross_past_shared")), ("GPT2DoubleHeadsModel", ("choices", "mc_labels", "mc_labels_column")),
          ("GPT2DoubleHeadsModel", ("mc_labels", "mc_labels_rows")), ("GPT2ForTokenClassification", ("labels", "labels_line")),
          ("GPT2ForSequenceClassification", ("labels", "labels_row")), ("GPT2LMHeadModel", ("head_mask_layers", "head_mask_column")),
          ("GPT2LMHeadModel", ("keep_list", "keep_flags"))]
SHAPES = {asked[-1] for _, asked in SHAPED} | {"unasked"}  # these want several rows, tokens and heads
IS_5 = int(transformers.__version__.split(".")[0]) >= 5
NOT_IN_5 = {"head_mask", "head_mask_layers", "cross_mask3", "cross_mask_shared"}  # and one row of states with a mask for each


def reshape(t, word, rows, S):
    """The same request in fewer elements, or with other dims."""
    if word == "mask4_row":
        t["attention_mask"] = t["attention_mask"][:, :, -1:]
        t["attention_mask"][..., 0] = 0  # every query sees a key
    elif word == "mask_line":
        t["attention_mask"] = t["attention_mask"].view(-1)
    elif word == "positions_line":
        t["position_ids"] = t["position_ids"][0]
    elif word == "positions_column":
        t["position_ids"] = t["position_ids"][:, :1]
    elif word in ("types_shared", "types_line"):
        t["token_type_ids"] = t["token_type_ids"].view(rows, S)[:1].reshape((1, S) if word == "types_shared" else (S,))
    elif word == "cross_shared":
        t["encoder_hidden_states"] = t["encoder_hidden_states"][:1]
    elif word == "cross_mask_shared":
        t["encoder_attention_mask"] = t["encoder_attention_mask"][:1]
    elif word == "cross_past_shared":
        t.update({k: v[:1] for k, v in t.items() if ".cross_" in k})
    elif word == "mc_labels_column":
        t["mc_labels"] = t["mc_labels"][:, None]
    elif word == "mc_labels_rows":
        t["mc_labels"] = torch.tensor([rows - 1])
    elif word in ("labels_line", "labels_row"):
        t["labels"] = t["labels"].view(-1) if word == "labels_line" else t["labels"][None]
    elif word == "head_mask_column":
        t["head_mask"] = t["head_mask"][:, :1]
    elif word == "keep_flags":
        t["logits_to_keep"] = torch.tensor([i % 2 == 0 for i in range(S)])


def random_case(r):
    name = r.choice(list(CLASSES) + ["GPT2LMHeadModel"] * 4)
    asked = set()

    def maybe(p, *words):
        if r.random() < p:
            asked.add(r.choice(words))
    maybe(.5, "mask_left", "mask_right", "mask_holes", "mask4")
    maybe(.3, "positions", "positions_shared")
    maybe(.1, "bidirectional")
    maybe(.3, "token_types")
    maybe(.2, "embeds")
    maybe(.3, "hidden_states")
    maybe(.3, "attentions")
    maybe(.2, "head_mask", "head_mask_layers")
    maybe(.3, "cross", "cross_mask", "cross_mask3", "cross_past")
    maybe(.2, "eager")
    maybe(.2, "small_steps")
    maybe(.3, "one_row")
    maybe(.2, "int32")
    maybe(.2, "bool_mask")
    if name in CACHED:
        maybe(.5, "use_cache")
        maybe(.4, "past")
    if name == "GPT2ForQuestionAnswering":
        maybe(.6, "span")
    elif name != "GPT2Model":
        maybe(.4, "labels")
    if name == "GPT2LMHeadModel" and "labels" not in asked:
        maybe(.3, "keep", "keep_list")
    if name == "GPT2DoubleHeadsModel":
        maybe(.5, "mc_ids")
        if not asked & {"embeds", "past", "cross", "cross_mask", "cross_mask3", "cross_past", "mask4"}:
            maybe(.6, "choices")
            if "choices" in asked:
                maybe(.5, "mc_labels")
    if name == "GPT2ForSequenceClassification":
        maybe(.3, "regression", "multi_label")
    if not asked & {"positions", "positions_shared"}:
        maybe(.2, "auto_positions")
    return name, tuple(sorted(asked))


def make_model(r, g, name, asked, folder, small, shape):
    heads, width = r.randint(1, 5), r.choice([4, 5, 8, 16])
    heads += 1 if SHAPES & set(asked) else 0
    layers, vocab = r.randint(1, 3), r.randint(20, 90)
    if small:
        heads, width, layers, vocab = min(heads, 3), min(width, 5), min(layers, 2), 20 + vocab % 8
    cross = bool(set(asked) & {"cross", "cross_mask", "cross_mask3", "cross_past"})
    fields = dict(n_embd=heads * width, n_head=heads, n_layer=layers, n_positions=r.randint(24, 40), vocab_size=vocab,
                  n_inner=r.choice([None, 12, 33]), activation_function=r.choice(ACTIVATIONS), scale_attn_weights=r.random() < .8,
                  scale_attn_by_inverse_layer_idx=r.random() < .3, add_cross_attention=cross, layer_norm_epsilon=r.choice([1e-5, 1e-3]),
                  tie_word_embeddings=r.random() < .8, pad_token_id=vocab - 1, bos_token_id=0, eos_token_id=0)
    if shape:  # sizes of a real model, with weights as transformers draws them
        given = json.loads(pathlib.Path(shape).read_text())
        fields.update({k: given[k] for k in ("n_embd", "n_head", "n_layer", "n_positions", "vocab_size", "activation_function")},
                      n_inner=None, pad_token_id=given["vocab_size"] - 1)
    if name == "GPT2DoubleHeadsModel":
        fields.update(summary_use_proj=True, summary_activation=r.choice([None, "tanh", "gelu"]), summary_proj_to_labels=r.random() < .7)
        if "mc_labels" in asked:
            fields["summary_proj_to_labels"] = True
        if "choices" not in asked and "mc_ids" not in asked:
            fields["summary_type"] = r.choice(["cls_index", "last", "first", "mean"])
    else:
        fields["num_labels"] = 1 if "regression" in asked and r.random() < .5 else r.randint(2, 5)
    if "regression" in asked:
        fields["problem_type"] = "regression"
    if "multi_label" in asked:
        fields["problem_type"] = "multi_label_classification"
    torch.manual_seed(g.initial_seed())
    model = CLASSES[name](GPT2Config(attn_implementation="eager", **fields)).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            value.copy_(torch.randn(value.shape, generator=g) * (.02 if shape else .2) + (1 if "ln_" in key and key.endswith("weight") else 0))
    if fields["tie_word_embeddings"]:
        model.tie_weights()
    if "bidirectional" in asked:
        model.config.is_causal = False
    model.save_pretrained(folder)
    return model.double(), model.config


def masks(r, g, asked, B, T):
    m = torch.ones(B, T, dtype=torch.long)
    for b in range(B):
        n = r.randint(0, T - 1)
        if "mask_left" in asked:
            m[b, :n] = 0
        elif "mask_right" in asked:
            m[b, T - n:] = 0
        elif "mask_holes" in asked:
            m[b] = (torch.rand(T, generator=g) < .6).long()
    return m


def random_past(g, config, B, n, count):
    shape = (B, config.n_head, n, config.n_embd // config.n_head)
    return [[torch.randn(shape, generator=g) for _ in range(count)] for _ in range(config.n_layer)]


def packed_positions(r, rows, S):
    lists = []
    for _ in range(rows):
        row = []
        while len(row) < S:
            row += range(r.randint(0, 2), r.randint(3, 6))
        lists.append(row[:S])
    return torch.tensor(lists)


def make_request(r, g, name, asked, config):
    """Tensors as tfrun gets them (float32), and the arguments of tfrun."""
    has = lambda *w: bool(set(w) & set(asked))
    t, args = {}, []
    B = 1 if has("one_row") else r.randint(1, 4)
    choices = r.randint(2, 3) if has("choices") else 0
    P = r.randint(1, 9) if has("past") else 0
    S = r.randint(1, 10)
    if has(*SHAPES):
        B, S = max(B, 2), max(S, 4)
    lead = (B, choices) if choices else (B,)
    rows = B * max(choices, 1)
    randint = lambda n, *shape: torch.randint(0, n, shape, generator=g)
    if has("embeds", "f16_embeds"):
        t["inputs_embeds"] = torch.randn(B, S, config.n_embd, generator=g)
        if has("f16_embeds"):
            t["inputs_embeds"] = t["inputs_embeds"].to(r.choice([torch.float16, torch.bfloat16]))
    else:
        t["input_ids"] = randint(config.vocab_size - 1, *lead, S)
        if name == "GPT2ForSequenceClassification" and not has("past"):
            for b in range(B):
                t["input_ids"][b, S - r.randint(0, S - 1):] = config.pad_token_id
    if has("mask_left", "mask_right", "mask_holes", "auto_positions"):
        t["attention_mask"] = masks(r, g, asked or ("mask_left",), rows, P + S).view(*lead, P + S)
        if has("bool_mask"):
            t["attention_mask"] = t["attention_mask"].to(r.choice([torch.bool, torch.uint8, torch.float32]))
    elif has("mask4"):
        m = torch.randn(r.choice([1, B]), r.choice([1, config.n_head]), S, P + S, generator=g)
        hidden = torch.rand(m.shape, generator=g) < .3
        hidden[..., torch.arange(S), P + torch.arange(S)] = False
        t["attention_mask"] = m.masked_fill(hidden, r.choice([-1e9, torch.finfo(torch.float32).min]))
    if has("positions"):
        t["position_ids"] = randint(config.n_positions, rows, S)  # transformers does not flatten these
    if has("positions_shared"):
        t["position_ids"] = randint(config.n_positions, 1, S)
    if has("packed"):
        t["position_ids"] = packed_positions(r, 1 if has("positions_shared") else rows, S)
    if has("token_types"):
        t["token_type_ids"] = randint(config.vocab_size, *lead, S)
    if has("head_mask"):
        t["head_mask"] = torch.rand(config.n_head, generator=g)
    if has("head_mask_layers"):
        t["head_mask"] = (torch.rand(config.n_layer, config.n_head, generator=g) < .6).float()
    if has("cross", "cross_mask", "cross_mask3", "cross_past"):
        E = r.randint(1, 9)
        t["encoder_hidden_states"] = torch.randn(B, E, config.n_embd, generator=g)
        if has("cross_mask"):
            t["encoder_attention_mask"] = (torch.rand(B, E, generator=g) < .7).long()
            t["encoder_attention_mask"][:, r.randint(0, E - 1)] = 1
        if has("cross_mask3"):
            t["encoder_attention_mask"] = (torch.rand(B, S, E, generator=g) < .7).long()
            t["encoder_attention_mask"][:, :, r.randint(0, E - 1)] = 1
        if has("cross_past"):
            for i, (k, v) in enumerate(random_past(g, config, B, E, 2)):
                t[f"past_key_values.{i}.cross_key"], t[f"past_key_values.{i}.cross_value"] = k, v
    if has("past"):
        for i, (k, v) in enumerate(random_past(g, config, rows, P, 2)):
            t[f"past_key_values.{i}.key"], t[f"past_key_values.{i}.value"] = k, v
    if has("labels"):
        if name == "GPT2ForSequenceClassification":
            wide = has("regression", "multi_label") or config.num_labels == 1
            t["labels"] = torch.rand(B, config.num_labels, generator=g) if wide else randint(config.num_labels, B)
            if has("multi_label"):
                t["labels"] = t["labels"].round()
        else:
            t["labels"] = randint(config.num_labels if name == "GPT2ForTokenClassification" else config.vocab_size, *lead, S)
            t["labels"][torch.rand(t["labels"].shape, generator=g) < .3] = -100
    if has("mc_ids"):
        t["mc_token_ids"] = randint(S, *lead)
    if has("mc_labels"):
        t["mc_labels"] = randint(max(choices, 1), B)
    if has("span"):
        t["start_positions"], t["end_positions"] = randint(S + 3, B) - 1, randint(S + 3, B) - 1
    if has("keep_list"):
        t["logits_to_keep"] = randint(S, r.randint(1, 5))
    if has("int32"):
        t = {k: v.int() if v.dtype == torch.long else v for k, v in t.items()}
    if not has("use_cache"):
        args.append("--no-use-cache")
        if has("positions", "positions_shared") and not has("packed"):
            args.append("--no-packed")  # the reference keeps a cache
    for word in asked:
        reshape(t, word, rows, S)
    for word, flag in (("packed", "" if has("unasked") else "--packed"), ("use_cache", "--use-cache"), ("hidden_states", "--output-hidden-states"), ("attentions", "--output-attentions"),
                       ("auto_positions", "--auto-positions")):
        if has(word) and flag:
            args.append(flag)
    if has("keep"):
        args += ["--logits-to-keep", str(r.randint(1, S + 2))]
    if has("eager"):
        args += ["--attn", "eager"]
    if has("small_steps") and not has("bidirectional"):  # which needs all tokens of a row in one step
        args += ["--set", f"runtime.max_rows={r.randint(1, 5)}", "--set", f"runtime.max_batch={r.randint(1, 3)}"]
    return t, args, (rows, S, P)


def wide(x):
    return x.double() if x.is_floating_point() else x.long() if x.dtype in (torch.int32, torch.int64) else x


def make_cache(t, config, key, value):
    cache = DynamicCache()
    for i in range(config.n_layer):
        cache.update(wide(t[f"past_key_values.{i}.{key}"]), wide(t[f"past_key_values.{i}.{value}"]), i)
    return cache


def reference(model, config, name, asked, t, args, shape):
    rows, S, P = shape
    kw = {k: wide(v) for k, v in t.items() if not k.startswith("past_") and k != "logits_to_keep"}
    if "attention_mask" in kw and kw["attention_mask"].dim() < 4:
        kw["attention_mask"] = kw["attention_mask"].long()
    if name != "GPT2ForQuestionAnswering":
        kw["use_cache"] = "packed" not in asked
    if "logits_to_keep" in t:
        kw["logits_to_keep"] = wide(t["logits_to_keep"])
    if "--logits-to-keep" in args:
        kw["logits_to_keep"] = int(args[args.index("--logits-to-keep") + 1])
    if "auto_positions" in asked:
        m = kw["attention_mask"].view(rows, -1)
        kw["position_ids"] = (m.cumsum(-1) - 1).masked_fill(m == 0, 1)[:, -S:]
    if "bidirectional" in asked and not IS_5:  # what transformers 5 does: no causal rule, neither in the mask nor in the layers
        for block in getattr(model, "transformer", model).h:
            block.attn.bias.fill_(True)
        m = kw.get("attention_mask", torch.ones(rows, P + S, dtype=torch.long))
        if m.dim() < 4:
            low = torch.finfo(torch.float64).min
            kw["attention_mask"] = ((1 - m.view(rows, 1, 1, P + S).double()) * low).expand(rows, 1, S, P + S)
    if kw.get("attention_mask", torch.empty(0)).dim() == 4 and "bidirectional" not in asked and IS_5:  # which takes such a mask for all there is to hide
        later = torch.ones(S, P + S, dtype=torch.bool).triu(P + 1)
        kw["attention_mask"] = kw["attention_mask"].masked_fill(later, torch.finfo(torch.float64).min)
    cache = None
    if "past" in asked:
        cache = make_cache(t, config, "key", "value")
    if "cross_past" in asked:
        cache = EncoderDecoderCache(cache or DynamicCache(), make_cache(t, config, "cross_key", "cross_value"))
        cache.is_updated = {i: True for i in range(config.n_layer)}
    if cache is not None:
        kw["past_key_values"] = cache
    extra = {}
    if name in ("GPT2ForQuestionAnswering", "GPT2ForTokenClassification", "GPT2ForSequenceClassification", "GPT2DoubleHeadsModel"):
        for key in ("encoder_hidden_states", "encoder_attention_mask") + (("past_key_values",) if "QuestionAnswering" in name else ()):  # these classes do not pass them on
            if key in kw:
                extra[key] = kw.pop(key)
    hook = None
    if extra or (name == "GPT2ForQuestionAnswering"):
        hook = model.transformer.register_forward_pre_hook(lambda m, a, k: (a, {**k, **extra, "use_cache": True}), with_kwargs=True)
    trunk = {}  # some classes keep parts of what their trunk gives to themselves
    watch = None if name == "GPT2Model" else model.transformer.register_forward_hook(lambda m, a, result: trunk.update(result))
    with torch.no_grad():
        out = model(output_hidden_states=True, output_attentions=True, **kw)
    for h in (hook, watch):
        if h is not None:
            h.remove()
    ref = {k: out[k] for k in ("loss", "mc_loss", "logits", "mc_logits", "start_logits", "end_logits", "last_hidden_state") if k in out}
    out = trunk or out
    for i, h in enumerate(out["hidden_states"]):
        ref[f"hidden_states.{i}"] = h.reshape(rows, S, -1)
    for i, a in enumerate(out["attentions"]):
        ref[f"attentions.{i}"] = a
    if out.get("cross_attentions"):
        for i, a in enumerate(out["cross_attentions"]):
            ref[f"cross_attentions.{i}"] = a
    kv = out.get("cache", out.get("past_key_values"))  # 5.24 has the first name
    if kv is not None:
        for i in range(config.n_layer):
            own = kv.self_attention_cache if isinstance(kv, EncoderDecoderCache) else kv
            ref[f"past_key_values.{i}.key"], ref[f"past_key_values.{i}.value"] = own.layers[i].keys, own.layers[i].values
            if isinstance(kv, EncoderDecoderCache) and (extra or "encoder_hidden_states" in t):
                other = kv.cross_attention_cache.layers[i]
                ref[f"past_key_values.{i}.cross_key"], ref[f"past_key_values.{i}.cross_value"] = other.keys, other.values
    return ref


def expected_names(name, asked, ref):
    has = set(asked)
    skip = set()
    if "use_cache" not in has:
        skip.add("past_key_values")
    if "hidden_states" not in has:
        skip.add("hidden_states")
    if "attentions" not in has:
        skip |= {"attentions", "cross_attentions"}
    return {k for k in ref if k.split(".")[0] not in skip}


def kept(name, key, asked, t, args, shape):
    """Boolean selection of the rows of an output that are compared, or None for all."""
    rows, S, P = shape
    m = t.get("attention_mask")
    if key.startswith("past_key_values") and "cross" in key:
        m = t.get("encoder_attention_mask")
        return m[:, None, :, None] != 0 if m is not None and m.dim() == 2 else None
    if m is None or m.dim() == 4:
        return None
    m = m.view(rows, P + S) != 0
    sees = m.long().cumsum(-1)[:, P:] > 0
    if "bidirectional" in asked:
        sees = m.any(-1, keepdim=True).expand(rows, S)
    if key.startswith("past_key_values"):
        return m[:, None, :, None]
    if key.startswith(("hidden_states", "last_hidden")):
        return sees[:, :, None]
    if key.startswith(("attentions", "cross_attentions")):
        return sees[:, None, :, None]
    if key == "logits" and name in ("GPT2LMHeadModel", "GPT2DoubleHeadsModel", "GPT2ForTokenClassification"):
        if "logits_to_keep" in t:
            sees = sees[:, wide(t["logits_to_keep"])]
        elif "--logits-to-keep" in args:
            sees = sees[:, -int(args[args.index("--logits-to-keep") + 1]):]
        return sees[:, :, None]
    if key in ("start_logits", "end_logits"):
        return sees
    if key in ("logits", "mc_logits", "loss", "mc_loss") and not bool(sees.all()):
        return False  # pooled or summed over rows that see nothing: not defined
    return None


def differences(name, asked, t, args, shape, ref, got):
    names = expected_names(name, asked, ref)
    for key in sorted(names):
        mine, theirs = got.get(key), ref[key]
        select = kept(name, key, asked, t, args, shape)
        if mine is None or mine.numel() != theirs.numel():
            yield key, float("inf")
            continue
        if select is False or theirs.isnan().any():
            continue
        mine, theirs = mine.double().flatten(), theirs.double().reshape(-1)
        if select is not None:
            flat = torch.broadcast_to(select, full_shape(ref[key], select, shape[0])).reshape(-1)
            mine, theirs = mine[flat], theirs[flat]
        yield key, (mine - theirs).abs().max().item() if mine.numel() else 0.0
    for key in set(got) - names:
        yield "unexpected " + key, float("inf")


def full_shape(tensor, select, rows):
    """Shape of `tensor` with its leading dims joined to the rows that `select` speaks of."""
    tail = tensor.shape[tensor.dim() - select.dim() + 1:]
    return (rows, *tail)


def run_case(args, index, name, asked, root):
    r, g = random.Random(args.seed * 100003 + index), torch.Generator().manual_seed(args.seed * 100003 + index)
    folder = root / f"case_{index}"
    model, config = make_model(r, g, name, asked, folder, bool(args.golden), args.shape)
    t, flags, shape = make_request(r, g, name, asked, config)
    ref = reference(model, config, name, asked, t, flags, shape)
    save_file({k: v.contiguous() for k, v in t.items()}, folder / "request.safetensors")
    if args.golden:
        return write_golden(args, index, folder, name, asked, t, flags, shape, ref)
    command = [args.tfrun, "forward", str(folder), "--in", str(folder / "request.safetensors"), "--out", str(folder / "reply.safetensors"), "--force",
               *flags, *args.options]
    if args.ranks > 1:
        command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(args.ranks), *command]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return [("failed: " + done.stderr.strip(), float("inf"))]
    return list(differences(name, asked, t, flags, shape, ref, load_file(folder / "reply.safetensors")))


SHORT = {"GPT2LMHeadModel": "lm", "GPT2Model": "base", "GPT2DoubleHeadsModel": "double", "GPT2ForSequenceClassification": "sequence",
         "GPT2ForTokenClassification": "token", "GPT2ForQuestionAnswering": "qa"}


def write_golden(args, index, folder, name, asked, t, flags, shape, ref):
    """The request, the flags and what is compared, as float32; elements that are not compared are NaN."""
    out = {}
    for key in expected_names(name, asked, ref):
        select = kept(name, key, asked, t, flags, shape)
        value = ref[key].double().clone()
        if select is False:
            value.fill_(float("nan"))
        elif select is not None:
            flat = torch.broadcast_to(select, full_shape(value, select, shape[0])).reshape(value.shape)
            value[~flat] = float("nan")
        out[key] = value.float().contiguous()
    save_file(out, folder / "expected.safetensors")
    (folder / "case.json").write_text(json.dumps({"class": name, "asks": list(asked), "flags": flags}, indent=1) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)
    combined = len(SINGLE) <= index < args.cases
    words = [f"mix_{index - len(SINGLE):02d}"] if combined else [SHORT[name], *asked]
    target = pathlib.Path(args.golden) / "_".join(words)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return [("written", 0.0)]


def main(args):
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        return run_all(args, pathlib.Path(args.keep or folder))


def run_all(args, root):
    worst, bad, skipped = {}, 0, 0
    if not 0 <= args.first < args.cases + len(PACKED) + len(SHAPED):
        print(f"compare_forward.py: --first {args.first}: there are cases 0 to {args.cases + len(PACKED) + len(SHAPED) - 1}", file=sys.stderr)
        return 2
    for index in range(args.first, args.cases + len(PACKED) + len(SHAPED)):
        name, asked = (SINGLE[index] if index < min(len(SINGLE), args.cases) else (PACKED + SHAPED)[index - args.cases] if index >= args.cases
                       else random_case(random.Random(args.seed * 7919 + index)))
        if IS_5 and (NOT_IN_5 & set(asked) or {"cross_mask", "cross_shared"} <= set(asked)):
            skipped += 1
            continue
        found = run_case(args, index, name, asked, root)
        for key, value in found:
            kind = key.split(".")[0] + ("." + key.split(".")[2] if key.count(".") == 2 else "")
            if value < float("inf"):
                count, most = worst.get(kind, (0, 0.0))
                worst[kind] = (count + 1, max(most, value))
        wrong = [f"{key} {value:.3g}" for key, value in found if not value <= args.tolerance]
        if wrong:
            bad += 1
            print(f"case {index} {name} {' '.join(asked)}: {'; '.join(wrong[:6])}", flush=True)
        if not args.keep:
            shutil.rmtree(root / f"case_{index}", ignore_errors=True)
    print(f"{'output':28} {'tensors':>8} {'largest difference':>20}")
    for kind in sorted(worst):
        print(f"{kind:28} {worst[kind][0]:8} {worst[kind][1]:20.2e}")
    total = args.cases + len(PACKED) + len(SHAPED) - args.first - skipped
    print(f"{total - bad} of {total} cases within {args.tolerance:g}, {skipped} skipped (seed {args.seed}, transformers {transformers.__version__})")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(ARGS))
