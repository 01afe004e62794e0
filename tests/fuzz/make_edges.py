"""make_edges.py - inputs that are refused, or taken, for one reason each: make_edges.py FOLDER writes FOLDER/TARGET/*.

They stand for branches of the readers that a guided run takes long to find: `scripts/fuzz add all FOLDER` keeps in the corpus
those that reach what no other input does.
"""
import hashlib
import json
import pathlib
import struct
import sys

from seed_pieces import i64, tensors

out = pathlib.Path(sys.argv[1])
SMALL = {"n_embd": 4, "n_head": 2, "n_layer": 2, "n_positions": 8, "vocab_size": 11}


def put(target, data):
    data = data if isinstance(data, bytes) else data.encode()
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def bundle(*parts):
    return "\n".join(f"=== {name}\n{text}" for name, text in parts)


def f32(*values):
    return struct.pack(f"<{len(values)}f", *values)


def config_edges():
    def config(fields=(), tfrun=None, flags="", **files):
        text = json.dumps({**SMALL, **dict(fields), **({"tfrun": tfrun} if tfrun is not None else {})})
        parts = [("config.json", text), *[(name + ".json", value) for name, value in files.items()]]
        put("config", bundle(*parts, *([("flags", flags)] if flags else [])))

    for base in ('"x"', '"."', '"/"', "3", '""'):
        put("config", bundle(("adapter_config.json", '{"base_model_name_or_path": %s}' % base)))
    put("config", bundle(("adapter_config.json", "{")))
    put("config", bundle(("config.json", "[1]")))
    for text in ('{"0": [0], "1": [1]}', '{"0": [0, 1]}', "null", "[]", "{", '{"0": [0]}', '{"0": [0, 0, 1]}', '{"0": [0, 1, 7]}', '{"x": [0]}', '{"0": 3}', '{"0": [1.5]}'):
        config(flags="parallel.device_map=" + text)
        config(tfrun={"parallel": {"device_map": json.loads(text) if text != "{" else 3}})
    for flag in ("n_embd=3", "tfrun=3", "runtime=3", "runtime.thread=2", "x=3", "zzz.qqq=1", "input.prompt=a\ninput.file=b", "input.prompt=\n", "input.file=", "input.encoder_states=x",
                 "runtime.kv_capacity=99", "sampling.num_return_sequences=3\nsampling.num_beams=2", "sampling.num_beams=2\nsampling.stop=a", "sampling.num_beams=2\nsampling.stop_token_ids=[3]",
                 "sampling.num_beams=2\nsampling.prompt_lookup=3", "sampling.assistant=x\nsampling.prompt_lookup=3", "sampling.num_beams=2\nsampling.logprobs=2", "runtime.sums=by-head\nruntime.deterministic=false",
                 "runtime.sums=by-head\nruntime.dtype=int8", "runtime.sums=by-head", "runtime.lossless=true\nruntime.dtype=bf16", "runtime.lossless=true\nruntime.deterministic=false", "runtime.lossless=true", "runtime.int4_group=64",
                 "runtime.int4_zero_point=true", "runtime.int4_finer=h.*", "runtime.dtype=int4\nruntime.int4_finer=h.*\nruntime.int4_group=64", "sampling.logit_bias=null", "sampling.logit_bias={", 'sampling.logit_bias={"1": 2}',
                 "sampling.seed=null", "sampling.stop=", "sampling.min_tokens=9\nsampling.max_tokens=2", "model.tokenizer=x", "runtime.kernels=x", "sampling.temperature=0.5\nsampling.top_k=3\nsampling.seed=4\nsampling.stop=a\noutput.file=b"):
        config(flags=flag)
    config(flags="\n".join(["sampling.stop=x"] * 16))
    config(tfrun={"input": {"prompt": "a", "file": "b"}})
    config(tfrun={"input": {"encoder_states": "x"}, "runtime": {"kv_capacity": 99}})
    config(tfrun={"runtime": {"thread": 1, "int4_group": 64, "int4_zero_point": True, "int4_finer": ["h.*"], "plugin_dirs": ["a", "", "b"], "plugins": ["c", "d"]}})
    config(tfrun={"runtime": {"int4_group": 64}})
    config(tfrun={"plugins": ["a", "b"], "runtime": {"plugins": "c"}, "model": {"adapters": ["x"], "adapter": ["y", ""]}})
    config(tfrun={f"key{i}": 1 for i in range(40)})
    config({"n_inner": 9}, {"runtime": {"sums": "by-head"}})
    own = {"quant_method": "tfrun", "version": 1, "weights": "int8", "group_size": 32, "zero_point": True, "smooth": 0.5}
    for change in ({}, {"weights": "int4"}, {"weights": "x"}, {"group_size": 3}, {"zero_point": 3}, {"smooth": "x"}, {"more": 1}, {"version": 2}):
        for flags in ("", "runtime.dtype=bf16", "runtime.int4_group=64", "runtime.dtype=int4", "runtime.int4_finer=h.*\nruntime.int4_zero_point=true", "runtime.lossless=true"):
            config({"quantization_config": {**own, **change}}, flags=flags)
    for fields in ({"n_embd": 4.0}, {"eos_token_id": [1, 2]}, {"eos_token_id": []}, {"bos_token_id": [1, 2]}, {"hidden_size": 5}, {"num_hidden_layers": 7, "n_layer": 2}, {"activation_function": "prelu"}, {"activation_function": "x"},
                   {"activation_function": 3}, {"problem_type": "x"}, {"summary_type": "attn"}, {"summary_type": "x"}, {"architectures": ["X"]}, {"architectures": ["GPT2Model"]}, {"torch_dtype": "x"}, {"dtype": "float16"},
                   {"is_decoder": False, "add_cross_attention": True}, {"pruned_heads": {"0": [1]}}, {"scale_attn_weights": False}, {"chunk_size_feed_forward": 3}, {"tie_word_embeddings": False}, {"is_encoder_decoder": True},
                   {"id2label": {"0": "a", "7": "b"}}, {"num_labels": 3, "id2label": {"0": "a"}}, {"label2id": {"a": 0, "b": 0}}, {"id2label": {"x": "a"}}, {"layer_norm_epsilon": -1}, {"resid_pdrop": 0.5}, {"loss_type": "x"},
                   {"head": 3, "num_beams": 2, "bad_words_ids": [[1]], "temperature": 0.3, "do_sample": True}, {"task_specific_params": {"text-generation": {"do_sample": True, "max_length": 5}}}):
        config(fields)
    for text in ('{"num_beams": 2, "constraints": [1], "force_words_ids": null}', '{"guidance_scale": 1.5, "watermarking_config": {}, "penalty_alpha": 0, "diversity_penalty": false}', "[]", "{", '{"cache_implementation": "x", "guidance_scale": 1, "stop_strings": ["a"]}',
                 '{"eos_token_id": [1, 2, 99]}', '{"eos_token_id": ["x"]}', '{"suppress_tokens": [1, 99], "forced_bos_token_id": 99}', '{"num_beam_groups": 3, "low_memory": true, "prefill_chunk_size": 4, "constraints": "x", "max_time": 1}'):
        config(generation_config=text)
    put("config", bundle(("config.json", '{"n_layer": NaN, "x": Infinity, "layer_norm_epsilon": -Infinity, "n_head": Infinity}')))
    for text in ("{", '{"0": [0, 1, 2, 3, 4, 5, 9]}', json.dumps({"0": [0, 1, 2, 3, 4, 5, *range(1000000000000, 1000000000030)]}), '{"0": [0, 1, 2, 3, 4, 5]}}, "runtime": {"threads": 2, "thread": 1, "zzzzzz": 1, "dtype": 3}, "x": 3, "output": 3, "input": {"prompt": "a", "file": "b"',
                 'null}}, "tfrun": {"parallel": {"device_map": null'):
        put("device_map", text)


def file_edges():
    for text in ('{"a": [1, 2', '[NaN, -Infinity, Infinity]', "[1e400, -1e400, 1e308]", '{"a": {"b": [false, true, null]}, "\\u0061b": 1, "\\ud83d\\ude00c": 2, "d\\n": 3, "e\\/\\b\\f\\r\\t\\"\\\\": 4}', '{"a": 1, "\\u0061": 2}', '{"\\u00e9": 1, "\u00e9": 2}',
                 "[" * 200, "[" * 60 + "]" * 60, "3.0", "[1.5, 9007199254740993.0, 1e15, -0.0, 12345678901234567890]", '{"' + "k" * 300 + '": 1}', '"\\ud800"', '{"A": 1, "a": 2, "AA": 3}', "null", "false"):
        put("json", text)
    for header in ('{"__metadata__": 3}', '{"__metadata__": {"a": 3}}', '{"__metadata__": {}}', '{"a": 3}', '{"a": {"shape": [1], "data_offsets": [0, 4]}}', '{"a": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}}', '{"a": {"dtype": "F32", "data_offsets": [0, 4]}}',
                   '{"a": {"dtype": "F32", "shape": [1, 1, 1, 1, 1, 1, 1, 1, 1], "data_offsets": [0, 4]}}', '{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}', '{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 4]}}',
                   '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}', '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}', '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
                   '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}}', '{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}', "[]",
                   '{"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, "b": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, "c": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'):
        put("safetensors", struct.pack("<Q", len(header)) + header.encode() + bytes(8))
    put("safetensors", struct.pack("<Q", 1 << 40) + b"{}")
    put("safetensors", b"\0\0")
    one, two = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")

    def index(where, *shards, more=None):
        parts = [("model.safetensors.index.json", json.dumps({"weight_map": where, **(more or {})}).encode()), *shards]
        put("index", b"\n".join(b"=== " + name.encode() + b"\n" + data for name, data in parts))

    a, b = tensors({"h.a": ("F32", [1], f32(1))}, {"__metadata__": {"format": "pt", "x": "y"}}), tensors({"h.b": ("F32", [1], f32(1))})
    index({"h.a": one, "h.b": two}, (one, a), (two, b))
    index({"h.a": one, "h.b": one}, (one, a), (two, b))
    index({"h.a": two, "h.b": one}, (one, a), (two, b))
    index({"h.a": one, "h.b": two}, (one, a), (two, a))
    index({"h.a": one, "h.": one}, (one, tensors({"h.a": ("F32", [1], f32(1)), "h.": ("F32", [1], f32(1))})))
    index({f"t{i}": f"s{i}.safetensors" for i in range(1100)})
    index({f"h.{i}": one for i in range(40)}, (one, tensors({f"h.{i}": ("F32", [0], b"") for i in range(40)})))
    for change in (b"K\x01", b"J\x01\0\0\0", b"M\x01\0", b"\x8a\x01\xff", b"\x8a\x00", b"G?\xf0\0\0\0\0\0\0", b"\x85", b"\x86", b"\x87", b"(t", b"t", b"s", b"K\x01K\x02s", b"ccollections\nOrderedDict\n)R", b"\x93", b"K\x01K\x02\x93",
                   b"\x8c\x01aK\x01\x93", b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01tR", b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x01K\x01K\x01K\x01K\x01tR", b"}K\x01b", b"K\x01}b", b"(K\x01K\x02Q", b"\x88Q", b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04U\x01vtQ",
                   b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04(U\x01vK\x00K\x01ttQ", b"(d", b"(K\x01d", b"]K\x01a", b"](K\x01e", b"2", b"0", b"h\x09", b"q\x01", b"N", b"\x89"):
        for end in (b".", b""):
            put("pickle", b"\x80\x02" + change + end)
    for key in ("state_dict", "model", "model_state_dict", "module"):
        put("pickle", b"\x80\x02}U" + bytes([len(key)]) + key.encode() + b"}s.")
    for text in (b"PK\3\4", b"PK\5\6" + bytes(18), b"GGUF", b"\x80\x02]."):
        put("pickle", text)


def forward_edges():
    ids, one = ("I64", [1, 3], i64(5, 6, 7)), ("F32", [1, 1, 16], f32(*[0.5] * 16))
    past = {f"past_key_values.0.{part}": ("F32", [1, 2, 2, 8], bytes(128)) for part in ("key", "value")}
    cross = {f"past_key_values.0.cross_{part}": ("F32", [1, 2, 2, 8], bytes(128)) for part in ("key", "value")}

    def ask(first, entries):
        put("forward", bytes([first]) + tensors(entries))

    def ids_and(first, **more):
        ask(first, {"input_ids": ids, **more})

    for entries in ({}, {"input_ids": ids, "inputs_embeds": one}, {"input_ids": ("I64", [3], i64(1, 2, 3))}, {"input_ids": ("I64", [1, 0], b"")}, {"input_ids": ("I64", [0, 3], b"")}, {"input_ids": ("F32", [1, 1], f32(1))},
                    {"inputs_embeds": ("I64", [1, 1, 16], bytes(128))}, {"inputs_embeds": ("F32", [1, 1, 8], bytes(32))}, {"inputs_embeds": ("F16", [1, 1, 16], bytes(32))}, {"inputs_embeds": ("F64", [1, 1, 16], bytes(128))}, {"x": ids}, {"input_ids": ("I64", [1, 40], bytes(320))}):
        ask(0, entries)
    ask(2, {"input_ids": ("I64", [3], i64(1, 2, 3))})
    for name, dtype, shape, data in (("logits_to_keep", "BOOL", [3], b"\1\0\1"), ("logits_to_keep", "I64", [1], i64(9)), ("logits_to_keep", "I64", [], i64(-1)), ("logits_to_keep", "I64", [2], i64(-1, 0)),
                                     ("attention_mask", "F32", [1, 1, 3, 3], f32(*[float("nan")] * 9)), ("attention_mask", "BOOL", [1, 1, 3, 3], b"\1\0\0" * 3), ("attention_mask", "F32", [1, 5, 3, 3], bytes(180)), ("attention_mask", "I64", [1, 2], i64(1, 1)),
                                     ("attention_mask", "I64", [1, 6], i64(1, 1, 1, 1, 0, 1)), ("attention_mask", "I64", [1, 6], i64(1, 0, 1, 1, 0, 1)), ("attention_mask", "I32", [1, 3], struct.pack("<3i", 0, 1, 1)), ("attention_mask", "U8", [1, 3], b"\0\1\1"),
                                     ("attention_mask", "F16", [1, 3], bytes(6)), ("attention_mask", "I8", [1, 3], bytes(3)), ("head_mask", "BOOL", [2], b"\1\0"), ("head_mask", "F32", [1, 2], f32(1, 0)), ("head_mask", "F32", [3], f32(1, 0, 1)),
                                     ("encoder_attention_mask", "I64", [1, 3], i64(1, 1, 1)), ("encoder_hidden_states", "F32", [1, 2, 16], bytes(128)), ("position_ids", "I64", [1, 3], i64(0, 1, 99)), ("position_ids", "I64", [3], i64(0, 1, 0)),
                                     ("position_ids", "I64", [1, 1], i64(0)), ("position_ids", "I64", [1, 3], i64(0, 1, 0)), ("token_type_ids", "I64", [1, 3], i64(1, 2, 999)), ("labels", "I64", [1, 3], i64(1, 2, 999)), ("labels", "F32", [1, 3], bytes(12)),
                                     ("labels", "I64", [3], i64(0, 1, 2)), ("mc_labels", "I64", [1], i64(0)), ("mc_token_ids", "I64", [1], i64(0)), ("start_positions", "I64", [1], i64(1)), ("past_key_values.0.key", "F32", [1, 2, 2, 8], bytes(128)),
                                     ("past_key_values.0.cross_key", "F32", [1, 2, 2, 8], bytes(128)), ("past_key_values.9.key", "F32", [1, 2, 2, 8], bytes(128)), ("end_positions", "I64", [1, 1], i64(9)),
                                     ("labels", "I64", [1], i64(1)), ("labels", "I64", [1, 3], i64(1, 0, 1))):
        for first in (0, 3, 4, 32 + 1, 32 + 2, 32 + 4 + 18, 32 + 8 + 0, 32 + 16 + 0):  # of 32 and more: modulo 3 is the model
            ids_and(first, **{name: (dtype, shape, data)})
    for first in (36, 39, 40, 43, 48, 52, 60):
        ids_and(first)
        ids_and(first, position_ids=("I64", [1, 3], i64(0, 1, 0)))
        ids_and(first, attention_mask=("I64", [1, 3], i64(0, 1, 1)), position_ids=("I64", [1, 3], i64(0, 1, 0)))
        ids_and(first, attention_mask=("I64", [1, 3], i64(0, 1, 1)))
        ids_and(first, **past)
        ids_and(first, **past, position_ids=("I64", [1, 3], i64(0, 1, 0)))
        ids_and(first, logits_to_keep=("I64", [1], i64(0)))
    ids_and(0, **past, attention_mask=("I64", [1, 3], i64(1, 1, 1)))
    ids_and(0, **past, attention_mask=("F32", [1, 1, 3, 3], bytes(36)))
    for first in (35, 38, 41, 53):  # spans
        ids_and(first, start_positions=("I64", [1], i64(1)), end_positions=("I64", [1], i64(9)))
        ids_and(first, start_positions=("I64", [1, 1], i64(-1)), end_positions=("I64", [1, 1], i64(2)))
    states = ("F32", [1, 2, 16], bytes(128))
    for more in ({"encoder_hidden_states": states, "encoder_attention_mask": ("I64", [1, 3, 2], i64(1, 0, 1, 1, 0, 1))}, {"encoder_hidden_states": states, "encoder_attention_mask": ("F32", [1, 1, 3, 2], bytes(24))},
                 {"encoder_hidden_states": states, "encoder_attention_mask": ("BOOL", [1, 1, 3, 2], b"\1\0\1\1\0\1")}, {"encoder_hidden_states": states, "encoder_attention_mask": ("F32", [2], bytes(8))}, {"encoder_hidden_states": ("F32", [2, 16], bytes(128))},
                 {"encoder_hidden_states": ("F32", [1, 0, 16], b"")}, {"encoder_hidden_states": ("F32", [2, 1, 16], bytes(128))}, {"encoder_hidden_states": ("F32", [1, 2, 8], bytes(64))}, {"encoder_hidden_states": states, **past, **cross}, {**cross}, {**past, **cross},
                 {**past, "past_key_values.0.cross_key": cross["past_key_values.0.cross_key"]}, {"encoder_hidden_states": states, "encoder_attention_mask": ("I64", [1, 3], i64(1, 1, 1))}):
        ids_and(1, **more)
    pair = ("I64", [1, 2, 2], i64(1, 2, 3, 4))
    for more in ({"mc_labels": ("I64", [1], i64(5))}, {"mc_token_ids": ("I64", [1, 2], i64(0, 9))}, {"mc_token_ids": ("I64", [2], i64(0, 1))}, {"position_ids": ("I64", [1, 2, 2], i64(0, 1, 0, 1))}, {"labels": ("I64", [1, 2, 2], i64(0, 1, -100, 1))},
                 {"labels": ("I64", [2, 2], i64(0, 1, -100, 1))}, {"token_type_ids": ("I64", [1, 2, 2], i64(0, 1, 0, 1))}):
        ask(2, {"input_ids": pair, **more})
    ask(3, {"inputs_embeds": ("F32", [2, 1, 16], bytes(128))})
    ask(3, {"inputs_embeds": ("F32", [1, 1, 16], bytes(64)), "labels": ("F32", [1, 3], bytes(12))})
    ask(3, {"input_ids": ids, "labels": ("I64", [1, 3], i64(1, 0, 1))})
    ask(4, {"input_ids": ids, "labels": ("F32", [1, 3], bytes(12))})
    for entries in ({}, {"x": states}, {"encoder_hidden_states": ("F32", [1, 0, 16], b"")}, {"encoder_hidden_states": ("F32", [0, 2, 16], b"")}, {"encoder_hidden_states": ("F32", [2, 16], bytes(128))}, {"encoder_hidden_states": states}, {"encoder_hidden_states": ("F32", [3, 1, 16], bytes(192))},
                    {"encoder_hidden_states": states, "encoder_attention_mask": ("I64", [1, 2], i64(0, 0))}, {"encoder_hidden_states": ("I64", [1, 1, 16], bytes(128))}, {"encoder_hidden_states": states, "encoder_attention_mask": ("I64", [1, 3], i64(1, 1, 1))},
                    {"encoder_hidden_states": ("F32", [1, 2, 16], f32(*[float("nan")] * 32))}):
        for n in (0, 1, 2):
            put("encoder", bytes([n]) + tensors(entries))


def text_edges():
    words = ["a" * 400, "antidisestablishmentarianism" * 8, "\u00e9\u4e2d" * 60, " \t\n  \u00a0 x", "<|endoftext|>" * 3, "don't it's we'll I'm you've he'd they're" * 3, "12345678901234567890" * 4, "!?.,;:" * 20, "\U0001f600" * 20, "ab" * 300 + " " + "xyz" * 200]
    for i, word in enumerate(words):
        for mode in (0, 1):
            put("prompt", bytes([mode]) + word.encode())
    put("prompt", b"\0\xff\xfe\xc3")
    for text in ("a", " ab <s> b", "x\u00e9 \u3000<s>\u00a0\u2003 ab", "<s>", "<s> <s>", "ab  <s", "\n<s>\t", "", "\u3000"):
        put("prompt", b"\4" + text.encode())
    long = json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": []})
    put("tokenizer", long)


def wire_edges():
    def send(text, piece=10):
        put("transport", bytes([piece]) + text.replace("\n", "\r\n").encode())

    host = " HTTP/1.1\nHost: localhost\n"
    send("GET /long" + host + "\n")
    send("GET /long" + host + "\nGET /x" + host + "\n")
    send("GET /long" + host + "Connection: close\n\n")
    send("HEAD /long" + host + "\n")
    send("GET /wait" + host + "\n")
    send("GET /wait" + host + "\nGET /" + host + "\n")
    send("POST /wait" + host + "Content-Length: 2\n\nab")
    send("GET / HTTP/1.1\nHost: loc")
    send("POST /" + host + "Content-Length: 9\n\nab")
    send("POST /" + host + "Expect: 100-continue\nContent-Length: 2\n\nab")
    send("POST /" + host + "Expect: 100-continue\nContent-Length: 2\n\n")
    send("POST /" + host + "Expect: x\nContent-Length: 2\n\nab")
    send("GET / HTTP/1.1\nHost: example.com\n\n")
    send("GET / HTTP/1.0\n\n")
    send("POST / HTTP/1.0\nContent-Length: 40\n\n" + "x" * 40)
    send("GET /?a=b" + host + "X: 1\nX: 2\nHost: b\n\n")
    send("BREW /" + host + "\n")
    send("GET /" + host + "Upgrade: x\nConnection: upgrade\n\n")
    send("POST /" + host + "Content-Length: 99999999\n\n")
    send("POST /" + host + "Transfer-Encoding: chunked\n\n5\nabcde\n0\n\n")
    send("POST /" + host + "Transfer-Encoding: chunked\n\n5\nab")
    send("GET /" + "a" * 300 + host + "\n")
    send("GET /" + host + "".join(f"A{i}: 1\n" for i in range(20)) + "\n")
    send("GET /" + host + "A: " + "b" * 3000 + "\n\n")

    def body(route, what):
        text = what if isinstance(what, str) else json.dumps(what)
        for which in (0, 1):  # a model of language, one with labels: 128 and more, of which modulo 12 is the route
            first = next(k for k in range(128 * which, 128 * which + 12) if k % 12 == route)
            put("door", bytes([first]) + text.encode())

    odd = {"suffix": "x", "cache_salt": "s" * 200, "stream_options": {"include_usage": True}, "stop": ["x"] * 70, "best_of": 1, "n": 99, "num_beams": 2, "logprobs": 90, "truncate_prompt_tokens": 0, "max_tokens": -1, "temperature": 3, "top_p": 2, "top_k": -2, "seed": 1.5,
           "logit_bias": {"x": 1}, "stop_token_ids": [1] * 1100, "suppress_tokens": ["x"], "early_stopping": "x", "length_penalty": 99, "typical_p": 0, "messages": [1], "skip_special_tokens": False, "prompt_logprobs": 1, "guided_json": {"a": 1}, "bad_words": ["x"],
           "grammar": "x", "mirostat": 2, "prompt_embeds": [], "response_format": None, "tempurature": 1, "zzzzzz": 1, "stream": 3, "user": 3, "echo": "x", "model": "y", "priority": 1e12, "request_id": "a\nb", "min_tokens": 99, "repetition_penalty": 0, "n_probs": 1,
           "presence_penalty": "x", "frequency_penalty": [1], "no_repeat_ngram_size": 1.5, "use_beam_search": True, "return_token_ids": True, "return_tokens_as_token_ids": True, "ignore_eos": True}
    for key, value in odd.items():
        body(0, {"prompt": "the", "max_tokens": 2, key: value})
        body(1, {"messages": [{"role": "user", "content": "the"}], "max_tokens": 2, key: value})
    for more in ({"stream_options": {"include_usage": 3}, "stream": True}, {"stream_options": {"include_usage": True}, "stream": True}, {"best_of": 1, "n": 2}, {"best_of": 2, "n": 1, "stream": True}, {"use_beam_search": True, "num_beams": 1, "n": 2}, {"num_beams": 60}, {"best_of": 100},
                 {"stop": "x" * 2000}, {"stop": [""]}, {"stop": [3]}, {"logit_bias": {"5": "x"}}, {"logit_bias": {"5": 200}}, {"logit_bias": {"999": 1}}, {"logit_bias": 3}, {"seed": "x"}, {"temperature": "x"}, {"suppress_tokens": [999]}, {"forced_bos_token_id": 3},
                 {"n": 4, "logprobs": 20, "echo": True, "max_tokens": 30}, {"logprobs": 5, "return_token_ids": True, "echo": True}, {"logprobs": 2, "n": 2, "stream": True, "return_token_ids": True}, {"max_tokens": 0}, {"max_tokens": 0, "echo": True, "logprobs": 2},
                 {"temperature": 0.7, "top_k": 0, "min_p": 2}, {"num_beams": 2, "stop": "x"}, {"num_beams": 2, "logprobs": 2}, {"num_beams": 2, "temperature": 0.5}, {"best_of": 3, "n": 2}, {"truncate_prompt_tokens": 1}, {"truncate_prompt_tokens": -1}, {"add_special_tokens": False}):
        body(0, {"prompt": "the an", "max_tokens": 2, **more})
    for prompt in (None, "", [], [""], [[]], [1, 2], [[1], [2, 3]], [1, "a"], ["a", 1], [[1], "a"], {"a": 1}, [999999], [1.5], [[999999]], ["a", "b"], "x" * 9000, "a b\n" * 900, "\u00e9" * 4000, [5] * 40, ["x"] * 300, True, [[True]], [None]):
        body(0, {"prompt": prompt, "max_tokens": 2})
        body(0, {"prompt": prompt, "max_tokens": 2, "truncate_prompt_tokens": 4})
        body(2, {"input": prompt})
        body(3, {"input": prompt})
        body(4, {"prompt": prompt})
    for messages in ([], 3, [3], [{"role": "x", "content": "a"}], [{"role": "user"}], [{"role": "user", "content": [{"type": "text", "text": "a"}]}], [{"role": "user", "content": [{"type": "image_url"}]}], [{"role": 3, "content": "a"}], [{"role": "user", "content": 3}],
                     [{"role": "user", "content": None}], [{"role": "assistant", "content": None, "tool_calls": []}], [{"role": "user", "content": "the", "name": "x"}], [{"role": "user", "content": ["a"]}], [{"role": "user", "content": "x" * 9000}], [{"role": "system", "content": ""}],
                     [{"role": "user", "content": "the"}] * 20):
        body(1, {"messages": messages, "max_tokens": 2})
        body(1, {"messages": messages})
    body(1, {"messages": [{"role": "user", "content": "the"}], "logprobs": True, "top_logprobs": 3, "max_completion_tokens": 2, "n": 2, "stream": True})
    body(1, {"messages": [{"role": "user", "content": "the"}], "tools": [{"x": 1}]})
    for more in ({"encoding_format": "x"}, {"encoding_format": "base64"}, {"dimensions": 3}, {"dimensions": 99}, {"encoding_format": 3}):
        body(2, {"input": "the", **more})
    body(3, {"input": ["the", [5, 6]]})
    for what in ({}, {"prompt": 3}, {"content": "the"}, {"prompt": "the", "content": "an"}, {"prompt": "the", "return_token_strs": True}, {"content": "the", "with_pieces": True}, {"messages": [{"role": "user", "content": "the"}]}, {"prompt": "\xff\xfe\u00e9", "return_token_strs": True}):
        body(4, what)
    for tokens in ([], [5, 6], [999999], ["x"], 3, None, [-1], [1] * 3000):
        body(5, {"tokens": tokens})
    for text in ("", "[]", "3", "{", "[" * 100, '{"prompt": "a", "prompt": "b"}', '"x"'):
        for route in range(6):
            body(route, text)
    for route in range(6, 12):
        for text in ("", "x", "?", "/..", "%41"):
            body(route, text)


def line_edges():
    for text in ("/redo", "the\n/undo\n/undo\n/redo\n/redo", "/set  seed   3  \n/help   ", "the\n/alternatives 2\n/choose 2\n/continue 2\n/alternatives 3\n/choose 9", "/set max_tokens 0\nthe", "/set temperature x\n/set temperature 9", "x" * 200, "/load",
                 "/save", "/choose", "/choose 1", "/score 3", "/continue\n/continue", "the\n/continue 31\n/continue", "/set eos_token_id 7\nthe\n/tokens", "/set num_beams 3\n/set num_return_sequences 3\nthe\n/choose 2", "/set top_k -3\nthe", "/set stop x\n/set num_beams 2\nthe"):
        put("repl", text)
    for text in ('{"eos_token_id": [1, 2, 2, 999]}', '{"eos_token_id": 3}', '{"forced_bos_token_id": 999}', '{"bad_words_ids": [[]]}', '{"bad_words_ids": 3}', '{"bad_words_ids": [3]}', '{"sequence_bias": [[[1, 2], 3], [[1, 2], 4]]}', '{"bad_words_ids": [[1], [999]]}', '{"stop_token_ids": [3]}',
                 '{"exponential_decay_length_penalty": [2, 0]}', '{"exponential_decay_length_penalty": [2, 1.5], "ignore_eos": true}', '{"logit_bias": {"5": 3, "6": -100}, "suppress_tokens": [5]}', '{"forced_eos_token_id": [1, 2, 999]}', '{"begin_suppress_tokens": [3, 999]}'):
        put("request", text)


def case_edges():
    for keys in ("causal=1 cross=3", "causal=1 query_only=1", "query_only=1 cross=3", "causal=0 cross=3", "scale=0 offset=2", "scale=1e-60"):
        put("cases", f"a attention heads=1 dim=4 seqs=2+1 {keys}")


if __name__ == "__main__":
    config_edges()
    file_edges()
    forward_edges()
    text_edges()
    wire_edges()
    line_edges()
    case_edges()
