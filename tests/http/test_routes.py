#!/usr/bin/env python3
"""test_routes.py TFRUN NAME SOURCE_DIR: the routes beside completions, on the demo model.

`test_routes.py --list` prints the names.
"""
import base64
import json
import math
import pathlib
import re
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import PATIENCE, PROMPT, Setting, read_head, read_until, split_events, table  # noqa: E402

TEXTS = (PROMPT, "", "héllo — 你好\n\t🙂", "<|endoftext|>", " a" * 300)


@case
def tokenize_and_detokenize(t):
    with t.serve() as server:
        for text in TEXTS:
            for field in ("prompt", "content"):
                said = server.post({field: text, "return_token_strs": True}, "/tokenize").json
                expect_same((said["count"], said["max_model_len"]), (len(said["tokens"]), 512))
                expect_same(len(said["token_strs"]), said["count"])
                if text != "":
                    expect_same(said["tokens"], t.ids(text))
                back = server.post({"tokens": said["tokens"]}, "/detokenize").json
                expect_same(back, {"prompt": text, "content": text})
        plain = server.post({"prompt": "<|endoftext|>", "parse_special": False}, "/tokenize").json
        expect(plain["count"] > 1, plain)
        expect_same(server.post({"tokens": plain["tokens"]}, "/detokenize").json["prompt"], "<|endoftext|>")
        strs = server.post({"prompt": "你", "return_token_strs": True}, "/tokenize").json["token_strs"]
        expect(len(strs) == 1 or strs[0].startswith("bytes:\\xE4"), strs)
        server.refused(400, "prompt", "prompt", "content", path="/tokenize")
        server.refused(400, "prompt", "prompt", "content", path="/tokenize", prompt="a", content="a")
        server.refused(400, "prompt", "must be a string", path="/tokenize", prompt=[1])
        server.refused(400, "messages", "chat template", path="/tokenize", messages=[{"role": "user", "content": "x"}])
        server.refused(404, "model", "no model other", path="/tokenize", model="other", prompt="x")
        server.refused(400, "tokens", "must be given", path="/detokenize")
        server.refused(400, "tokens", "99999999", path="/detokenize", tokens=[1, 99999999])
        server.refused(400, "tokens", "list of token ids", path="/detokenize", tokens=[-1])


@case
def tokenizer_info_version_favicon(t):
    with t.serve() as server:
        info = server.call("GET", "/tokenizer_info").json
        expect_same([info[name] for name in ("tokenizer_class", "bos_token", "eos_token")], ["GPT2Tokenizer"] + ["<|endoftext|>"] * 2)
        version = t.run("--version").decode().split()
        expect(server.call("GET", "/version").json["version"] in version, version)
        page = server.call("GET", "/")
        expect_same((page.status, page.headers["content-type"]), (200, "text/html; charset=utf-8"))
        worker = server.call("GET", "/offline.js")
        expect_same((worker.status, worker.headers["content-type"]), (200, "text/javascript; charset=utf-8"))
        expect_same(worker.headers["content-security-policy"], "default-src 'none'; connect-src 'self'")
        icon = server.call("GET", "/favicon.ico")
        expect_same((icon.status, icon.body), (204, b""))


@case
def info_says_what_runs(t):
    with t.serve("--max-batch", 3, "--max-logprobs", 7, "--dtype", "f32", "--threads", 1) as server:
        server.ask(prompt=PROMPT, max_tokens=4)
        info = server.call("GET", "/tfrun/v1/info").json
        wanted = {"model": "demo", "dtype": "f32", "threads": 1, "ranks": 1, "n_positions": 512, "max_batch": 3, "max_logprobs": 7,
                  "max_n": 16, "chat": "off", "profile": False, "tokenizer": True, "bos_token_id": 0, "eos_token_id": 0}
        expect_same({name: info[name] for name in wanted}, wanted)
        expect(info["isa"] in ("plain", "avx2", "avx512", "avx512_bf16", "amx_bf16", "neon", "sve"), info)
        serving = info["serving"]
        expect_same((serving["running"], serving["waiting"]), (0, 0))
        expect(serving["generation_tokens"] >= 4 and serving["steps"] >= 4, serving)
        expect_same(server.call("HEAD", "/tfrun/v1/info").body, b"")


def parse_metrics(text):
    """{name: (type, {labels: value})} of Prometheus' text format, by a parser of this file's own that refuses what it does not know."""
    families, helped = {}, []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.append(re.fullmatch(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)", line).group(1))
        elif line.startswith("# TYPE "):
            name, kind = re.fullmatch(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (gauge|counter|histogram)", line).groups()
            expect(name not in families and helped[-1] == name, line)
            families[name] = (kind, {})
        else:
            label = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
            found = re.fullmatch(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{{({label}(?:,{label})*)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)", line)
            expect(found is not None, line)
            name, labels, value = found.groups()
            base = name if name in families else re.sub("_(bucket|sum|count)$", "", name)
            expect(base == helped[-1] and (base == name or families[base][0] == "histogram"), line)
            key = (name[len(base):], labels or "")
            expect(key not in families[base][1], line)
            families[base][1][key] = float(value)
    return families


def check_histograms(families):
    for name, (kind, values) in families.items():
        if kind == "histogram":
            counts = [value for (suffix, _), value in values.items() if suffix == "_bucket"]
            expect(counts == sorted(counts) and counts[-1] == values["_count", own_label(values)], name, values)


def own_label(values):
    return next(labels for suffix, labels in values if suffix == "_count")


def read_metrics(server):
    reply = server.call("GET", "/metrics")
    expect_same((reply.status, reply.headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
    families = parse_metrics(reply.body.decode())
    check_histograms(families)
    return families


def metric_rows(t):
    path = "core/app/http/metrics.def"
    rows = table(t.source_dir, path, "TFR_METRIC", ("name", "kind", "vllm", "value", "help"))
    rows += table(t.source_dir, path, "TFR_METRIC_FAMILY", ("name", "kind", "vllm", "writer", "labels", "help"))
    more = table(t.source_dir, path, "TFR_METRIC_HISTOGRAM", ("member", "name", "vllm", "buckets", "help"))
    return rows + [{**row, "kind": "HISTOGRAM"} for row in more]


@case
def metrics_are_what_a_client_saw(t):
    with t.serve() as server:
        first = read_metrics(server)
        expect_same({name: kind.upper() for name, (kind, _) in first.items()}, {row["name"]: row["kind"] for row in metric_rows(t)})
        for name, (kind, _) in first.items():
            expect_same(name.endswith("_total"), kind == "counter")
        usage = [server.ask(prompt=[text, text + " more"], max_tokens=n, ignore_eos=True)["usage"]
                 for text, n in ((PROMPT, 3), ("A cat", 5))]
        events = server.events(prompt=PROMPT, max_tokens=6, ignore_eos=True)
        expect_same(server.post({"prompt": 1.5}).status, 400)
        expect_same(server.call("GET", "/nowhere").status, 404)
        server.call("GET", "/health")
        last = read_metrics(server)

        def grown(name, suffix="", labels=""):
            return last[name][1][suffix, labels] - first[name][1].get((suffix, labels), 0)
        until = time.monotonic() + PATIENCE
        while grown("tfrun_iteration_tokens", "_count") != grown("tfrun_steps_total") and time.monotonic() < until:
            last = read_metrics(server)  # the last step's rows are counted once its answer is told
        made, read = (sum(one[name] for one in usage) for name in ("completion_tokens", "prompt_tokens"))
        expect_same(grown("tfrun_generation_tokens_total"), made + len(events))
        expect_same(grown("tfrun_prompt_tokens_total"), read + len(t.ids(PROMPT)))
        expect_same(grown("tfrun_requests_total", "", 'code="200",finish_reason="length"'), 3)
        expect_same(grown("tfrun_requests_total", "", 'code="400",finish_reason="none"'), 1)
        expect_same(grown("tfrun_requests_total", "", 'code="404",finish_reason="none"'), 1)
        for name in ("ttft", "e2e", "queue", "prefill", "decode"):
            expect_same((name, grown(f"tfrun_{name}_seconds", "_count")), (name, 3))
        expect_same(grown("tfrun_itl_seconds", "_count"), 2 * 2 + 2 * 4 + 5)
        expect_same(grown("tfrun_iteration_tokens", "_count"), grown("tfrun_steps_total"))
        expect_same(grown("tfrun_iteration_tokens", "_sum"), grown("tfrun_batch_rows_total"))
        expect_same(last["tfrun_requests_running"][1]["", ""], 0)
        expect(last["tfrun_http_sent_bytes_total"][1]["", ""] > 1000 and last["tfrun_last_step_age_seconds"][1]["", ""] == 0)
        expect(read_metrics(server)["tfrun_http_requests_total"][1]["", ""] == last["tfrun_http_requests_total"][1]["", ""] + 1)
        expect_same(server.call("HEAD", "/metrics").body, b"")
        server.call("GET", "/health", headers={"Host": "evil.example"})
        expect_same(read_metrics(server)["tfrun_rejected_total"][1]["", 'reason="http_host_not_served"'], 1)


def wait_for(server, name, labels, value):
    until = time.monotonic() + PATIENCE
    while read_metrics(server)[name][1]["", labels] != value:
        expect(time.monotonic() < until, name, labels)
        time.sleep(0.01)


@case
def a_time_that_there_was_not_is_in_no_histogram(t):
    """Of who leaves while it waits, or before its end is told, and of a prompt without new tokens: what they came to is."""
    with t.serve("--max-batch", 1, "--access-format", "json") as server:
        with server.raw({"prompt": PROMPT, "max_tokens": 400, "n": 16, "ignore_eos": True, "stream": True}) as writing:
            read_until(writing, b"data: ")
            with server.raw({"prompt": PROMPT, "max_tokens": 5}):
                wait_for(server, "tfrun_requests_waiting", "", 1)
            wait_for(server, "tfrun_cancelled_total", 'state="waiting"', 1)
        wait_for(server, "tfrun_cancelled_total", 'state="decode"', 1)
        server.ask(prompt=PROMPT, max_tokens=0, echo=True, logprobs=1)
        families = read_metrics(server)
        counts = {name: families[f"tfrun_{name}_seconds"][1]["_count", ""] for name in ("queue", "prefill", "decode", "ttft", "e2e")}
        expect_same(counts, {"queue": 2, "prefill": 1, "decode": 0, "ttft": 1, "e2e": 1})
        expect_same(server.end(), 0)
        lines = [json.loads(line) for line in server.lines() if line.startswith("{")]
        left = [line for line in lines if line["status"] == 499]
        expect_same(sorted(("queue_ms" in line, "ttft_ms" in line) for line in left), [(False, False), (True, True)])


@case
def metrics_under_the_names_of_vllm(t):
    with t.serve("--metrics-compat", "vllm") as server:
        server.ask(prompt=PROMPT, max_tokens=3, ignore_eos=True)
        families = read_metrics(server)
        names = [row["vllm"] for row in metric_rows(t) if row["vllm"] is not None] + ["vllm:request_success_total"]
        expect_same([name for name in families if name.startswith("vllm:")], names)
        expect_same(families["vllm:request_success_total"][1]["", 'model_name="demo",finished_reason="length"'], 1)
        label = 'model_name="demo"'
        for row in metric_rows(t):
            if row["vllm"] is not None and row["kind"] != "HISTOGRAM":
                expect_same(families[row["vllm"]][1]["", label], families[row["name"]][1]["", ""])
        expect_same(families["vllm:time_to_first_token_seconds"][1]["_count", label], 1)


def write_tensor(path, name, dtype, shape, data):
    head = json.dumps({name: {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def read_tensor(path, name):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    item = json.loads(data[8:8 + size])[name]
    begin, end = item["data_offsets"]
    return item["shape"], struct.unpack(f"<{(end - begin) // 4}f", data[8 + size + begin:8 + size + end])


def embedding_of(t, ids, model=None):
    """The mean of the final hidden states that `tfrun forward` gives, of length 1."""
    model = model or t.demo
    layers = json.loads((model / "config.json").read_text())["n_layer"]
    write_tensor(t.folder / "in.safetensors", "input_ids", "I64", [1, len(ids)], struct.pack(f"<{len(ids)}q", *ids))
    t.run("forward", model, "--in", t.folder / "in.safetensors", "--out", t.folder / "out.safetensors", "--output-hidden-states", "--force")
    (_, rows, width), states = read_tensor(t.folder / "out.safetensors", f"hidden_states.{layers}")
    sums = [math.fsum(states[row * width + k] for row in range(rows)) for k in range(width)]
    norm = math.sqrt(math.fsum(value * value for value in sums))
    return [value / norm for value in sums]


@case
def embeddings_are_pooled_hidden_states(t):
    with t.serve() as server:
        texts = [PROMPT, "A cat sat on the mat."]
        ids = [t.ids(text) for text in texts]
        wanted = [embedding_of(t, each) for each in ids]
        said = server.post({"input": texts}, "/v1/embeddings").json
        expect_same((said["object"], said["model"], [item["index"] for item in said["data"]]), ("list", "demo", [0, 1]))
        expect_same(said["usage"], {"prompt_tokens": sum(map(len, ids)), "total_tokens": sum(map(len, ids))})
        have = [item["embedding"] for item in said["data"]]
        for one, other in zip(have, wanted):
            expect(max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-6, one[:4], other[:4])
            expect(abs(math.fsum(value * value for value in one) - 1) < 1e-6)
        for given, vectors in ((texts[0], have[:1]), (ids[1], have[1:]), (ids, have)):
            expect_same([item["embedding"] for item in server.post({"input": given}, "/v1/embeddings").json["data"]], vectors)
        coded = server.post({"input": texts, "encoding_format": "base64"}, "/v1/embeddings").json
        for item, vector in zip(coded["data"], have):
            raw = base64.b64decode(item["embedding"], validate=True)
            expect_same(list(struct.unpack(f"<{len(raw) // 4}f", raw)), [struct.unpack("<f", struct.pack("<f", v))[0] for v in vector])
        path = {"path": "/v1/embeddings"}
        server.refused(400, "input", "must be given", **path)
        server.refused(400, "input", "string", **path, input=[])
        server.refused(400, "input", "context of this model is 512", **path, input=[1] * 513)
        server.refused(400, "dimensions", "not served", **path, input="x", dimensions=8)
        server.refused(400, "encoding_format", "neither float nor base64", **path, input="x", encoding_format="int8")
        expect_same(len(server.post({"input": [1] * 512}, "/v1/embeddings").json["data"]), 1)


@case
def every_class_of_model_has_embeddings(t):
    """Also those that make no text, with an output matrix or without."""
    rules = json.loads((t.source_dir / "tests/model/text/single/config.json").read_text())
    del rules["tfrun"]
    for name, tied in (("GPT2Model", True), ("GPT2Model", False), ("GPT2DoubleHeadsModel", True), ("GPT2ForSequenceClassification", False),
                       ("GPT2ForTokenClassification", True), ("GPT2ForQuestionAnswering", False)):
        config, model = t.folder / "class.json", t.folder / f"{name}-{tied}"
        config.write_text(json.dumps({**rules, "architectures": [name], "tie_word_embeddings": tied}))
        t.run("init", config, "-o", model, "--seed", 3)
        with t.serve(model=model) as server:
            expect_same(server.call("GET", "/tfrun/v1/info").json["class"], name)
            reply = server.post({"input": [[1, 2, 3], [7]]}, "/v1/embeddings")
            expect_same((name, tied, reply.status), (name, tied, 200))
            for ids, item in zip(([1, 2, 3], [7]), reply.json["data"]):
                wanted = embedding_of(t, ids, model)
                expect(max(abs(a - b) for a, b in zip(item["embedding"], wanted, strict=True)) < 1e-6, name, item, wanted)
            reply = server.post({"prompt": [1, 2, 3], "max_tokens": 2})
            expect(reply.status in (200, 400), name, reply.body)
            expect_same((server.call("GET", "/health").status, server.end()), (200, 0))


@case
def embeddings_beside_texts_change_neither(t):
    with t.serve("--max-batch", 2) as server:
        alone = server.post({"input": PROMPT}, "/v1/embeddings").json
        text = {"prompt": PROMPT, "max_tokens": 60, "ignore_eos": True, "temperature": 0}
        told, replies = server.ask(**text)["choices"], []
        threads = [threading.Thread(target=lambda: replies.append(server.ask(**text)["choices"])) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            expect_same(server.post({"input": PROMPT}, "/v1/embeddings").json, alone)
        for thread in threads:
            thread.join()
        expect_same(replies, [told] * 3)
        with server.raw({"input": [PROMPT] * 200}, path="/v1/embeddings"):
            pass  # its client is gone at once
        expect_same(server.ask(**text)["choices"], told)
        expect_same(server.end(), 0)


@case
def embeddings_wait_for_each_other(t):
    with t.serve("--max-queue", 2) as server:
        bodies, statuses = [PROMPT, "A cat", "", "x"], []
        wanted = [server.post({"input": text}, "/v1/embeddings").json["data"][0]["embedding"] for text in bodies]
        socks = [server.raw({"input": [[1] * 512] * 2}, path="/v1/embeddings") for _ in range(6)]
        for sock in socks:
            statuses.append(read_head(sock)[0].split()[1].decode())
            sock.close()
        expect(set(statuses) == {"200", "429"} and statuses.count("200") >= 3, statuses)
        for sock in [server.raw({"input": [[1] * 512] * 2}, path="/v1/embeddings") for _ in range(3)]:
            sock.close()  # clients that leave their place, in the queue and on the engine
        for text, vector in zip(bodies, wanted):
            while (reply := server.post({"input": text}, "/v1/embeddings")).status == 429:
                expect(int(reply.headers["retry-after"]) >= 1 and reply.json["error"]["code"] == "queue_full", reply.headers)
                time.sleep(0.01)
            expect_same(reply.json["data"][0]["embedding"], vector)


def init_head(t, architecture, labels):
    """A model with random weights in the folder "model"."""
    config = json.loads((t.demo / "config.json").read_text())
    config.update(architectures=[architecture], id2label=dict(enumerate(labels)), pad_token_id=0)
    (t.folder / "config.json").write_text(json.dumps(config))
    t.run("init", t.folder / "config.json", "-o", t.folder / "model", "--seed", 5)
    (t.folder / "model" / "tokenizer.json").write_bytes((t.demo / "tokenizer.json").read_bytes())


@case
def classify_gives_what_the_command_gives(t):
    with t.serve() as server:
        error = server.refused(400, None, "GPT2LMHeadModel", "GPT2ForSequenceClassification", path="/classify", input="x")
        expect("config.json" not in error["message"] and "tfrun" not in error["message"], error)
    init_head(t, "GPT2ForSequenceClassification", ["bad", "good", "so"])
    with t.serve(model=t.folder / "model") as server:
        texts = [PROMPT, "A cat."]
        said = server.post({"input": texts}, "/classify").json
        for text, item in zip(texts, said["data"], strict=True):
            wanted = json.loads(t.run("classify", t.folder / "model", "-p", text, "--labels", 0, "--json"))
            scores = {label["label"]: label["score"] for label in wanted["labels"]}
            expect_same((item["label"], item["num_classes"]), (wanted["labels"][0]["label"], 3))
            expect_same(item["label"], said["labels"][item["probs"].index(max(item["probs"]))])
            expect(max(abs(a - b) for a, b in zip(item["probs"], (scores[name] for name in ("bad", "good", "so")))) < 1e-9, item)


@case
def what_would_be_too_long_is_refused_before_all_of_it_is_computed(t):
    """Labels of each token, and vectors; the rest of the inputs is not looked at any more."""
    init_head(t, "GPT2ForTokenClassification", [f"label {i}" for i in range(50)])
    with t.serve("--max-reply", 20000, model=t.folder / "model") as server:
        said = server.post({"input": [[7, 8], t.ids("A cat.")]}, "/classify").json
        wanted = json.loads(t.run("classify", t.folder / "model", "-p", "A cat.", "--labels", 0, "--json"))["tokens"][-1]
        given = said["data"][1]["tokens"][-1]
        scores = {label["label"]: label["score"] for label in wanted["labels"]}
        expect_same((len(said["data"][0]["tokens"]), given["token"], given["label"]), (2, t.ids("A cat.")[-1], wanted["labels"][0]["label"]))
        expect(max(abs(a - scores[name]) for a, name in zip(given["probs"], said["labels"], strict=True)) < 1e-9, given)
        inputs = server.metric("tfrun_inputs_total")
        server.refused(400, None, "at most 20000 are sent whole", path="/classify", input=[[7] * 100] * 200)
        expect_same((inputs, server.metric("tfrun_inputs_total")), (2, 3))
        vector = len(json.dumps(server.post({"input": [[7]]}, "/v1/embeddings").json["data"]))
        server.refused(400, None, "at most 20000 are sent whole", path="/v1/embeddings", input=[[7]] * 200)
        inputs = server.metric("tfrun_inputs_total") - 4
        expect(20000 / vector / 2 < inputs < 20000 / vector * 2, inputs, vector)


@case
def a_byte_without_a_token_is_refused_for_good(t):
    """As 503 it would be asked again and again."""
    stage = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (t.folder / "tokenizer.json").write_text(json.dumps({
        "pre_tokenizer": stage, "decoder": stage, "model": {"type": "BPE", "unk_token": "a", "vocab": {"a": 0, "b": 1}, "merges": []}}))
    with t.serve("--tokenizer", t.folder, "--chat", "plain") as server:
        words = "byte 0x78 of the text has no token"
        server.refused(400, "prompt", words, prompt="abx")
        server.refused(400, "prompt", words, path="/tokenize", prompt="abx")
        server.refused(400, "content", words, path="/tokenize", content="abx")
        server.refused(400, "prompt", words, path="/v1/chat/completions", messages=[{"role": "user", "content": "abx"}])


@case
def chat_is_a_completion_of_joined_messages(t):
    messages = [{"role": "system", "content": "Once upon"}, {"role": "user", "content": [{"type": "text", "text": "a time"}]}]
    with t.serve() as server:
        server.refused(400, "messages", "no chat template", path="/v1/chat/completions", messages=messages)
    with t.serve("--chat", "plain") as server:
        rules = {"max_tokens": 9, "temperature": 0, "ignore_eos": True}
        text = server.text(prompt="Once upon\n\na time", **rules)
        said = server.post({"messages": messages, **rules}, "/v1/chat/completions").json
        expect_same((said["object"], said["id"][:9]), ("chat.completion", "chatcmpl-"))
        expect_same(said["choices"][0]["message"], {"role": "assistant", "content": text})
        expect_same((said["choices"][0]["finish_reason"], said["usage"]["completion_tokens"]), ("length", 9))
        newer = {**rules, "max_tokens": None, "max_completion_tokens": 9}
        expect_same(server.post({"messages": messages, **newer}, "/v1/chat/completions").json["choices"], said["choices"])
        reply = server.post({"messages": messages, **rules, "stream": True, "return_token_ids": True,
                             "stream_options": {"include_usage": True}}, "/v1/chat/completions")
        events = split_events(reply.body)
        expect_same({event["object"] for event in events}, {"chat.completion.chunk"})
        expect_same(events[0]["choices"][0]["delta"]["role"], "assistant")
        expect_same("".join(event["choices"][0]["delta"]["content"] for event in events[:-1]), text)
        expect_same(sum(len(event["choices"][0]["token_ids"]) for event in events[:-1]), 9)
        expect_same((events[-1]["choices"], events[-1]["usage"]["completion_tokens"]), ([], 9))
        held = {"n": 2, "stream": True, "stop": [text[i:i + 12] + "\x01" for i in range(min(len(text), 60))]}  # no text of a token goes at once
        for more in ({}, {"temperature": 1, "seed": 1}):
            deltas = [event["choices"][0] for event in split_events(server.post(
                {"messages": messages, **rules, **held, **more}, "/v1/chat/completions").body)]
            expect(more or (deltas[0]["delta"]["content"], deltas[-1]["finish_reason"]) == ("", "length"), "nothing was held", deltas)
            for index in range(2):
                roles = ["role" in told["delta"] for told in deltas if told["index"] == index]
                expect_same((roles[0], sum(roles)), (True, 1))
        whole = server.post({"messages": [{"role": "user", "content": " a" * 490}], "ignore_eos": True}, "/v1/chat/completions").json
        expect_same(whole["usage"]["total_tokens"], 512)
        path = {"path": "/v1/chat/completions"}
        server.refused(400, "messages", "is empty", **path, messages=[])
        server.refused(400, "messages", "role bogus", **path, messages=[{"role": "bogus", "content": "x"}])
        for wrong in (None, "x", [{"role": "user"}], [{"content": "x"}], [{"role": "user", "content": [{"type": "image_url"}]}]):
            server.refused(400, "messages", "must be a list", **path, messages=wrong)
        server.refused(400, "tools", "not served", **path, messages=messages, tools=[{}])
        server.refused(400, "logprobs", "not served", **path, messages=messages, logprobs=True)
        server.refused(400, "max_completion_tokens", "outside", **path, messages=messages, max_completion_tokens=-1)
        server.refused(400, "temperature", "outside", **path, messages=messages, temperature=3)


if __name__ == "__main__":
    sys.exit(main(Setting))
