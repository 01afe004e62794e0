#!/usr/bin/env python3
"""test_routes.py TFRUN NAME SOURCE_DIR: the routes beside completions, on the demo model.

`test_routes.py --list` prints the names.
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "app"))
from cases import case, expect, expect_same, main  # noqa: E402
from serving import PROMPT, Setting, table  # noqa: E402

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


if __name__ == "__main__":
    sys.exit(main(Setting))
