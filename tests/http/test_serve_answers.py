#!/usr/bin/env python3
"""test_serve_answers.py TFRUN NAME SOURCE_DIR: what POST /v1/completions takes and answers, on the demo model.

`test_serve_answers.py --list` prints the names.
"""
import json
import pathlib
import re
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import PROMPT, Setting, completion_fields, read_head  # noqa: E402

WRONG = {"BOOL": (1, "true"), "INT": (1.5, "1", True), "REAL": ("1", True), "TEXT": (1, []), "TEXTS": (1, ["a", 1]),
         "IDS": (1, [1, "2"], [-1]), "MAP": ([], {"1": "2"}), "OBJECT": ([], "x")}
GOOD = {"model": "demo", "prompt": "x", "stop": ["\n"], "logit_bias": {"5": 1}, "stream_options": {}, "suffix": "", "user": "u",
        "cache_salt": "s", "request_id": "r", "best_of": 2, "early_stopping": True, "stop_token_ids": [5], "suppress_tokens": [5]}


@case
def every_field_has_its_type_range_and_default(t):
    fields = completion_fields(t.source_dir)
    expect(len(fields) > 40)
    base = {"prompt": PROMPT, "max_tokens": 1, "temperature": 0}
    with t.serve() as server:
        usual = server.ask(**base)["choices"]
        for field in fields:
            name, least, most = field["name"], float(field["min"]), float(field["max"])
            expect_same((name, server.ask(**{**base, name: base.get(name) if name in base else None})["choices"]), (name, usual))
            for wrong in WRONG.get(field["type"], ()):
                server.refused(400, name, name, **{**base, name: wrong})
            if least != most and field["type"] != "MAP":
                step = 1 if field["type"] == "INT" else 1e-3
                server.refused(400, name, name, **{**base, name: least - step})
                server.refused(400, name, name, **{**base, name: most + step})
            if field["type"] == "FIXED":
                server.refused(400, name, "is not served here", **{**base, name: {"x": 1}})
                server.ask(**{**base, name: json.loads(field["default"] or "[]")})
            elif field["default"] is not None and name not in base:
                expect_same((name, server.ask(**{**base, name: json.loads(field["default"])})["choices"]), (name, usual))
            elif name in GOOD:
                server.ask(**{**base, "stream": name == "stream_options", name: GOOD[name]}) if name != "stream_options" else \
                    server.events(**{**base, name: GOOD[name]})
        server.refused(400, "max_tokens", "max_tokens", prompt=PROMPT, max_tokens=2**63)
        server.ask(**base, seed=-2**63)
        server.ask(**base, something_new={"x": 1})
    with t.serve("--strict-fields") as server:
        server.refused(400, "temprature", 'did you mean "temperature"', **base, temprature=1)


@case
def prompts_have_four_shapes(t):
    ids = t.ids(PROMPT)
    short = {"max_tokens": 4, "temperature": 0}
    with t.serve() as server:
        text = server.text(prompt=PROMPT, **short)
        expect_same(server.text(prompt=ids, **short), text)
        expect_same(server.text(prompt=[PROMPT], **short), text)
        many = server.ask(prompt=[ids, t.ids("Hello"), ids], **short)
        expect_same([choice["index"] for choice in many["choices"]], [0, 1, 2])
        expect_same([many["choices"][i]["text"] for i in (0, 2)], [text, text])
        expect_same(many["usage"]["prompt_tokens"], 2 * len(ids) + len(t.ids("Hello")))
        empty = server.ask(prompt="", echo=True, **short)["choices"]
        expect(empty[0]["text"].startswith("<|endoftext|>"))
        for other in ({"prompt": None}, {}, {"prompt": t.ids("<|endoftext|>")}, {"prompt": [""]}, {"prompt": "<|endoftext|>"}):
            expect_same((other, server.ask(**other, echo=True, **short)["choices"]), (other, empty))
        for wrong in ([], [[]], ["a", 1], [1, "a"], [[1], "a"], [[1], []], 5, {"a": 1}, [[["a"]]], [True], [1.5], [-1], [60000], [[1], [60000]]):
            server.refused(400, "prompt", "prompt", prompt=wrong, **short)
        error = server.refused(400, "max_tokens", "512", "2", "511", "513", prompt=[1, 2], max_tokens=511)
        expect_same(error["code"], "context_length_exceeded")
        server.ask(prompt=[5] * 511, max_tokens=1)
        expect_same(server.ask(prompt=[5] * 600, max_tokens=12, truncate_prompt_tokens=-1)["usage"]["prompt_tokens"], 500)
        expect_same(server.ask(prompt=[9] + ids, truncate_prompt_tokens=len(ids), echo=True, **short)["choices"][0]["text"], PROMPT + text)
        server.refused(400, "prompt", "at most", prompt=["x"] * 300, max_tokens=1)
        server.refused(400, "prompt", "512", prompt=[5] * 513, max_tokens=1)
        server.refused(400, "n", "more than this server makes", prompt="x", n=17)
        server.refused(400, "n", "1..16 of this server", prompt="x", n=100000)
        server.refused(400, "messages", "it belongs to /v1/chat/completions", messages=[{"role": "user", "content": "x"}])
        server.refused(400, "prompt", "ask in parts", prompt=["x"] * 200, n=16)
        server.refused(404, "model", "there is no model nosuch here, but demo", prompt="x", model="nosuch")


@case
def refused_settings_name_their_field(t):
    with t.serve() as server:
        for param, asked in (("logit_bias", {"logit_bias": {"x": 1}}), ("logit_bias", {"logit_bias": {"999999": 1}}),
                             ("suppress_tokens", {"suppress_tokens": [99999]}), ("early_stopping", {"early_stopping": "maybe"}),
                             ("stop_token_ids", {"stop_token_ids": [99999]}), ("stop", {"num_beams": 2, "stop": ["x"]}),
                             ("logprobs", {"num_beams": 2, "logprobs": 1}), ("stop_token_ids", {"num_beams": 2, "stop_token_ids": [5]})):
            error = server.refused(400, param, param, prompt="x", **asked)
            expect("sampling." not in error["message"] and "the request" not in error["message"], error)


@case
def bans_that_leave_no_token_name_their_field(t):
    """Before anything is computed where no text can begin, whatever the prompt, also of a stream; else when it comes to that."""
    model = t.source_dir / "tests" / "model" / "golden" / "base"
    every = list(range(json.loads((model / "config.json").read_text())["vocab_size"]))
    asked = {"prompt": [1], "max_tokens": 4, "temperature": 0, "ignore_eos": True}
    with t.serve(model=model) as server:
        for stream in (False, True):
            server.refused(400, "suppress_tokens", "no token is left", **asked, stream=stream, suppress_tokens=every)
            server.refused(400, "min_tokens", "min_tokens, suppress_tokens", **asked, stream=stream, suppress_tokens=every[1:], stop_token_ids=[0],
                           min_tokens=1)
        expect_same(server.ask(**{**asked, "max_tokens": 0}, echo=True, suppress_tokens=every)["usage"]["completion_tokens"], 0)
        later = {**asked, "suppress_tokens": [id for id in every if id not in (5, 6)], "no_repeat_ngram_size": 1}
        expect_same(sorted(server.ask(**{**later, "max_tokens": 2}, return_token_ids=True)["choices"][0]["token_ids"]), [5, 6])
        told = server.refused(400, "no_repeat_ngram_size", "position 3", "no_repeat_ngram_size, suppress_tokens", **later)
        *events, last, done = server.post({**later, "stream": True}).body.split(b"\n\n")[:-1]
        expect_same((len(events), json.loads(last[6:])["error"], done), (2, told, b"data: [DONE]"))
        expect_same(server.post(asked).status, 200)


@case
def a_model_without_a_tokenizer(t):
    model = t.folder / "bare"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_bytes((t.demo / name).read_bytes())
    with t.serve(model=model) as server:
        choice = server.ask(prompt=[1, 2, 3], max_tokens=3, temperature=0, return_token_ids=True, logprobs=1)["choices"][0]
        expect_same((choice["text"], choice["logprobs"]["tokens"]), ("", [f"token_id:{id}" for id in choice["token_ids"]]))
        server.refused(400, "prompt", "must be token ids", prompt="x")
        server.refused(400, "stop", "stop_token_ids", prompt=[1], stop="x")
        server.refused(400, "stop", "stop_token_ids", prompt=[1], stop=["x"], stream=True)
        stopped = server.ask(prompt=[1, 2, 3], temperature=0, stop_token_ids=[choice["token_ids"][1]], return_token_ids=True)["choices"][0]
        expect_same((stopped["finish_reason"], stopped["token_ids"][-1]), ("stop", choice["token_ids"][1]))


@case
def bodies_that_are_not_json(t):
    deep, many = "[" * 40 + "]" * 40, ",".join("1" for _ in range(70000))
    with t.serve("--max-body", 300000) as server:
        for body in ("", "{", "[1]", '{"prompt": "x", "prompt": "y"}', '{"prompt": "\\ud800"}', '{"prompt": "\\u0000"}', b'{"prompt": "\xff"}',
                     '{"seed": 1' + "0" * 40 + "}", '{"seed": NaN}', '{"prompt": ' + deep + "}", '{"prompt": [' + many + "]}"):
            reply = server.call("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            expect_same((body[:40], reply.status), (body[:40], 400))
            expect(reply.json["error"]["code"] in ("invalid_json", None), reply.body)
        expect_same(server.call("POST", "/v1/completions", "x" * 300001, {"Content-Type": "application/json"}).status, 413)


@case
def answers_have_every_part(t):
    with t.serve() as server:
        reply = server.post({"prompt": PROMPT, "max_tokens": 3, "temperature": 0}, headers={"x-request-id": "abc-1"})
        answer = reply.json
        expect_same(list(answer), ["id", "object", "created", "model", "system_fingerprint", "choices", "usage", "timings"])
        expect_same(list(answer["choices"][0]), ["index", "text", "logprobs", "finish_reason"])
        expect(answer["id"].startswith("cmpl-") and answer["object"] == "text_completion" and abs(answer["created"] - time.time()) < 60)
        expect_same(answer["usage"], {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
                                      "prompt_tokens_details": {"cached_tokens": answer["usage"]["prompt_tokens_details"]["cached_tokens"]}})
        expect(re.fullmatch(r"tfrun-\d+\.\d+\.\d+-[0-9a-f]{16}", answer["system_fingerprint"]))
        timings = answer["timings"]
        expect(0 <= timings["queue_ms"] <= timings["ttft_ms"] and timings["prompt_ms"] > 0 and timings["decode_ms"] > 0, timings)
        expect_same((reply.headers["content-type"], reply.headers["x-request-id"]), ("application/json", "abc-1"))
        expect(float(reply.headers["openai-processing-ms"]) > 0)
        ids = server.ask(prompt=PROMPT, max_tokens=3, temperature=0, return_token_ids=True)["choices"][0]
        expect_same(ids["prompt_token_ids"], t.ids(PROMPT))
        expect_same(len(ids["token_ids"]), 3)
        nothing = server.ask(prompt=PROMPT, max_tokens=0)
        expect_same((nothing["choices"][0]["text"], nothing["choices"][0]["finish_reason"]), ("", "length"))


@case
def streams_are_the_same_bytes_in_pieces(t):
    ways = ({"temperature": 0}, {"temperature": 1.3, "seed": 5}, {"temperature": 0, "n": 2}, {"seed": 6, "n": 3}, {"temperature": 0, "echo": True},
            {"temperature": 0, "logprobs": 2, "echo": True, "stop": [" the"]}, {"num_beams": 3, "n": 2}, {"temperature": 0, "max_tokens": 0, "echo": True},
            {"seed": 9, "logprobs": 0, "return_token_ids": True, "ignore_eos": True})
    with t.serve() as server:
        for way in ways:
            asked = {"prompt": [PROMPT, "Hello"], "max_tokens": 12, **way}
            whole = server.ask(**asked)
            events = server.events(**asked, stream_options={"include_usage": True})
            for choice in whole["choices"]:
                parts = [event["choices"][0] for event in events[:-1] if event["choices"][0]["index"] == choice["index"]]
                expect_same((way, "".join(part["text"] for part in parts)), (way, choice["text"]))
                expect_same([part["finish_reason"] for part in parts], [None] * (len(parts) - 1) + [choice["finish_reason"]])
                for key in choice["logprobs"] or ():
                    joined = sum((part["logprobs"][key] for part in parts if part["logprobs"]), [])
                    expect_same((way, key, joined), (way, key, choice["logprobs"][key]))
                if "token_ids" in choice:
                    expect_same(sum((part["token_ids"] for part in parts), []), choice["token_ids"])
                    expect_same([part.get("prompt_token_ids") for part in parts][0], choice["prompt_token_ids"])
            last = events[-1]
            expect_same((last["choices"], last["usage"]["total_tokens"]), ([], whole["usage"]["total_tokens"]))
            expect(all("usage" not in event for event in events[:-1]))
            if "num_beams" not in way and not way.get("echo"):
                expect_same((way, len(events) - 1), (way, whole["usage"]["completion_tokens"]))
        server.refused(400, "stream_options", "stream: true", prompt="x", stream_options={"include_usage": True})


@case
def events_come_one_a_write(t):
    with t.serve() as server, server.raw({"prompt": PROMPT, "max_tokens": 20, "temperature": 0, "stream": True, "ignore_eos": True}) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head, rest = read_head(sock)
        expect(b"Content-Type: text/event-stream; charset=utf-8" in head and b"Cache-Control: no-store" in head, head)
        expect(b"X-Accel-Buffering: no" in head and b"Transfer-Encoding: chunked" in head, head)
        while not rest.endswith(b"0\r\n\r\n"):
            rest += sock.recv(65536)
        chunks, at = [], 0
        while True:
            size, _, _ = rest[at:].partition(b"\r\n")
            start = at + len(size) + 2
            chunks.append(rest[start:start + int(size, 16)])
            at = start + int(size, 16) + 2
            if not chunks[-1]:
                break
        expect_same(len(chunks), 22)
        expect(all(chunk.startswith(b"data: {") and chunk.count(b"\n\n") == 1 for chunk in chunks[:20]))
        expect_same(chunks[20], b"data: [DONE]\n\n")


if __name__ == "__main__":
    sys.exit(main(Setting))
