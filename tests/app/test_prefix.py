#!/usr/bin/env python3
"""model.prefix from outside: test_prefix.py TFRUN NAME SOURCE [MPIEXEC], test_prefix.py --list.

Golden cases (tests/model/golden/prefix, written by scripts/make_prefix_golden.py from PEFT in float64): logits of `tfrun forward` and
greedy ids; laws that tie generate, eval and score to forward; every refused adapter and input with its sentence. Standard library only.
"""
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

from test_forward import check, compare, ids, read_tensors, same, write_tensors

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "model" / "golden" / "prefix"
TOLERANCE = 1e-4
P = 5
cases = {}


def case(function):
    cases[function.__name__] = function
    return function


class Box:
    """The model of the golden cases and a folder for copies, requests and replies."""

    def __init__(self, tfrun, source, mpiexec, folder):
        self.tfrun, self.mpiexec, self.folder = tfrun, mpiexec, pathlib.Path(folder)
        self.demo = pathlib.Path(source) / "configs" / "demo"

    def start(self, *arguments, ranks=1):
        command = [self.tfrun, *map(str, arguments)]
        return subprocess.run([self.mpiexec, "-n", str(ranks), *command] if ranks > 1 else command, capture_output=True, text=True)

    def ok(self, *arguments, ranks=1):
        done = self.start(*arguments, ranks=ranks)
        check(done.returncode == 0, f"{arguments}: {done.stderr}")
        return done.stdout

    def forward(self, config, tensors, *flags, ranks=1):
        """`tensors`: a file or a dict."""
        if isinstance(tensors, dict):
            write_tensors(self.folder / "in.safetensors", tensors)
            tensors = self.folder / "in.safetensors"
        self.ok("forward", GOLDEN / "model" / config, "--in", tensors, "--out", self.folder / "out.safetensors", "--force", *flags, ranks=ranks)
        return read_tensors(self.folder / "out.safetensors")

    def generate(self, prompt, n, *flags, ranks=1):
        text = self.ok(GOLDEN / "model", "--prompt-ids", ",".join(map(str, prompt)), "-n", n, "--ignore-eos", "--json", "-q", *flags,
                       ranks=ranks)
        return json.loads(text)

    def adapter(self, name="lm"):
        target = self.folder / "adapter"
        shutil.copytree(GOLDEN / name / "adapter", target)
        return target

    def refused(self, code, *words, prefix, config="config.json", flags=()):
        done = self.start(GOLDEN / "model" / config, "--prompt-ids", "3,4", "-n", 2, "--prefix", prefix, *flags)
        told(done, code, *words)


def told(done, code, *words):
    check(done.returncode == code, f"exit code {done.returncode}, needs {code}: {done.stderr}")
    check(done.stdout == "" and done.stderr.startswith("tfrun: ") and done.stderr.count("\n") == 1, f"not one line: {done.stderr}")
    for word in words:
        check(word in done.stderr, f'"{done.stderr.strip()}" lacks "{word}"')


def case_of(name):
    return json.loads((GOLDEN / name / "case.json").read_text())


def prefix_flags(name):
    return ["--prefix", str(GOLDEN / name / case_of(name)["prefix"])]


def golden(box, name, *more, ranks=1):
    """Logits and greedy ids as PEFT has them."""
    case, flags = case_of(name), prefix_flags(name)
    cache = [] if "--use-cache" in case["flags"] else ["--no-use-cache"]
    got = box.forward(case["config"], GOLDEN / name / "request.safetensors", *case["flags"], *cache, *flags, *more, ranks=ranks)
    compare(got, read_tensors(GOLDEN / name / "expected.safetensors"), TOLERANCE)
    generation = None
    if "ids" in case:
        generation = box.generate(case["prompt"], len(case["ids"]), *flags, *more, ranks=ranks)
        check(generation["choices"][0]["ids"] == case["ids"], f"ids {generation['choices'][0]['ids']}, PEFT has {case['ids']}")
    return got, generation


def golden_names():
    return sorted(p.name for p in GOLDEN.iterdir() if (p / "case.json").exists())


# ---- laws

TOKENS = [3, 14, 15, 9, 26, 5, 35, 8]


@case
def law_ranks(box):
    if not box.mpiexec:
        sys.exit(77)
    for name in golden_names():
        alone, text = golden(box, name)
        for ranks in (2, 3):
            got, other = golden(box, name, ranks=ranks)
            same(alone, got, f"of {name} on {ranks} ranks")
            check(text is None or text["logits_digest"] == other["logits_digest"], f"{name}: another digest on {ranks} ranks")


@case
def law_layouts(box):
    """Shards keep the prefix of their own heads; the places of lm_head do not touch it."""
    if not box.mpiexec:
        sys.exit(77)
    case, flags = case_of("lm"), prefix_flags("lm")
    for sums, layouts in {"plain": (("--head", "last"), ("--head", "split")),
                          "by-head": (("--tensor", 3), ("--tensor", 3, "--head", "split"))}.items():
        alone = box.generate(case["prompt"], 8, "--sums", sums, *flags)
        for layout in layouts:
            other = box.generate(case["prompt"], 8, *layout, *flags, ranks=3)
            check((alone["logits_digest"], alone["choices"]) == (other["logits_digest"], other["choices"]), f"{layout}: other bits")
    request = {"input_ids": ids(TOKENS, TOKENS[::-1])}
    alone = box.forward("config.json", request, "--sums", "by-head", "--output-hidden-states", *flags)
    same(alone, box.forward("config.json", request, "--tensor", 3, "--output-hidden-states", *flags, ranks=3), "of 3 shards")


@case
def law_a_prefix_is_a_past(box):
    """The file form given as past_key_values inputs instead: the same bits."""
    past = read_tensors(GOLDEN / "lm_file" / "prefix.safetensors")
    plain = box.forward("config.json", {"input_ids": ids(TOKENS), **past}, "--use-cache")
    same(plain, box.forward("config.json", {"input_ids": ids(TOKENS)}, "--use-cache", *prefix_flags("lm_file")), "as model.prefix")


@case
def law_a_prefix_of_tokens_is_those_tokens(box):
    """Keys and values of a text as prefix: what follows has the bits that it has behind the text."""
    head, rest = TOKENS[:P], TOKENS[P:]
    cache = box.forward("config.json", {"input_ids": ids(head)}, "--use-cache")
    path = box.folder / "text.safetensors"
    write_tensors(path, {name: t for name, t in cache.items() if name.startswith("past_")})
    whole, behind = box.generate(TOKENS, 8), box.generate(rest, 8, "--prefix", path)
    check(whole["choices"][0]["ids"] == behind["choices"][0]["ids"], "other ids")
    check(whole["logits_digest"] == behind["logits_digest"], "other bits")


@case
def law_int8_and_static_caches_take_it(box):
    """A prefix of keys and values that an int8 cache gave out is the same cache again."""
    head, rest, int8 = TOKENS[:P], TOKENS[P:], ("--kv-dtype", "int8")
    cache = box.forward("config.json", {"input_ids": ids(head)}, "--use-cache", *int8)
    path = box.folder / "text.safetensors"
    write_tensors(path, {name: t for name, t in cache.items() if name.startswith("past_")})
    whole = box.generate(TOKENS, 8, *int8)
    for how in ("growing", "static"):
        behind = box.generate(rest, 8, "--prefix", path, *int8, "--kv-cache", how, "--kv-capacity", str(len(TOKENS) + 8))
        check(whole["logits_digest"] == behind["logits_digest"], f"other bits behind a prefix, {how}")


@case
def law_batches_steps_and_drafts(box):
    flags = prefix_flags("lm")
    plain = box.generate(TOKENS, 12, *flags)
    for more in (["--set", "runtime.max_rows=3"], ["--prompt-lookup", "4"], ["--threads", "1"], ["--set", "runtime.max_batch=1"]):
        got = box.generate(TOKENS, 12, *flags, *more)
        check(got["choices"][0]["ids"] == plain["choices"][0]["ids"], f"{more}: other ids")
    beams = [box.generate(TOKENS, 12, *flags, "--num-beams", "3", "--set", f"runtime.max_rows={n}")["logits_digest"] for n in (4, 512)]
    check(beams[0] == beams[1], "beams: other bits with small steps")
    bare = box.generate(TOKENS, 12)
    check(bare["choices"][0]["ids"] != plain["choices"][0]["ids"], "the prefix changes nothing")


@case
def law_masks_of_tokens_and_of_all_are_one(box):
    flags = prefix_flags("lm")
    short = box.forward("config.json", {"input_ids": ids(TOKENS), "attention_mask": ids([0, 0] + [1] * 6)}, *flags)
    long = box.forward("config.json", {"input_ids": ids(TOKENS), "attention_mask": ids([1] * P + [0, 0] + [1] * 6)}, *flags)
    same(short, long, "with the prefix in the mask")
    plain = box.forward("config.json", {"input_ids": ids(TOKENS)}, *flags)
    same(plain, box.forward("config.json", {"input_ids": ids(TOKENS), "attention_mask": ids([1] * 8)}, *flags), "with a mask of ones")


@case
def law_a_prefix_in_the_config(box):
    config = json.loads((GOLDEN / "model" / "config.json").read_text())
    path = box.folder / "config.json"
    shutil.copytree(GOLDEN / "lm" / "adapter", box.folder / "tuned")

    def run(prefix):
        config["tfrun"] = {"model": {"prefix": prefix, "weights": str(GOLDEN / "model" / "model.safetensors")}}
        path.write_text(json.dumps(config))
        return json.loads(box.ok(path, "--trust", GOLDEN, "--prompt-ids", "3,4,5", "-n", 8, "--ignore-eos", "--json", "-q"))["choices"][0]["ids"]
    check(run("tuned") == box.generate([3, 4, 5], 8, *prefix_flags("lm"))["choices"][0]["ids"], "it is not taken, or not beside the config")
    check(run(None) == box.generate([3, 4, 5], 8)["choices"][0]["ids"], "null is not none")


HEAD, REST = "Once upon a time there was", " a king who had three sons, and the youngest"


def demo_prefix(box):
    """HEAD as a prefix of the demo model, and its tokens."""
    tokens, whole = ([int(i) for i in box.ok("tokenize", box.demo, "-p", text).split()] for text in (HEAD, HEAD + REST))
    check(whole[:len(tokens)] == tokens, "the text is not cut at a token")
    write_tensors(box.folder / "in.safetensors", {"input_ids": ids(tokens)})
    box.ok("forward", box.demo, "--in", box.folder / "in.safetensors", "--out", box.folder / "cache.safetensors", "--use-cache")
    cache = read_tensors(box.folder / "cache.safetensors")
    path = box.folder / "prefix.safetensors"
    write_tensors(path, {name: t for name, t in cache.items() if name.startswith("past_")})
    return path, len(tokens)


@case
def law_eval_and_score_see_it(box):
    """Scores behind a prefix that is a text are those of the tokens behind that text."""
    path, n = demo_prefix(box)
    whole = json.loads(box.ok("score", box.demo, "-p", HEAD + REST, "--per-token", "--json", "-q"))["tokens"]
    behind = json.loads(box.ok("score", box.demo, "-p", REST, "--per-token", "--json", "-q", "--prefix", path))["tokens"]
    check(behind and [t["logprob"] for t in whole[n:]] == [t["logprob"] for t in behind], f"{whole[n:]} is not {behind}")
    data = box.folder / "text.txt"
    data.write_text(REST)
    done = json.loads(box.ok("eval", box.demo, "--data", data, "--json", "-q", "--prefix", path))
    total = -sum(t["logprob"] for t in behind)
    check(math.isclose(done["nll"], total / len(behind), rel_tol=1e-12), f"nll {done['nll']} is not {total / len(behind)}")


@case
def law_positions_are_fewer(box):
    path, n = demo_prefix(box)
    limit = 512 - n
    data = box.demo / "heldout.txt"
    told(box.start("eval", box.demo, "--data", data, "--ctx", limit + 1, "--prefix", path), 2,
         f"n_positions - prefix = {limit}")
    box.ok("eval", box.demo, "--data", data, "--limit", 520, "--ctx", limit, "--json", "-q", "--prefix", path)
    pairs = box.folder / "pairs.jsonl"
    pairs.write_text(json.dumps({"context": "a", "continuation": " word" * 600}) + "\n")
    told(box.start("score", box.demo, "--pairs", pairs, "--prefix", path), 4, f"n_positions - prefix is {limit}")
    flags = prefix_flags("lm")
    check(len(box.generate([3] * 34, 5, *flags)["choices"][0]["ids"]) == 1, "40 - 5 positions hold 34 tokens and one")
    told(box.start(GOLDEN / "model", "--prompt-ids", ",".join(["3"] * 36), "-n", 1, *flags), 2, "prompt has 36 tokens, context is 35",
         "n_positions - prefix")


@case
def law_check_reports_it(box):
    def findings(path):
        done = box.start("check", GOLDEN / "model", "--prefix", path, "--json")
        return done.returncode, [f for f in json.loads(done.stdout)["other"] if f["name"] == "prefix"]
    code, (found,) = findings(GOLDEN / "lm" / "adapter")
    check(code == 0 and found["status"] == "honoured", f"{code} {found}")
    code, (found,) = findings(GOLDEN / "token" / "adapter")
    check(code == 4 and found["status"] == "refused" and "TOKEN_CLS" in found["reason"], f"{code} {found}")


# ---- refused adapters: changes of adapter_config.json, words of the sentence

CONFIGS = {
    "lora": ({"peft_type": "LORA"}, 4, "peft_type = LORA", "--adapter"),
    "prompt_tuning": ({"peft_type": "PROMPT_TUNING"}, 4, "peft_type = PROMPT_TUNING", "inputs_embeds"),
    "unknown_type": ({"peft_type": "POLY"}, 4, "peft_type = POLY", "neither LORA nor PREFIX_TUNING"),
    "no_type": ({"peft_type": None}, 4, "peft_type is missing"),
    "unknown_key": ({"prefix_scale": 2}, 4, "prefix_scale is no key"),
    "other_layers": ({"num_layers": 4}, 4, "num_layers = 4", "n_layer = 3", "another model"),
    "other_heads": ({"num_attention_heads": 4}, 4, "num_attention_heads = 4", "n_head = 3"),
    "other_width": ({"token_dim": 16}, 4, "token_dim = 16", "n_embd = 12"),
    "two_decoders": ({"num_transformer_submodules": 2}, 4, "num_transformer_submodules = 2"),
    "other_task": ({"task_type": "SEQ_CLS"}, 4, "task_type = SEQ_CLS", "GPT2ForSequenceClassification", "architectures"),
    "unknown_task": ({"task_type": "SEQ_2_SEQ_LM"}, 4, "task_type = SEQ_2_SEQ_LM"),
    "other_count": ({"num_virtual_tokens": 6}, 4, "prompt_embeddings has shape [5, 72]", "[6, 72]"),
}


def refused_config(box, fields, code, *words):
    adapter = box.adapter()
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    box.refused(code, *words, prefix=adapter)


@case
def the_file_may_have_either_name(box):
    """tests/app/test_bin.py has what torch.save writes; here the first bytes say what it is."""
    adapter = box.adapter()
    want = box.generate([3, 4, 5], 4, "--prefix", adapter)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    have = box.generate([3, 4, 5], 4, "--prefix", adapter)
    check(have["logits_digest"] == want["logits_digest"], "another digest")


@case
def refused_no_adapter(box):
    box.refused(5, "nowhere: this prefix is not there", prefix="nowhere")
    box.refused(5, "no adapter_config.json", prefix=box.folder)


@case
def refused_foreign_tensor(box):
    adapter = box.adapter()
    tensors = read_tensors(adapter / "adapter_model.safetensors")
    write_tensors(adapter / "adapter_model.safetensors", {**tensors, "base_model.score.weight": ("F32", [3, 12], [0.0] * 36)})
    box.refused(4, "base_model.score.weight is neither the prefix nor", prefix=adapter)


@case
def refused_nan(box):
    adapter = box.adapter()
    dtype, shape, values = read_tensors(adapter / "adapter_model.safetensors")["prompt_embeddings"]
    values[100] = math.nan
    write_tensors(adapter / "adapter_model.safetensors", {"prompt_embeddings": (dtype, shape, values)})
    box.refused(4, "prompt_embeddings holds NaN", "damaged", prefix=adapter)


@case
def refused_nan_in_a_head(box):
    adapter = box.adapter("token") / "adapter_model.safetensors"
    tensors = read_tensors(adapter)
    tensors["base_model.classifier.bias"][2][1] = math.inf
    write_tensors(adapter, tensors)
    box.refused(4, "base_model.classifier.bias holds an infinity at element 1", prefix=adapter.parent, config="token.json",
                flags=("--check-weights",))


@case
def refused_long_prefix(box):
    past = {f"past_key_values.{i}.{part}": ("F32", [1, 3, 40, 4], [0.1] * 480) for i in range(3) for part in ("key", "value")}
    write_tensors(box.folder / "p.safetensors", past)
    box.refused(4, "40 positions is outside 1..39 (n_positions - 1)", prefix=box.folder / "p.safetensors")


@case
def refused_prefix_that_fills_the_cache(box):
    for capacity in ("4", "5"):
        box.refused(4, "a prefix of 5 positions leaves none", "tfrun.runtime.kv_capacity", prefix=GOLDEN / "lm" / "adapter",
                    flags=("--kv-capacity", capacity))


@case
def refused_half_a_head(box):
    adapter = box.adapter("token") / "adapter_model.safetensors"
    tensors = read_tensors(adapter)
    write_tensors(adapter, {name: t for name, t in tensors.items() if not name.endswith(".bias")})
    box.refused(4, "1 tensors of a head that has 2", prefix=adapter.parent, config="token.json")
    twice = {name.replace("base_model.", "base_model.model."): t for name, t in tensors.items() if name.endswith(".weight")}
    write_tensors(adapter, {**{name: t for name, t in tensors.items() if not name.endswith(".bias")}, **twice})
    box.refused(4, "base_model.classifier.weight", "base_model.model.classifier.weight", "one and the same part", prefix=adapter.parent,
                config="token.json")


@case
def law_a_prefix_goes_with_encoder_states(box):
    """The same keys and values as a prefix and as past_key_values of a request, beside encoder states."""
    model = GOLDEN.parents[1] / "forward" / "lm_cross"
    c = json.loads((model / "config.json").read_text())
    part, n = c["n_embd"] // c["n_head"], c["n_embd"] * 4
    past = {f"past_key_values.{i}.{kind}": ("F32", [1, c["n_head"], 4, part], [math.sin(i + 2 * j) for j in range(n)])
            for i in range(c["n_layer"]) for kind in ("key", "value")}
    write_tensors(box.folder / "p.safetensors", past)
    request = {"input_ids": ids([1, 2, 3]), "encoder_hidden_states": ("F32", [1, 3, c["n_embd"]], [math.cos(j) for j in range(3 * c["n_embd"])])}
    for ranks in (1, 2) if box.mpiexec else (1,):
        same(box.forward(model, {**request, **past}, ranks=ranks),
             box.forward(model, request, "--prefix", box.folder / "p.safetensors", ranks=ranks), f"as model.prefix on {ranks} ranks")


@case
def refused_files(box):
    past = read_tensors(GOLDEN / "lm_file" / "prefix.safetensors")
    path = box.folder / "p.safetensors"
    rows = {name: (t[0], [2, *t[1][1:]], bytes(t[2]) * 2) for name, t in past.items()}
    lacking = {name: t for name, t in past.items() if name != "past_key_values.2.value"}
    other = {**past, "past_key_values.1.key": ("F32", [1, 3, 4, 4], [0.0] * 48)}
    more = {**past, "past_key_values.3.key": past["past_key_values.0.key"]}
    for tensors, words in ((rows, "is for 2 rows"), (lacking, "past_key_values.2.value is missing"), (other, "has shape [1, 3, 4, 4]"),
                           (more, "7 tensors, but a prefix has 6")):
        write_tensors(path, tensors)
        box.refused(4, words, prefix=path)
    box.refused(4, "past_key_values.0.key is missing", prefix=GOLDEN / "model" / "model.safetensors")


def refused_input(box, tensors, *words):
    write_tensors(box.folder / "in.safetensors", tensors)
    done = box.start("forward", GOLDEN / "model", "--in", box.folder / "in.safetensors", "--out", box.folder / "o.safetensors",
                     *prefix_flags("lm"))
    told(done, 2, *words)


@case
def refused_inputs(box):
    past = read_tensors(GOLDEN / "lm_file" / "prefix.safetensors")
    refused_input(box, {"input_ids": ids(TOKENS), **past}, "past_key_values.0.key is given and model.prefix is loaded")
    refused_input(box, {"input_ids": ids(TOKENS), "position_ids": ids(range(8))}, "position_ids is given and model.prefix is loaded")
    refused_input(box, {"input_ids": ids(TOKENS), "token_type_ids": ids([1] * 8)}, "token_type_ids is given and model.prefix is loaded")
    refused_input(box, {"input_ids": ids(TOKENS), "attention_mask": ids([1] * 9)}, "attention_mask has shape [1, 9], needs [1, 8]")
    refused_input(box, {"input_ids": ids(TOKENS), "attention_mask": ids([1, 0] + [1] * 11)}, "hides position 1 of row 0")


@case
def refused_on_ranks(box):
    """Rank 0 tells it once, and no rank hangs."""
    if not box.mpiexec:
        sys.exit(77)
    adapter = box.adapter()
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_layers": 4}))
    done = box.start(GOLDEN / "model", "--prompt-ids", "3", "-n", 2, "--prefix", adapter, ranks=2)
    check(done.returncode != 0 and done.stderr.count("tfrun: ") == 1 and "num_layers = 4" in done.stderr, done.stderr)


@case
def refused_by_plan(box):
    done = box.start("plan", GOLDEN / "model", *prefix_flags("lm"))
    told(done, 2, "--prefix has no effect on `tfrun plan`")


def all_names():
    return [f"golden_{n}" for n in golden_names()] + list(cases) + [f"refused_config_{n}" for n in CONFIGS]


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(all_names()))
        return
    tfrun, name, source = sys.argv[1:4]
    mpiexec = sys.argv[4] if len(sys.argv) > 4 else None
    with tempfile.TemporaryDirectory() as folder:
        box = Box(tfrun, source, mpiexec, folder)
        if name in cases:
            cases[name](box)
        elif name.startswith("golden_"):
            golden(box, name[7:])
        else:
            refused_config(box, *CONFIGS[name[15:]])


if __name__ == "__main__":
    main()
