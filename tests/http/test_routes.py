#!/usr/bin/env python3
"""test_routes.py TFRUN NAME SOURCE_DIR: the routes beside completions, on the demo model.

`test_routes.py --list` prints the names.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import PROMPT, Setting  # noqa: E402

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
        expect(len(strs) == 1 or "\ufffd" in strs[0], strs)
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


if __name__ == "__main__":
    sys.exit(main(Setting))
