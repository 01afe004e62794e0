"""make_seeds.py - first inputs of the fuzz targets: make_seeds.py FOLDER TFRUN writes FOLDER/TARGET/NAME, from the golden files of the
tests, and what the program TFRUN writes of small models.

The committed corpus is what `scripts/fuzz merge` keeps of these and of what was found; this is for a target that is new.
"""
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

from seed_pieces import i64, tensors

root = pathlib.Path(__file__).resolve().parents[2]
model = root / "tests/model"
out = pathlib.Path(sys.argv[1])


def put(target, name, data):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def bundle(parts):
    return b"\n".join(b"=== " + name.encode() + b"\n" + (data if isinstance(data, bytes) else data.encode()) for name, data in parts)


def f32(n, value=0.5):
    return struct.pack("<f", value) * n


def read(*parts):
    return root.joinpath(*parts).read_bytes()


def files_of(folder):
    return [(path.name, path.read_bytes()) for path in sorted(pathlib.Path(folder).iterdir()) if path.is_file()]


SMALL = '"n_embd": 4, "n_head": 2, "n_layer": 1, "n_positions": 8, "vocab_size": 11'


def small_tensors(n_layer=1, C=4, V=11, P=8, labels=0, dtype="F32", prefix="transformer."):
    """Every tensor of a small model."""
    width = {"F32": 4, "F16": 2, "BF16": 2}[dtype]
    made = {}

    def add(name, *shape):
        n = 1
        for dim in shape:
            n *= dim
        made[name] = (dtype, list(shape), bytes(n * width))

    add(prefix + "wte.weight", V, C)
    add(prefix + "wpe.weight", P, C)
    for i in range(n_layer):
        block = f"{prefix}h.{i}."
        for norm in ("ln_1", "ln_2"):
            add(block + norm + ".weight", C)
            add(block + norm + ".bias", C)
        for linear, k, n in (("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C), ("mlp.c_fc", C, 4 * C), ("mlp.c_proj", 4 * C, C)):
            add(block + linear + ".weight", k, n)
            add(block + linear + ".bias", n)
    add(prefix + "ln_f.weight", C)
    add(prefix + "ln_f.bias", C)
    if labels:
        add("score.weight", labels, C)
    return made


def config_seeds():
    for path in sorted(root.glob("configs/*.json")):
        if path.name != "schema.json":
            put("config", path.stem, bundle([("config.json", path.read_bytes())]))
    for name in ("act_gelu_10", "scale_both", "upcast", "inner"):
        put("config", name, bundle(files_of(model / "golden" / name)[:1]))
    for folder in sorted(model.glob("files/model_*")):
        put("config", folder.name, bundle([part for part in files_of(folder) if part[0] in ("config.json", "generation_config.json")]))
    for folder in ("multi", "single", "cross", "inferred", "tokens"):
        put("config", "text_" + folder, bundle([("config.json", read("tests/model/text", folder, "config.json"))]))
    for folder in list(model.glob("forward/double*"))[:3] + list(model.glob("forward/base*"))[:2]:
        put("config", folder.name, bundle([("config.json", (folder / "config.json").read_bytes())]))
    schema = json.loads(read("configs/schema.json"))
    sections = schema["properties"]["tfrun"]["properties"]
    everything, flags = {}, []
    for section, what in sections.items():
        if "properties" not in what:
            continue
        for key, option in what["properties"].items():
            default = option.get("default")
            if default is not None:
                everything.setdefault(section, {})[key] = default
            choices = option.get("enum") or [default]
            for choice in choices:
                if choice is not None:
                    flags.append(f"{section}.{key}={str(choice).lower() if isinstance(choice, bool) else choice}")
    put("config", "all_options", bundle([("config.json", json.dumps({"model_type": "gpt2", "tfrun": {"version": 1, **everything}}))]))
    for i in range(0, len(flags), 12):
        put("config", f"flags_{i}", bundle([("config.json", "{%s}" % SMALL), ("flags", "\n".join(flags[i:i + 12]))]))
    quantization = {"quant_method": "tfrun", "bits": 4, "group_size": 32}
    put("config", "quantization", bundle([("config.json", json.dumps({"model_type": "gpt2", "quantization_config": quantization}))]))
    for i, text in enumerate(('{"0": [0, 1, 2], "1": [3, 4, 5]}', '{"2": [0], "0": [1, 2, 3, 4, 5]}', "null", "{}", '{"0": []}', '{"0": [0, 0]}',
                              '{"transformer.h.0": 0, "": 1}', '{"-1": [0, 1, 2, 3, 4, 5]}', '{"999999999999": [0, 1, 2, 3, 4, 5]}', '"auto"')):
        put("device_map", f"map_{i}", text)


def request_seeds():
    settings = [{"temperature": 0.7, "top_k": 5, "top_p": 0.9, "seed": 3}, {"num_beams": 3, "length_penalty": 0.5, "early_stopping": "never"},
                {"stop": ["a", "b c"], "max_tokens": 4, "min_tokens": 1}, {"bad_words_ids": [[1, 2], [3]], "suppress_tokens": [4]},
                {"sequence_bias": [[[5, 6], -2.5], [[7], 10]], "forced_bos_token_id": 1, "forced_eos_token_id": 2},
                {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "encoder_no_repeat_ngram_size": 2, "renormalize_logits": True},
                {"logprobs": 3, "prompt_logprobs": True, "num_return_sequences": 2, "do_sample": True},
                {"typical_p": 0.5, "epsilon_cutoff": 0.001, "eta_cutoff": 0.001, "min_p": 0.01}, {"logit_bias": {"5": 3, "6": -100}},
                {"exponential_decay_length_penalty": [2, 1.5], "begin_suppress_tokens": [3]}, {"prompt_lookup": 3, "truncate": "left"},
                {"assistant": False, "stop_token_ids": [3]}, {"presence_penalty": 1, "frequency_penalty": 1}]
    for i, one in enumerate(settings):
        put("request", f"json_{i}", json.dumps(one))
        lines = "\n".join(f"sampling.{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in one.items())
        put("request", f"flags_{i}", "=== flags\n" + lines)
    put("request", "both", '{"top_k": 3}\n=== flags\nsampling.top_k=2\ninput.truncate=left\nruntime.dtype=bf16')


def weight_seeds():
    put("safetensors", "small", tensors({"a": ("F32", [2], f32(2)), "b": ("I64", [1], i64(3)), "c": ("BOOL", [], b"\1")}, {"__metadata__": {"format": "pt"}}))
    for dtype in ("F32", "F16", "BF16"):
        put("safetensors", "model_" + dtype, tensors(small_tensors(C=2, V=3, P=2, dtype=dtype)))
    put("safetensors", "empty", tensors({}))
    put("safetensors", "rank4", tensors({"k": ("F64", [1, 2, 1, 1], bytes(16)), "z": ("U8", [0, 5], b"")}))
    for path in sorted(model.glob("golden/bin/cases/*/pytorch_model.bin")):
        if path.stat().st_size < 24000:
            put("pickle", path.parent.name, path.read_bytes())
    put("pickle", "bare", b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x01s.")
    put("index", "bin", bundle([part for part in files_of(model / "golden/bin/cases/shards") if part[0] != "config.json"]))
    whole = small_tensors(C=2, V=3, P=2)
    names = sorted(whole)
    halves = names[:len(names) // 2], names[len(names) // 2:]
    where = {name: f"model-0000{1 + (name in halves[1])}-of-00002.safetensors" for name in names}
    shards = [(f"model-0000{i + 1}-of-00002.safetensors", tensors({name: whole[name] for name in half})) for i, half in enumerate(halves)]
    index = ("model.safetensors.index.json", json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    put("index", "safetensors", bundle([index, *shards]))
    put("index", "absent", bundle([("model.safetensors.index.json", json.dumps({"weight_map": {**where, "more": shards[0][0], "x": "../a"}})), *shards]))
    put("index", "one_shard", bundle([("model.safetensors.index.json", json.dumps({"weight_map": {"a": shards[0][0]}})),
                                      (shards[0][0], tensors({"a": ("F32", [1], f32(1))}))]))
    config = ("config.json", '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], %s}' % SMALL)
    put("checkpoint", "lm", bundle([config, ("model.safetensors", tensors(small_tensors()))]))
    put("checkpoint", "bare_names", bundle([config, ("model.safetensors", tensors(small_tensors(prefix="")))]))
    put("checkpoint", "f16", bundle([config, ("model.safetensors", tensors(small_tensors(dtype="F16")))]))
    labels = ("config.json", '{"model_type": "gpt2", "architectures": ["GPT2ForSequenceClassification"], "num_labels": 3, "pad_token_id": 0, %s}' % SMALL)
    put("checkpoint", "labels", bundle([labels, ("model.safetensors", tensors(small_tensors(labels=3)))]))
    buffers = small_tensors()
    buffers["transformer.h.0.attn.bias"] = ("BOOL", [1, 1, 8, 8], bytes(64))
    buffers["transformer.h.0.attn.masked_bias"] = ("F32", [], f32(1))
    buffers["lm_head.weight"] = buffers["transformer.wte.weight"]
    put("checkpoint", "buffers", bundle([config, ("model.safetensors", tensors(buffers))]))
    lacking = small_tensors()
    del lacking["transformer.ln_f.bias"]
    put("checkpoint", "lacking", bundle([config, ("model.safetensors", tensors(lacking))]))
    put("checkpoint", "none", bundle([config]))
    put("checkpoint", "foreign", bundle([config, ("tf_model.h5", b"\x89HDF\r\n")]))
    put("checkpoint", "gguf", bundle([config, ("pytorch_model.bin", b"GGUF\3\0\0\0")]))
    put("checkpoint", "pointer", bundle([config, ("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")]))
    ignored = '{"model_type": "gpt2", "tfrun": {"model": {"ignore_tensors": ["more*"], "tensor_prefix": "m.", "check_weights": true}}, %s}' % SMALL
    put("checkpoint", "prefix", bundle([("config.json", ignored), ("model.safetensors", tensors({"m." + k: v for k, v in small_tensors().items()} | {"m.more": ("F32", [1], f32(1))}))]))
    for name in ("stream_bare", "zip_bare", "zip_bf16"):
        put("checkpoint", name, bundle(files_of(model / "golden/bin/cases" / name)))
    put("checkpoint", "shards", bundle(files_of(model / "golden/bin/cases/shards")))
    whole = small_tensors()
    put("checkpoint", "sharded", bundle([config, ("model.safetensors.index.json", json.dumps({"weight_map": {
        name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(whole)}})),
        *[(f"model-0000{h + 1}-of-00002.safetensors", tensors({name: whole[name] for i, name in enumerate(whole) if i % 2 == h})) for h in (0, 1)]]))
    for folder in sorted(model.glob("golden/lora/*")):
        if (folder / "adapter_config.json").exists() and sum(path.stat().st_size for path in folder.iterdir()) < 4000:
            put("adapter", "lora_" + folder.name, bundle(files_of(folder)))
    for folder in sorted(model.glob("golden/prefix/*/adapter")):
        put("adapter", "prefix_" + folder.parent.name, bundle([part for part in files_of(folder) if not part[0].endswith(".md")]))
    put("adapter", "file", bundle([("prefix.safetensors", tensors({f"past_key_values.0.{kind}": ("F32", [1, 2, 3, 8], f32(48)) for kind in ("key", "value")}))]))
    put("adapter", "prefix_own", bundle([("adapter_config.json", json.dumps({"peft_type": "PREFIX_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 3,
        "token_dim": 16, "num_layers": 1, "num_attention_heads": 2, "encoder_hidden_size": 16, "prefix_projection": False})),
        ("adapter_model.safetensors", tensors({"prompt_embeddings": ("F32", [3, 32], f32(96))}))]))
    lora = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True, "bias": "none", "task_type": "CAUSAL_LM"}
    base = "base_model.model.transformer.h.0."
    own = {base + "attn.c_attn.lora_A.weight": ("F32", [2, 16], f32(32)), base + "attn.c_attn.lora_B.weight": ("F32", [48, 2], f32(96)),
           base + "mlp.c_fc.lora_A.weight": ("F32", [2, 16], f32(32)), base + "mlp.c_fc.lora_B.weight": ("F32", [64, 2], f32(128))}
    put("adapter", "lora_own", bundle([("adapter_config.json", json.dumps(lora)), ("adapter_model.safetensors", tensors(own))]))
    put("adapter", "lora_patterns", bundle([("adapter_config.json", json.dumps(lora | {"rank_pattern": {"c_fc": 2}, "alpha_pattern": {"h.0.*": 3},
        "use_rslora": True, "modules_to_save": ["score"], "layers_to_transform": [0]})), ("adapter_model.safetensors", tensors(own))]))
    head = {"base_model.model.score.modules_to_save.weight": ("F32", [3, 16], f32(48))}
    put("adapter", "lora_head", bundle([("adapter_config.json", json.dumps(lora | {"task_type": "SEQ_CLS", "modules_to_save": ["score"]})),
                                        ("adapter_model.safetensors", tensors(own | head))]))


def tokenizer_seeds():
    for folder in sorted(model.glob("files/*_[45]")):
        if (folder / "tokenizer.json").exists():
            put("tokenizer", folder.name, (folder / "tokenizer.json").read_bytes())
        parts = [part for part in files_of(folder) if part[0] in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
                                                                  "added_tokens.json", "tokenizer.json")]
        if parts:
            put("vocab", folder.name, bundle(parts))
    vocab, merges = read("tests/model/text/tokenizer/vocab.json"), read("tests/model/text/tokenizer/merges.txt")
    small = json.dumps({"a": 0, "b": 1, "ab": 2, "\u0120": 3, "\u0120a": 4, "<|endoftext|>": 5})
    put("vocab", "slow", bundle([("vocab.json", vocab), ("merges.txt", merges)]))
    put("vocab", "small", bundle([("vocab.json", small), ("merges.txt", "#version: 0.2\na b\n\u0120 a\n")]))
    put("vocab", "beside", bundle([("vocab.json", small), ("merges.txt", "a b"), ("added_tokens.json", '{"<x>": 6}'),
        ("special_tokens_map.json", '{"eos_token": {"content": "<x>", "lstrip": true, "rstrip": false, "normalized": false, "single_word": false}, "additional_special_tokens": ["<y>"]}'),
        ("tokenizer_config.json", '{"add_prefix_space": true, "tokenizer_class": "GPT2Tokenizer", "model_max_length": 10, "split_special_tokens": false, "bos_token": "<x>"}')]))
    put("vocab", "decoder", bundle([("vocab.json", small), ("merges.txt", "a b\r\n"), ("tokenizer_config.json", json.dumps({"added_tokens_decoder": {
        "6": {"content": "<pad>", "lstrip": False, "rstrip": True, "normalized": False, "single_word": False, "special": True}}, "pad_token": "<pad>", "extra_special_tokens": {"image": "<i>"}}))]))
    put("tokenizer", "small", json.dumps({"model": {"type": "BPE", "vocab": json.loads(small), "merges": ["a b", ["\u0120", "a"]]},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}, "decoder": {"type": "ByteLevel"}, "added_tokens": [
        {"id": 5, "content": "<|endoftext|>", "special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False}]}))
    texts = ["Hello world, it's 42 degrees.\n\n  Tabs\tand  blanks ", "caf\u00e9 \u4f60\u597d \U0001f600 \u0661\u0662 \u01c5", "<|endoftext|>x<|endoftext|>", "'s't're've'm'll'd 'S", "\u00a0\u2003 a\u3000"]
    for i, text in enumerate(texts):
        for mode in range(2):
            put("prompt", f"text_{i}_{mode}", bytes([mode]) + text.encode())
    put("prompt", "bytes", b"\0\xff\xfe\xc3(\xe2\x82\xf0\x9f\x98 \x80")
    put("prompt", "ids", b"\2" + struct.pack("<6H", 0, 50256, 100, 222, 30000, 220))
    put("prompt", "ids_skipped", b"\3" + struct.pack("<6H", 50256, 17, 447, 247, 50256, 1))


def engine_seeds():
    ids = ("I64", [1, 3], i64(5, 6, 7))

    def ask(name, kind, entries, flags=0):
        put("forward", name, bytes([kind | flags]) + tensors(entries))

    past = {f"past_key_values.0.{part}": ("F32", [1, 2, 2, 8], f32(32)) for part in ("key", "value")}
    # a byte's value modulo 5 is the model; the upper bits ask for states and weights: 65 % 5 == 0, 130 % 5 == 0, 195 % 5 == 0
    ask("ids", 0, {"input_ids": ids})
    ask("ids_states", 65, {"input_ids": ids})
    ask("ids_weights", 130, {"input_ids": ids})
    ask("embeds", 0, {"inputs_embeds": ("F32", [1, 2, 16], f32(32))})
    ask("mask", 0, {"input_ids": ids, "attention_mask": ("I64", [1, 3], i64(0, 1, 1))})
    ask("mask4", 0, {"input_ids": ids, "attention_mask": ("F32", [1, 1, 3, 3], f32(9, 0))})
    ask("positions", 0, {"input_ids": ids, "position_ids": ("I64", [1, 3], i64(2, 1, 0)), "token_type_ids": ("I64", [1, 3], i64(1, 2, 3))})
    ask("packed", 0, {"input_ids": ids, "position_ids": ("I64", [1, 3], i64(0, 1, 0))})
    ask("past", 0, {"input_ids": ids, **past})
    ask("labels", 0, {"input_ids": ids, "labels": ("I64", [1, 3], i64(5, -100, 7)), "logits_to_keep": ("I64", [], i64(2))})
    ask("keep", 0, {"input_ids": ids, "logits_to_keep": ("I64", [2], i64(0, 2))})
    ask("head_mask", 0, {"input_ids": ids, "head_mask": ("F32", [2], f32(2))})
    ask("int32", 0, {"input_ids": ("I32", [2, 2], bytes(16))})
    encoder = {"encoder_hidden_states": ("F32", [1, 2, 16], f32(32)), "encoder_attention_mask": ("I64", [1, 2], i64(1, 0))}
    ask("cross", 1, {"input_ids": ids, **encoder})
    cross_past = {f"past_key_values.0.cross_{part}": ("F32", [1, 2, 2, 8], f32(32)) for part in ("key", "value")}
    ask("cross_past", 1, {"input_ids": ids, **past, **cross_past})
    ask("double", 2, {"input_ids": ("I64", [1, 2, 3], i64(1, 2, 3, 4, 5, 6)), "mc_token_ids": ("I64", [1, 2], i64(0, 2)), "mc_labels": ("I64", [1], i64(1))})
    ask("seq", 3, {"input_ids": ids, "labels": ("I64", [1], i64(2))})
    ask("seq_pad", 3, {"input_ids": ("I64", [2, 3], i64(5, 6, 0, 7, 0, 0)), "labels": ("F32", [2, 3], f32(6))})
    ask("token", 4, {"input_ids": ids, "labels": ("I64", [1, 3], i64(0, 1, -100))})
    for folder in ("masked", "one", "rows"):
        put("encoder", folder, b"\0" + read("tests/model/text/cross", folder + ".safetensors"))
    for i, shape in enumerate(([2, 16], [1, 2, 16], [2, 2, 16])):
        n = 1
        for dim in shape:
            n *= dim
        put("encoder", f"own_{i}", bytes([i]) + tensors({"encoder_hidden_states": ("F32", shape, f32(n)), "encoder_attention_mask": ("I64", shape[:-1], i64(*[1] * (n // 16)))}))
    put("cache", "as_it_is", b"\xff\xff")
    put("cache", "ids", struct.pack("<H", 900) + i64(7, 9))
    put("cache", "empty", b"\0\0")
    put("cache", "header", struct.pack("<H", 30) + b"x")
    put("cache", "other", b"\0\0" + tensors({"input_ids": ("I64", [1], i64(7))}, {"__metadata__": {"kind": "tfrun-cache", "layout": "1"}}))
    for at in (60, 100, 140, 180, 220, 260, 400, 600, 1000, 1400):
        put("cache", f"at_{at}", struct.pack("<H", at) + b"0")
    put("score", "pairs", b"\0" + b'{"context": "the ", "continuation": "an he"}\n{"context": "", "continuation": "a"}\n')
    put("score", "choices", b"\1" + b'{"context": "the", "choices": [" an", " he", " the"], "answer": 1}\n\n{"context": "a", "choices": ["b"], "answer": 0}')
    put("score", "long", b"\0" + json.dumps({"context": "x" * 40, "continuation": "y" * 20}).encode())


def message_seeds():
    kinds = ["STEP", "OPEN_SLOT", "CLOSE_SLOT", "COPY_SLOT", "OPEN_CROSS", "LOAD_KV", "FETCH_KV", "PLAN", "MEMORY", "FACTS", "TRACE", "WATCH", "SAMPLES", "CALL", "END"]

    def say(kind, origin=0, slot=0, is_cross=0, layer=0, first=0, n=0, body=b""):
        return bytes([kinds.index(kind)]) + struct.pack("<6i", origin, slot, is_cross, layer, first, n) + struct.pack("<H", len(body)) + body

    def features(part=0, head=0, **flags):
        names = ["embeds", "token_types", "hidden_states", "last_hidden", "cross", "weights", "mask", "cross_mask", "head_mask", "attention", "best", "replica"]
        return struct.pack("<14i", part, head, *[flags.get(name, 0) for name in names])

    def step(what, pieces, ids=(), rows=0, logits=(), positions=(), types=(), floats=0, memory=0):
        rows = rows or len(ids)
        numbers = [*logits, *ids, *positions, *types]
        body = what + struct.pack("<iQ7q" if len(what) % 8 else "<i4xQ7q", memory, 0, len(pieces), rows, len(logits), len(ids), len(positions), len(types), floats)
        for slot, query_only, n, past, mask_at, mask_heads, cross_at in pieces:
            body += struct.pack("<2i5q", slot, query_only, n, past, mask_at, mask_heads, cross_at)
        body += struct.pack(f"<{len(numbers)}i", *numbers)
        body += bytes(-len(numbers) * 4 % 8) + f32(floats, 0)
        return say("STEP", body=body)

    opened = say("OPEN_SLOT", n=8, first=8) + say("OPEN_SLOT", slot=1, n=8, first=8)
    one = step(features(), [(0, 0, 2, 0, 0, 0, 0)], ids=(5, 6), logits=(1,))
    put("message", "steps", b"\0" + opened + one + step(features(), [(0, 0, 1, 2, 0, 0, 0), (1, 0, 1, 0, 0, 0, 0)], ids=(7, 8), logits=(0, 1), memory=1) + say("COPY_SLOT", slot=1, n=3) + say("CLOSE_SLOT"))
    put("message", "states", b"\0" + opened + step(features(hidden_states=1, weights=1, token_types=1, mask=1, head_mask=1), [(0, 0, 2, 0, 2, 1, 0)], ids=(5, 6), logits=(0, 1), positions=(1, 0), types=(1, 2), floats=6))
    put("message", "cache", b"\0" + opened + one + say("FETCH_KV", n=2) + say("LOAD_KV", first=1, n=2, body=f32(64)) + say("PLAN", first=1, n=4, body=features()) + say("WATCH", n=2) + say("CLOSE_SLOT", slot=1, n=1))
    put("message", "cross", b"\1" + opened + say("OPEN_CROSS", n=3) + step(features(part=1), [(0, 0, 2, 0, 0, 0, 0)], rows=2, floats=32)
        + step(features(cross=1, cross_mask=1), [(0, 0, 2, 0, 0, 0, 0)], ids=(5, 6), logits=(1,), floats=4) + say("FETCH_KV", is_cross=1, n=2) + say("OPEN_CROSS"))
    put("message", "answers", b"\0" + b"".join(say(kind) for kind in ("MEMORY", "FACTS", "TRACE", "SAMPLES", "CALL", "END")) + say("SAMPLES", body=i64(1, 1, 0, 1)))


def study_seeds():
    for path in sorted((root / "tests/kernels/cases").glob("*.txt")):
        put("cases", path.stem, "\n".join(path.read_text().splitlines()[:12]))
    put("cluster", "net", "25,10")
    put("cluster", "file", '{"nodes": 2, "ranks_per_node": 2, "bandwidth_gbs": 30, "node_bandwidth_gbs": 50, "gflops": 80, "node_us": 2, "net": {"alpha_us": 25, "gbit_s": 10}, "shm": {"alpha_us": 1.5, "gb_s": 10}}')
    put("cluster", "short", '{"nodes": 2, "net": {"alpha_us": 25, "gbit_s": 10}}')
    put("cluster", "one", '{"nodes": 1, "ranks_per_node": 2}')
    put("steps", "kept", '{"schema": "tfrun-steps-1", "decode": [[1, 0.001], [2, 0.0015], [64, 0.02]], "prefill": [[16, 0.01], [128, 0.05]], "decode_keys": 1, "decode_key_s": 1e-9, "prefill_key_s": 1e-9, "scored_row_s": 1e-6}')
    put("packs", "raw", b"\0" + struct.pack("<5Q", 0x316B636170726674, 48, 5, 0, 0) + b"fuzz\0\0\0\0")
    put("packs", "as_it_is", b"\1\0\0")
    for at in (0, 8, 16, 24, 32, 40, 48, 150, 160, 190, 212, 220, 228, 236, 4096, 8192):
        put("packs", f"sum_{at}", b"\2" + struct.pack("<H", at) + b"\1")
        put("packs", f"at_{at}", b"\1" + struct.pack("<H", at) + b"\1")


def serve_seeds():
    heads = ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /v1/x?y=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
             "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n14\r\n" + "x" * 20 + "\r\n0\r\n\r\n",
             "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
             "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
             "OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: " + "y" * 300 + "\r\n\r\n", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"]
    for i, head in enumerate(heads):
        put("http", f"head_{i}", head)
        put("transport", f"head_{i}", bytes([i]) + head.encode())
    replies = ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 429 Busy\r\nRetry-After: 3\r\nContent-Type: application/json\r\nContent-Length: 30\r\n\r\n" + '{"error": {"message": "later"}}'[:30],
               "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + "".join(
                   f"{len(event):x}\r\n{event}\r\n" for event in ('data: {"choices": [{"text": "a", "index": 0, "token_ids": [1], "finish_reason": null}]}\n\n',
                   'data: {"choices": [{"text": "", "finish_reason": "length"}]}\n\n', 'data: {"choices": [], "usage": {"completion_tokens": 2}}\n\n', "data: [DONE]\n\n")) + "0\r\n\r\n",
               "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"error\": {\"message\": \"x\"}}\n\n", "HTTP/1.1 204 No Content\r\n\r\n"]
    body = json.dumps({"choices": [{"text": "ab", "logprobs": {"tokens": ["a", "b"], "token_logprobs": [None, -1.5]}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    replies.append(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    for i, reply in enumerate(replies):
        put("client", f"reply_{i}", reply)
    put("keys", "file", "# comment\nsecret-key-1\n  secret-key-2  \r\n")
    put("keys", "header", "=== file\nsecret-key-1\n=== header\nBearer secret-key-1")
    put("keys", "wrong", "=== file\nsecret-key-1\n=== header\nBasic x")
    bodies = [(0, {"prompt": "the an", "max_tokens": 4}), (0, {"prompt": ["a", "b"], "n": 2, "best_of": 3, "logprobs": 2, "echo": True, "temperature": 0}),
              (0, {"prompt": [5, 6], "stream": True, "stream_options": {"include_usage": True}, "stop": ["x"], "logit_bias": {"5": 2}}),
              (0, {"prompt": [[5], [6, 7]], "use_beam_search": True, "num_beams": 2, "length_penalty": 0.5, "early_stopping": "never"}),
              (0, {"prompt": "a", "top_k": 3, "top_p": 0.5, "min_p": 0.1, "seed": 1, "repetition_penalty": 1.1, "no_repeat_ngram_size": 2, "min_tokens": 1, "ignore_eos": True, "stop_token_ids": [3], "suppress_tokens": [4]}),
              (0, {"prompt": "a" * 60, "truncate_prompt_tokens": 4, "return_token_ids": True, "return_tokens_as_token_ids": True, "logprobs": 1, "cache_salt": "s", "priority": 1, "request_id": "r", "user": "u"}),
              (0, {"model": "other", "prompt": "a"}), (0, {"prompt": "a", "unknown": 1, "response_format": None}),
              (1, {"messages": [{"role": "user", "content": "the"}, {"role": "assistant", "content": [{"type": "text", "text": "an"}]}, {"role": "user", "content": "he"}], "max_completion_tokens": 2, "stream": True}),
              (1, {"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}], "max_tokens": 2, "n": 2}),
              (2, {"input": ["the", "an"], "encoding_format": "base64"}), (2, {"input": [5, 6]}), (3, {"input": ["the", "an"]}), (3, {"input": [[5], [6, 7]]}),
              (4, {"prompt": "the an<|endoftext|>", "parse_special": False, "return_token_strs": True}), (4, {"content": "a"}), (5, {"tokens": [5, 6, 260]})]
    for i, (route, what) in enumerate(bodies):
        put("door", f"lm_{i}", bytes([route]) + json.dumps(what).encode())
        if route > 1:
            put("door", f"labels_{i}", bytes([132 + route]) + json.dumps(what).encode())
    for route in range(6, 12):
        put("door", f"get_{route}", bytes([route]) + (b"fuzz" if route == 6 else b"?x=1"))
    for i, line in enumerate(("generate|c|-n|4|--temperature|0.5|--stop|x", "c|--set|runtime.dtype=bf16|--no-echo|-p|a|-p|b", "plan|c|--rows|4|--json|--ranks|2",
                              "bench|c|--cases|decode:8,prefill:4|--repetitions|2|--compare|f", "cost|c|--batch|2|--seq|8|--cache|4|--level|module", "serve|c|--port|8080|--chat|plain|--open",
                              "score|f|--choices", "summary|c|--depth=3|--no-cross-attention", "help|eval", "graph|c|--critical-path|--form|svg|--context|5", "init|c|-o|d|--seed|3",
                              "quantize|c|--bits|4|--group|32|-o|d|--smooth|0.5", "--version", "--|c|--x", "tokenze|c", "c|--treads|2", "load|u|--rate|5|--requests|10", "repl|c|-q", "check|c|--set|=|--set|a")):
        put("cli", f"line_{i}", line.replace("|", "\n"))
    for i, text in enumerate(("the an\n/undo\n/redo\n/tokens\n/show", "a\\\nb\n/top 3\n/score\n/alternatives 2\n/choose 1", "/set temperature 0.5\n/set top_k 3\n/set top_k\n/continue 3\n/show",
                              "//x\n/save f\n/save! f\n/load f\n/help\n/quit\nx", "/und\n/c\n/set temprature 1\n/choose 3\n/top 0\n/load nothing", "/set stop a\n/set stop b\nthe")):
        put("repl", f"text_{i}", text)


def coarse_tensors(kind, group=32, zero=False, width=8, broken=None):
    """A small checkpoint whose linears are whole numbers, as `tfrun quantize` writes them; `broken` says what of it is not so."""
    made, all_zero = {}, struct.pack("<e", 0.25)
    for name, (dtype, shape, data) in small_tensors(C=width, V=11, P=4).items():
        if len(shape) != 2 or ".w" not in name or "wte" in name or "wpe" in name:
            made[name] = (dtype, shape, data)
            continue
        k, n = shape
        eights = kind == "int8" or (kind == "mixed" and "c_fc" in name)
        if eights:
            made[name] = ("I8", [k, n], bytes(k * n))
            made[name + "_scale"] = ("F32", [n], f32(n))
        else:
            groups = -(-k // group)
            made[name] = ("U8", [-(-k // 2), n], bytes([0x98]) * (-(-k // 2) * n))
            made[name + "_scale"] = ("F16", [groups, n], all_zero * (groups * n))
            if zero:
                made[name + "_zero_point"] = ("U8", [groups, n], bytes([7]) * (groups * n))
    scales = [name for name in made if name.endswith("_scale")]
    first = scales[0]
    dtype, shape, data = made[first]
    if broken == "no_scale":
        del made[first]
    elif broken == "alone":
        del made[first[:-6]]
    elif broken == "scale_shape":
        made[first] = (dtype, [1, *shape], data)
    elif broken == "scale_inf":
        made[first] = (dtype, shape, (struct.pack("<f", float("inf")) if dtype == "F32" else struct.pack("<e", float("inf"))) + data[4 if dtype == "F32" else 2:])
    elif broken == "zero_16":
        name = first[:-6] + "_zero_point"
        made[name] = made[name][0], made[name][1], bytes([16]) + made[name][2][1:]
    elif broken == "zero_stray":
        made[first[:-6] + "_zero_point"] = ("U8", shape, bytes(len(data) // 2))
    elif broken == "below":
        name = first[:-6]
        made[name] = made[name][0], made[name][1], bytes([128]) + made[name][2][1:]
    elif broken == "table":
        made["transformer.wte.weight"] = ("I8", [11, width], bytes(11 * width))
    return made


def coarse_seeds():
    def folder(name, quantization, weights, tfrun=None, width=8):
        config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": width, "n_head": 2, "n_layer": 1, "n_positions": 4, "vocab_size": 11}
        if quantization is not None:
            config["quantization_config"] = quantization
        put("quantized", name, bundle([("config.json", json.dumps(config | ({"tfrun": tfrun} if tfrun else {}))), ("model.safetensors", tensors(weights))]))

    own = {"quant_method": "tfrun", "version": 1}
    for kind in ("int8", "int4", "mixed"):
        folder("own_" + kind, own | {"weights": kind, "smooth": 0.5}, coarse_tensors(kind))
        folder("own_f32_" + kind, own | {"weights": kind}, coarse_tensors(kind), {"runtime": {"dtype": "f32"}, "model": {"check_weights": True}})
        folder("own_bf16_" + kind, own | {"weights": kind}, coarse_tensors(kind), {"runtime": {"dtype": "bf16"}})
        folder("own_again_" + kind, own | {"weights": kind}, coarse_tensors(kind), {"runtime": {"dtype": "int8" if kind != "int8" else "int4"}})
    for dtype in ("f32", "int4"):
        folder("zero_" + dtype, own | {"weights": "int4", "zero_point": True}, coarse_tensors("int4", zero=True), {"runtime": {"dtype": dtype}})
        folder("group64_" + dtype, own | {"weights": "int4", "group_size": 64}, coarse_tensors("int4", 64), {"runtime": {"dtype": dtype}})
        folder("zero64_" + dtype, own | {"weights": "int4", "group_size": 64, "zero_point": True}, coarse_tensors("int4", 64, True), {"runtime": {"dtype": dtype, "int4_zero_point": True, "int4_group": "64"}})
    folder("wide", own | {"weights": "int4", "zero_point": True}, coarse_tensors("int4", zero=True, width=16), {"runtime": {"dtype": "f32"}}, 16)
    for broken in ("no_scale", "alone", "scale_shape", "scale_inf", "zero_stray", "below", "table"):
        folder("broken_" + broken, own | {"weights": "int8"}, coarse_tensors("int8", broken=broken), {"model": {"check_weights": True}})
    for broken in ("zero_16", "no_scale", "scale_inf"):
        folder("broken_int4_" + broken, own | {"weights": "int4", "zero_point": True}, coarse_tensors("int4", zero=True, broken=broken))
    for finer in (["h.0.mlp.*"], ["nothing*"], ["lm_head*", "transformer.h.0.attn.c_attn.weight"]):
        folder("finer_" + finer[0][0], None, small_tensors(C=8, P=4), {"runtime": {"dtype": "int4", "int4_finer": finer}})
    for dtype in ("int8", "int8w", "int4"):
        folder("rounded_" + dtype, None, small_tensors(C=8, P=4), {"runtime": {"dtype": dtype}})
    for i, wrong in enumerate(({"version": 2}, {"version": None}, {"weights": "int2"}, {"weights": 3}, {"group_size": 16}, {"group_size": "x"}, {"zero_point": 1}, {"smooth": "x"}, {"more": 1},
                               {"quant_method": "gptq"}, {"quant_method": 3})):
        put("quantized", f"wrong_{i}", bundle([("config.json", json.dumps({"model_type": "gpt2", "quantization_config": own | {"weights": "int4"} | wrong}))]))
    for i, wrong in enumerate((3, None, {}, [])):
        put("quantized", f"none_{i}", bundle([("config.json", json.dumps({"model_type": "gpt2", "quantization_config": wrong}))]))
    for dtype in ("F32", "F16", "BF16"):
        varied = {name: (dtype, shape, b"".join((struct.pack("<f", (i * 37 % 101 - 50) / 64)[-2:] if dtype == "BF16" else struct.pack("<e" if dtype == "F16" else "<f", (i * 37 % 101 - 50) / 64))
                                                for i in range(len(data) // (4 if dtype == "F32" else 2)))) for name, (dtype, shape, data) in small_tensors(C=8, P=4, dtype=dtype).items()}
        put("quantized", "float_" + dtype, bundle([("config.json", '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 4, "vocab_size": 11}'),
                                                   ("model.safetensors", tensors(varied))]))


def adapter_variants():
    lora = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["c_attn", "c_fc", "wte", "wpe"], "task_type": "CAUSAL_LM"}
    base = "base_model.model.transformer."

    def put_lora(name, config, weights):
        put("adapter", "more_" + name, bundle([("adapter_config.json", json.dumps(lora | config)), ("adapter_model.safetensors", tensors(weights))]))

    def pair(module, k, n, dtype="F32"):
        width = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8}[dtype]
        return {base + module + ".lora_A.weight": (dtype, [2, k], bytes(2 * k * width)), base + module + ".lora_B.weight": (dtype, [n, 2], bytes(n * 2 * width))}

    attn = pair("h.0.attn.c_attn", 16, 48)
    put_lora("tables", {}, {base + "wte.lora_embedding_A": ("F32", [2, 261], f32(522)), base + "wte.lora_embedding_B": ("F32", [16, 2], f32(32)),
                            base + "wpe.lora_embedding_A": ("F32", [2, 32], f32(64)), base + "wpe.lora_embedding_B": ("F32", [16, 2], f32(32))})
    for dtype in ("F16", "BF16", "F64"):
        put_lora("type_" + dtype, {}, pair("h.0.attn.c_attn", 16, 48, dtype))
    put_lora("bias", {"lora_bias": True, "bias": "all"}, attn | {base + "h.0.attn.c_attn.lora_B.bias": ("F32", [48], f32(48)), base + "h.0.attn.c_attn.base_layer.bias": ("F32", [48], f32(48)),
                                                               base + "h.0.ln_1.bias": ("F32", [16], f32(16))})
    put_lora("own", {"modules_to_save": ["wte", "lm_head", "ln_f"]}, attn | {"base_model.model.lm_head.weight": ("F32", [261, 16], f32(4176)), base + "ln_f.weight": ("F32", [16], f32(16))})
    put_lora("half", {}, {name: what for name, what in attn.items() if "_A" in name})
    put_lora("shape", {"r": 3}, attn)
    put_lora("ints", {}, {name: ("I32", what[1], what[2]) for name, what in attn.items()})
    put_lora("twice", {}, attn | {"transformer.h.0.attn.c_attn.lora_A.weight": ("F32", [2, 16], f32(32))})
    put_lora("strange", {}, attn | {"x.y": ("F32", [1], f32(1))})
    put_lora("layer", {}, attn | pair("h.7.attn.c_attn", 16, 48))
    put_lora("table_as_linear", {}, {base + "wte.lora_A.weight": ("F32", [2, 16], f32(32))})
    put_lora("mask", {}, attn | {base + "h.0.attn.bias": ("F32", [1, 1, 4, 4], f32(16))})
    put_lora("untargeted", {"target_modules": ["c_fc"]}, attn)
    for i, config in enumerate(({"target_modules": r".*\.c_(attn|fc)"}, {"target_modules": "all-linear"}, {"target_modules": 3}, {"target_modules": [1]}, {"exclude_modules": ["c_attn"]},
                                {"exclude_modules": "h.0.*"}, {"layers_to_transform": 0}, {"layers_to_transform": [1]}, {"layers_to_transform": ["a"]}, {"modules_to_save": [1]},
                                {"rank_pattern": {"c_attn": 2.5}}, {"rank_pattern": {r"h\.\d+\.attn": 2}}, {"rank_pattern": {"(?:a)": 1}}, {"rank_pattern": {"(": 1}}, {"rank_pattern": 3},
                                {"rank_pattern": {"c_attn": "x"}}, {"alpha_pattern": {"(a)+(b)+(c)+(d)+(e)+": 1}}, {"alpha_pattern": {"\\w+": 8}}, {"alpha_pattern": {"a\\": 8}}, {"use_rslora": True},
                                {"init_lora_weights": "pissa"}, {"init_lora_weights": "gaussian"}, {"init_lora_weights": "eva"}, {"init_lora_weights": "loftq"}, {"use_dora": True},
                                {"alora_invocation_tokens": [1]}, {"unknown": 1}, {"unknown": []}, {"r": 0}, {"lora_alpha": "x"}, {"use_rslora": 3}, {"task_type": None}, {"task_type": "SEQ_CLS"},
                                {"task_type": "QUESTION_ANS"}, {"task_type": "FEATURE_EXTRACTION"}, {"task_type": "SEQ_2_SEQ_LM"}, {"peft_type": "PROMPT_TUNING"}, {"peft_type": "IA3"}, {"peft_type": None},
                                {"base_model_name_or_path": "x/y"})):
        put_lora(f"config_{i}", config, attn)
    prefix = {"peft_type": "PREFIX_TUNING", "task_type": "SEQ_CLS", "num_virtual_tokens": 3, "token_dim": 16, "num_layers": 1, "num_attention_heads": 2, "num_transformer_submodules": 1}
    own = {"prompt_embeddings": ("F32", [3, 32], f32(96))}
    head = {"base_model.score.weight": ("F32", [3, 16], f32(48))}
    for i, (config, weights) in enumerate((({}, own | head), ({"task_type": "CAUSAL_LM"}, own), ({"task_type": None}, own | {"base_model.model.score.weight": head["base_model.score.weight"]}), ({}, own | {"x": ("F32", [1], f32(1))}), ({}, head),
                                           ({}, {"prompt_embeddings": ("F16", [3, 32], bytes(192))}), ({}, {"prompt_embeddings": ("I64", [3, 32], bytes(768))}), ({}, {"prompt_embeddings": ("F32", [2, 32], f32(64))}),
                                           ({"task_type": None}, {"prompt_embeddings": ("F32", [3, 32], f32(96, float("inf")))}), ({"num_virtual_tokens": 40}, {"prompt_embeddings": ("F32", [40, 32], f32(1280))}),
                                           ({"num_layers": 2}, own), ({"token_dim": "x"}, own), ({"more": 1}, own))):
        put("adapter", f"prefix_{i}", bundle([("adapter_config.json", json.dumps(prefix | config)), ("adapter_model.safetensors", tensors(weights))]))
    put("adapter", "prefix_alone", bundle([("adapter_config.json", json.dumps(prefix))]))
    past = {f"past_key_values.0.{kind}": ("F32", [1, 2, 3, 8], f32(48)) for kind in ("key", "value")}
    for i, weights in enumerate((past, {name: what for name, what in past.items() if "key" in name}, past | {"x": ("F32", [1], f32(1))}, {name: ("F32", [2, 2, 3, 8], f32(96)) for name in past}, {"x": ("F32", [1], f32(1))},
                                 {name: ("F32", [1, 2, 40, 8], f32(640)) for name in past}, {name: ("BF16", [1, 2, 3, 8], bytes(96)) for name in past}, {name: ("F32", [1, 2, 3, 8], f32(48, float("nan"))) for name in past})):
        put("adapter", f"past_{i}", bundle([("prefix.safetensors", tensors(weights))]))


def checkpoint_variants():
    def folder(name, weights, config="", more=(), tfrun="", architecture="GPT2LMHeadModel"):
        text = '{"model_type": "gpt2", "architectures": ["%s"], %s%s%s}' % (architecture, config, '"tfrun": {"model": {%s}}, ' % tfrun if tfrun else "", SMALL)
        put("checkpoint", "more_" + name, bundle([("config.json", text), ("model.safetensors", tensors(weights)), *more]))

    whole = small_tensors()
    for name in ("h.0.crossattention.c_attn.weight", "score.weight", "classifier.weight", "qa_outputs.weight", "multiple_choice_head.summary.weight", "h.0.ln_1.gamma", "more.weight", "transformer.h.3.ln_1.weight",
                 "transformer.h.0.attn.c_attn.lora_A.weight"):
        folder("name_" + name[:12] + name[-6:], whole | {name: ("F32", [4], f32(4))})
    folder("front", {"module." + name: what for name, what in whole.items()})
    folder("front_compile", {"_orig_mod." + name: what for name, what in whole.items()})
    folder("front_any", {"a.b." + name: what for name, what in whole.items()})
    folder("forms", whole | {"h.0.ln_1.weight": ("F32", [4], f32(4))})
    folder("head_other", whole | {"lm_head.weight": ("F32", [11, 4], f32(44))})
    folder("head_type", whole | {"lm_head.weight": ("BF16", [11, 4], bytes(88))})
    folder("head_ignored", whole | {"lm_head.weight": ("F32", [11, 4], f32(44))}, tfrun='"ignore_tensors": ["lm_head.*", "nothing"]')
    folder("head_alone", {name if "wte" not in name else "lm_head.weight": what for name, what in whole.items()})
    folder("untied", whole | {"lm_head.weight": ("F32", [11, 4], f32(44))}, '"tie_word_embeddings": false, ')
    folder("untied_lacks", whole, '"tie_word_embeddings": false, ')
    folder("nan", whole | {"transformer.ln_f.bias": ("F32", [4], f32(4, float("nan")))}, tfrun='"check_weights": true')
    folder("inf", whole | {"transformer.ln_f.bias": ("F32", [4], f32(4, float("inf")))}, tfrun='"check_weights": true')
    folder("ints", whole | {"transformer.ln_f.bias": ("I64", [4], bytes(32))})
    folder("shape", whole | {"transformer.ln_f.bias": ("F32", [5], f32(5))})
    folder("f64", whole | {"transformer.ln_f.bias": ("F64", [4], bytes(32))})
    folder("missing_head", whole, tfrun='"allow_missing_head": true', architecture="GPT2ForSequenceClassification")
    folder("headless", whole, architecture="GPT2Model")
    folder("token", whole | {"classifier.weight": ("F32", [2, 4], f32(8)), "classifier.bias": ("F32", [2], f32(2))}, architecture="GPT2ForTokenClassification")
    folder("answer", whole | {"qa_outputs.weight": ("F32", [2, 4], f32(8)), "qa_outputs.bias": ("F32", [2], f32(2))}, architecture="GPT2ForQuestionAnswering")
    folder("double", whole | {"multiple_choice_head.summary.weight": ("F32", [1, 4], f32(4)), "multiple_choice_head.summary.bias": ("F32", [1], f32(1))}, architecture="GPT2DoubleHeadsModel")
    folder("two_forms", whole, more=[("pytorch_model.bin", b"x"), ("model.safetensors.index.json", "{}")])
    lora = ("adapter_config.json", json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 4, "target_modules": ["c_attn"], "task_type": "CAUSAL_LM"}))
    own = {"base_model.model.transformer.h.0.attn.c_attn.lora_A.weight": ("F32", [1, 4], f32(4)), "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight": ("F32", [12, 1], f32(12))}
    folder("adapter", whole, more=[lora, ("adapter_model.safetensors", tensors(own))])
    folder("adapter_alone", whole, more=[lora])
    folder("adapter_ignored", whole, more=[("adapter_config.json", "{}")], tfrun='"adapter_beside": "ignore"')
    folder("prefix_beside", whole, tfrun='"prefix": "."')
    for i, name in enumerate(("config.json", "adapter_config.json", "flax_model.msgpack")):
        put("checkpoint", f"alone_{i}", bundle([("config.json", "{%s}" % SMALL), (name, "{%s}" % SMALL)]))
    for cross in ('"add_cross_attention": true, ',):
        folder("cross_lacks", whole, cross)


def trace_variants(trace):
    """Traces of other runs: more threads, a cut, other ranks and rows."""
    document = json.loads(trace)
    events = document["traceEvents"]

    def put_trace(name, made, **more):
        put("trace", name, json.dumps({"traceEvents": made, **more}))

    tasks = [event for event in events if event.get("cat") == "task"]
    last = max(event["args"]["run"] for event in tasks)
    few = [event for event in tasks if event["args"]["run"] == last]
    names = [event for event in events if event["ph"] == "M"]
    put_trace("run", few)
    put_trace("threads", few + [{**event, "tid": 1, "ts": event["ts"] + 1} for event in few])
    put_trace("cut", [{**names[0], "args": {"name": "rank 0", "events_overwritten": 7}}] + tasks)
    put_trace("cut_all", [{**names[0], "args": {"name": "rank 0", "events_overwritten": 7}}] + few)
    put_trace("lacks_one", few[:-8])
    put_trace("rows", [{**event, "args": {**event["args"], "rows": 7}} for event in few])
    put_trace("many_rows", [{**event, "args": {**event["args"], "rows": 7 + i, "run": i}} for i, event in enumerate(few)])
    put_trace("rank", [{**event, "pid": 1} for event in few[:2]])
    put_trace("model", [{**event, "args": {**event["args"], "model": "draft"}} for event in few])
    put_trace("other", [{**few[0], "name": "h.9.x"}])
    put_trace("message", [{**event, "cat": "message"} for event in few])
    put_trace("none", [])
    put_trace("no_time", [{key: value for key, value in few[0].items() if key != "dur"}])
    put("trace", "no_events", "{}")


def calibration_variants(document):
    link = {"pairs": 2, "alpha_ns": 900, "byte_ns": 0.1}
    for i, (shm, net) in enumerate(((link, None), (None, link), (link | {"late_ns": 3, "later_ns": 2}, link | {"large_above_bytes": 65536, "large_alpha_ns": 9000, "large_byte_ns": 0.2, "large_ways": 1e9}), ({**link, "pairs": 0}, None), (3, None))):
        parts = {"same_node": shm, "other_node": net}
        made = {**document, "net": {"transport": "x", "measured_at": "y", "asleep": True, **{key: value for key, value in parts.items() if value is not None}}}
        put("calibration", f"net_{i}", json.dumps(made))
    slow = json.loads(json.dumps(document))
    slow["conditions"]["waited_percent"] = 40
    for roof in slow["roofs"]["flops"] + slow["roofs"]["bandwidth"]:
        roof["all_cores"] = roof["one_core"] / 2
    put("calibration", "slow", json.dumps(slow))
    wrong = json.loads(json.dumps(document))
    wrong["kernels"][0]["points"] = wrong["kernels"][0]["points"][:1] * 2
    put("calibration", "order", json.dumps(wrong))
    for i, point in enumerate(([1, 1, 0, 0, 1], [1, 1, 0, 5, -1], [0, 1, 0, 5, 1], [1, 1], [1, 1, 0, "x", 1], [1, 1, 0, 2, 1, 9])):
        wrong["kernels"][0]["points"] = [point]
        put("calibration", f"point_{i}", json.dumps(wrong))


def bench_variants(one):
    """A second document that is alike but for its times, one of ranks, and such as differ."""
    first = json.loads(one)

    def put_pair(name, a, b):
        put("bench", name, bundle([("bench", json.dumps(a)), ("before", json.dumps(b))]))

    def other(**facts):
        made = json.loads(one)
        made["manifest"].update(facts)
        for case in made["cases"]:
            case["times_ms"] = [time * 1.5 for time in case["times_ms"]]
        return made

    put_pair("alike", first, other())
    put_pair("copy", first, first)
    put_pair("differs", first, other(host="other", governor="x", plugins="clock 1", mpi="SMPI", overrides=[["runtime.bind", "none"], ["runtime.attn", "eager"]]))
    ranks = other(overrides=[["runtime.threads", "2"], ["runtime.attn", "fused"]], environment=[["A", "b"]])
    ranks["ranks"] = 2
    ranks["per_rank"] = ranks["per_rank"] * 2
    for case in ranks["cases"]:
        case["ranks"] = [{"busy_ms": 1, "wait_ms": 2, "control_ms": 0.5, "bytes_sent": 100, "messages_sent": 3}] * 2
        case.update(roof_ms=0.5, predicted_ms=0.7, waited_percent=20)
    put_pair("ranks", first, ranks)
    more = json.loads(json.dumps(ranks))
    more["cases"][0]["times_ms"] = [time * 2 for time in more["cases"][0]["times_ms"]]
    put_pair("ranks_alike", ranks, more)
    strange = other()
    strange["model"] = "3 blocks of 8, f32, kv f32"
    put_pair("model", first, strange)
    kinds = other(cases="steps:2")
    for case, kind in zip(kinds["cases"], ("steps", "sequences")):
        case.update(case=kind, n=2)
    put_pair("kinds", first, kinds)
    put_pair("kinds_alone", kinds, kinds)
    for case, kind in zip(kinds["cases"], ("mixed", "class")):
        case.update(case=kind, n=2)
    put_pair("kinds_mixed", kinds, ranks)
    full = json.loads(one)
    full["cases"][0]["times_ms"] = [1.5] * 900
    again = json.loads(json.dumps(full))
    again["cases"][0]["times_ms"] = [1.25] * 900
    put_pair("too_many", full, again)
    for i, cases in enumerate(("decode:8,decode:8", "decode:x", "prefill:0", "class:3,mixed:2,steps:1,sequences:1", ",".join(f"decode:{n}" for n in range(70)))):
        put("bench", f"cases_{i}", json.dumps(other(cases=cases)))


def line_variants():
    commands = re.findall(r"&tfr_cmd_(\w+)", read("core/app/cli/commands.c").decode())
    for command in commands:
        put("cli", "help_" + command, command + "\n--help")
    lines = ["help|plan", "help|--json", "help|--help", "help|a|b", "help|plna", "help|zzzzzz", "-h", "c|-n4", "c|-n", "c|--threads", "c|--no-threads|3", "c|--no-echo=1", "c|--echo=false", "bench|c|--gate=3", "bench|c|--gate", "bench|c|--json=maybe",
             "bench|c|--no-json=true", "bench|c|--no-json", "cost|c|--context|3", "cost|c|--cache|3", "plan|c|--context=3", "c|-x", "c|-", "c|--set|runtime.threads", "c|--set=runtime.threads=3", "c|--rows|3", "score|c|--top-k|3", "eval|c|--set|serve.port=3",
             "c|--set|x.y=1", "cost|c|--batch|x", "cost|c|--batch|0", "cost|c|--batch|99999999999999999999", "cost|c|--batch|1|--batch|2", "c|--help|x", "c|--temperature=0.5|--top-k=3|--seed=9|--dtype=bf16|--kv-dtype=f16"]
    lines += ["|".join(["bench", *["a"] * 60]), "|".join(["c", *["--stop|x"] * 31])]
    for i, line in enumerate(lines):
        put("cli", f"more_{i}", line.replace("|", "\n"))
    texts = ["the an\n/alternatives 3\n/choose 2\n/choose 9\n/choose x\n/undo\n/undo\n/undo\n/redo", "/load f\n/save f\nthe\n/save g\n/save g\n/save! g\n/load g\n/tokens\n/score\n/top", "the\n/top 300\n/top x\n/continue 0\n/continue 99\n/continue x",
             "/set\n/set sampling.top_k 3\n/set runtime.dtype bf16\n/set temperature x\n/set seed 5\n/set logprobs 2\nthe\n/show\n/score", "/help x\n/quit x\n/ \n/s\n/sc\nthe \u00e9\U0001f600\n/tokens", "\n\n\n/score\n/tokens\n/undo\n/redo\n/alternatives",
             "x" * 200 + "\n/show\n/continue", "/set num_beams 2\nthe\n/alternatives 2\n/set stop a\n/show\n/set stop\n/show", "/alternatives 99\n/alternatives 0\n/alternatives x\nthe\n/alternatives 2\n/tokens\n/choose 1\n/undo"]
    for i, text in enumerate(texts):
        put("repl", f"more_{i}", text)


def run(folder, *words):
    environment = {**os.environ, "XDG_CACHE_HOME": folder + "/cache"}
    words = [str(word) for word in words]
    return subprocess.run([os.path.abspath(sys.argv[2]), *words], cwd=folder, check=True, capture_output=True, env=environment).stdout


def neutral(text, folder):
    """Without names of this machine."""
    text = text.decode().replace(folder, "/f").replace(os.uname().nodename, "node")
    return re.sub(r'("command": ?)"[^"]*"', r'\1"tfrun"', text)


def written_seeds(folder):
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 261, "n_positions": 32, "n_embd": 16, "n_head": 2, "n_layer": 1,
              "bos_token_id": 260, "eos_token_id": 260, "tfrun": {"model": {"tokenizer": str(model / "text/tokenizer")}}}
    small = {**config, "vocab_size": 11, "n_positions": 4, "n_embd": 32, "n_inner": 32, "bos_token_id": 0, "eos_token_id": 0, "tfrun": {}}
    for name, what in (("lm", config), ("small", small)):
        pathlib.Path(folder, name + ".json").write_text(json.dumps(what))
        run(folder, "init", name + ".json", "-o", name, "--seed", 1, "--trust", root, "--trust", folder)
    own = "lm", "-t", 1, "--bind", "none", "--trust", root, "--trust", folder
    run(folder, *own, "-p", "the an", "-n", 3, "--ignore-eos", "--trace", "trace.json")
    trace = neutral(pathlib.Path(folder, "trace.json").read_bytes(), folder)
    put("trace", "decode", trace)
    trace_variants(trace)
    benches = [neutral(run(folder, "bench", *own, "--cases", "decode:8,prefill:4", "--repetitions", 10, "--no-roofs", "--json"), folder) for _ in range(2)]
    benches[1] = benches[1].replace('"n_threads":1', '"n_threads":2')
    put("bench", "one", benches[0])
    bench_variants(benches[0])
    put("bench", "two", bundle([("bench", benches[0]), ("before", benches[1])]))
    made = run(folder, "calibrate", "lm", "--quick", "--quiet", "-t", 1, "--trust", root).decode().strip()
    document = json.loads(neutral(pathlib.Path(made).read_bytes(), folder))
    document["kernels"] = [{**kernel, "points": kernel["points"][:2]} for kernel in document["kernels"][:1]]  # little of each, as variants repeat it
    for part in ("flops", "bandwidth"):
        document["roofs"][part] = document["roofs"][part][:1]
    put("calibration", "quick", json.dumps(document))
    calibration_variants(document)
    for kind in ("int8", "int8w", "int4", "mixed"):
        run(folder, "quantize", "small", "--to", kind, "-o", kind, *(("--finer", "h.0.mlp.c_fc.weight") if kind == "mixed" else ()))
        put("quantized", kind, bundle(files_of(pathlib.Path(folder, kind))))


if __name__ == "__main__":
    for path in sorted((root / "tests/model/golden").glob("*.json"))[:1] + [root / "tests/model/golden/bin/cases.json"]:
        put("json", path.stem, path.read_bytes()[:3000])
    for i, text in enumerate(('{"a": [1, -2.5e3, true, null, "\\u00e9\\n\\ud83d\\ude00"], "b": {}}', "[]", '"x"', "1e400", '{"a": 1, "a": 2}', "NaN", "[-0, 9007199254740993, 1E-5]", "\ufeff{}")):
        put("json", f"text_{i}", text)
    config_seeds()
    request_seeds()
    weight_seeds()
    tokenizer_seeds()
    engine_seeds()
    message_seeds()
    study_seeds()
    serve_seeds()
    coarse_seeds()
    adapter_variants()
    checkpoint_variants()
    line_variants()
    with tempfile.TemporaryDirectory() as folder:
        written_seeds(folder)
