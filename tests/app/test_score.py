#!/usr/bin/env python3
"""test_score.py TFRUN NAME SOURCE_DIR: `tfrun eval` and `tfrun score` from outside: outputs, laws between them, and bad inputs.

`test_score.py --list` prints the names. Runs the demo model on a few hundred tokens. Python's own library only.
"""
import json
import math
import re
import signal
import subprocess
import sys
import time

from cases import SLOWER, case, expect, expect_same, main

USAGE, MODEL, RESOURCE, CHECK = 2, 4, 5, 6
TEXT = "Once upon a time there was a little girl who lived with her grandmother at the edge of a great forest."


def expect_near(have, want, tolerance=1e-9):
    expect(math.isclose(have, want, rel_tol=tolerance, abs_tol=tolerance), have, "is not near", want)


class Tfrun:
    """The program, the demo model, and a folder for the files of a case."""

    def __init__(self, program, source_dir, folder):
        self.program, self.folder = program, folder
        self.demo = source_dir.resolve() / "configs" / "demo"
        self.heldout = self.demo / "heldout.txt"

    def run(self, *arguments, stdin="", code=0):
        ran = subprocess.run([self.program, *map(str, arguments)], input=stdin.encode(), capture_output=True, timeout=250 * SLOWER)
        if ran.returncode != code:
            raise AssertionError(f"exit code {ran.returncode}, expected {code}: {ran.stderr.decode()}")
        return ran

    def refused(self, code, words, *arguments, stdin=""):
        ran = self.run(*arguments, stdin=stdin, code=code)
        message = ran.stderr.decode()
        expect(ran.stdout == b"", "stdout", ran.stdout)
        expect(message.startswith("tfrun: ") and message.count("\n") == 1, "not one line of tfrun:", message)
        expect(words in message, message, "lacks", words)

    def eval(self, *arguments, data=None, limit=400):
        return json.loads(self.run("eval", self.demo, "--data", data or self.heldout, "--limit", limit, "--json", *arguments).stdout)

    def score(self, text, *arguments):
        return json.loads(self.run("score", self.demo, "-p", text, "--per-token", "--json", *arguments).stdout)

    def lines(self, flag, records, *arguments):
        text = "".join(json.dumps(record) + "\n" for record in records)
        return [json.loads(line) for line in self.run("score", self.demo, flag, "-", *arguments, stdin=text).stdout.splitlines()]

    def pairs(self, *pairs, options=()):
        return self.lines("--pairs", [{"context": a, "continuation": b} for a, b in pairs], *options)

    def ids(self, text):
        return [int(word) for word in self.run("tokenize", self.demo, stdin=text).stdout.split()]

    def decode(self, ids):
        return self.run("tokenize", self.demo, "--decode", stdin=" ".join(map(str, ids))).stdout.decode()

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path


# ---- eval


@case
def eval_prints_its_measures(tfrun):
    text = tfrun.run("eval", tfrun.demo, "--data", tfrun.heldout, "--limit", 100, "--ctx", 64, "--stride", 32).stdout.decode()
    for word in ("perplexity", "+-", "bits per byte", "bits per token", "99 tokens", "stride 32"):
        expect(word in text, word, "is not in", text)


@case
def eval_numbers_fit_together(tfrun):
    result = tfrun.eval("--ctx", 64, "--stride", 32)
    expect_same(result["n_tokens"], 399)
    expect_same(result["n_windows"], 1 + math.ceil((400 - 64) / 32))
    expect_near(result["nll"], -result["logprob"] / 399)
    expect_near(result["perplexity"], math.exp(result["nll"]))
    expect_near(result["bits_per_token"], result["nll"] / math.log(2))
    expect_near(result["bits_per_byte"] * result["n_bytes"], result["bits_per_token"] * 399)
    expect_near(result["perplexity_error"], result["perplexity"] * result["nll_error"])
    expect(result["nll_error_windows"] > 0, result)


@case
def eval_error_is_that_of_the_tokens(tfrun):
    text = tfrun.heldout.read_text()[:400]
    data = tfrun.file("text", text)
    result = tfrun.eval("--ctx", 512, data=data, limit=0)
    nlls = [-token["logprob"] for token in tfrun.score(text)["tokens"]]
    mean = sum(nlls) / len(nlls)
    variance = sum((x - mean) ** 2 for x in nlls) / (len(nlls) - 1)
    expect_near(result["nll"], mean)
    expect_near(result["nll_error"], math.sqrt(variance / len(nlls)))
    expect_same(result["nll_error_windows"], 0)
    expect_same(result["n_bytes"], len(text.encode()) - len(tfrun.decode(tfrun.ids(text)[:1]).encode()))


@case
def eval_counts_each_token_once_for_any_stride(tfrun):
    for ctx, stride in ((8, 1), (8, 3), (8, 8), (61, 17), (100, 100), (511, 512 - 1), (512, 400)):
        for limit in (99, 100, 101):
            expect_same(tfrun.eval("--ctx", ctx, "--stride", stride, limit=limit)["n_tokens"], limit - 1)


@case
def eval_bos_counts_the_first_token_too(tfrun):
    expect_same(tfrun.eval("--bos", limit=50)["n_tokens"], 50)
    with_bos = tfrun.score(TEXT, "--bos")
    expect_near(with_bos["logprob"], tfrun.pairs(("", TEXT))[0]["logprob"])
    expect_same(with_bos["n_tokens"], tfrun.score(TEXT)["n_tokens"] + 1)
    expect_same(with_bos["n_bytes"], len(TEXT))


@case
def eval_with_stride_ctx_is_the_sum_of_windows_alone(tfrun):
    ids = tfrun.ids(tfrun.heldout.read_text())[:203]
    for ctx in range(40, 80):  # one where every window's text gives the window's tokens back
        ends = [*range(ctx, 203, ctx), 203]
        windows = [ids[max(end - 1, 0):stop] for end, stop in zip([1, *ends], ends)]
        texts = [tfrun.decode(window) for window in windows]
        if all(tfrun.ids(text) == window for text, window in zip(texts, windows)):
            break
    else:
        raise AssertionError("no window size cuts this text between words")
    alone = sum(tfrun.eval(data=tfrun.file("window", text), limit=0)["logprob"] for text in texts)
    whole = tfrun.eval("--ctx", ctx, "--stride", ctx, limit=203)
    expect_same(whole["n_windows"], len(windows))
    expect_near(whole["logprob"], alone, 1e-12)


@case
def more_context_for_each_token_is_a_smaller_perplexity(tfrun):
    values = [tfrun.eval("--ctx", 128, "--stride", stride, limit=600)["perplexity"] for stride in (128, 32)]
    alone = tfrun.eval("--ctx", 2, "--stride", 1, limit=600)["perplexity"]
    expect(values[1] < values[0] < alone, values, alone)


@case
def batch_rows_and_threads_do_not_change_a_bit(tfrun):
    def bits(*settings):
        result = tfrun.eval("--ctx", 48, "--stride", 20, limit=300, *settings)
        return {key: result[key] for key in ("logprob", "nll_error", "nll_error_windows", "accuracy")}

    want = bits()
    for settings in (["--max-rows", 7], ["--max-rows", 1], ["--max-batch", 1], ["--max-batch", 3, "--max-rows", 100], ["-t", 1], ["-t", 3]):
        expect_same(bits(*settings), want)


@case
def eval_of_int8_caches_is_near(tfrun):
    """A changed logit moves a token's -log p by at most twice its change, 0.2 by INT8_TOLERANCE of tests/model/test_golden.c;
    over n tokens with signs as they come the mean moves by that over the root of n. Seen: 0.00004 over the whole text."""
    f32, int8 = tfrun.eval("--ctx", 256), tfrun.eval("--ctx", 256, "--kv-dtype", "int8")
    expect(f32["nll"] != int8["nll"], "int8 changed nothing")
    expect(abs(f32["nll"] - int8["nll"]) < 2 * 0.2 / math.sqrt(399), f32["nll"], int8["nll"])


@case
def eval_of_caches_of_16_bits_is_near(tfrun):
    """As above, 0.1 by HALF_TOLERANCE."""
    f32 = tfrun.eval("--ctx", 256)
    for kind in "bf16", "f16":
        half = tfrun.eval("--ctx", 256, "--kv-dtype", kind)
        expect(f32["nll"] != half["nll"], kind + " changed nothing")
        expect(abs(f32["nll"] - half["nll"]) < 2 * 0.1 / math.sqrt(399), f32["nll"], half["nll"])


@case
def eval_of_coarse_types_with_attention_in_bf16_is_near(tfrun):
    """As above: keys, values, queries and probabilities are rounded to bf16 beside what the type rounds."""
    for kind in "int8", "int8w", "int4":
        exact, default = tfrun.eval("--ctx", 256, "--dtype", kind, "--kv-dtype", "f32"), tfrun.eval("--ctx", 256, "--dtype", kind)
        expect(exact["nll"] != default["nll"], kind + ": attention is not in bf16")
        expect(abs(exact["nll"] - default["nll"]) < 2 * 0.1 / math.sqrt(399), kind, exact["nll"], default["nll"])


@case
def eval_keeps_to_the_capacity(tfrun):
    expect_same(tfrun.eval("--kv-capacity", 128, "--kv-cache", "static")["ctx"], 128)
    expect_same(tfrun.eval("--kv-capacity", 128)["nll"], tfrun.eval("--ctx", 128)["nll"])


@case
def eval_reads_stdin_and_the_config(tfrun):
    text = tfrun.heldout.read_text()[:600]
    want = tfrun.eval(data=tfrun.file("text", text), limit=0)["logprob"]
    ran = tfrun.run("eval", tfrun.demo, "--data", "-", "--json", stdin=text)
    expect_same(json.loads(ran.stdout)["logprob"], want)
    ran = tfrun.run("eval", tfrun.demo, "--set", f"eval.data={tfrun.folder / 'text'}", "--json")
    expect_same(json.loads(ran.stdout)["logprob"], want)


@case
def eval_writes_a_file_once(tfrun):
    out = tfrun.folder / "result.json"
    arguments = ["eval", tfrun.demo, "--data", tfrun.heldout, "--limit", 20, "--json", "-o", out]
    expect_same(tfrun.run(*arguments).stdout, b"")
    expect_same(json.loads(out.read_text())["n_tokens"], 19)
    tfrun.refused(USAGE, "--force", *arguments)


@case
def eval_is_silent_when_short(tfrun):
    expect_same(tfrun.run("eval", tfrun.demo, "--data", tfrun.heldout, "--limit", 20).stderr, b"")


@case
def eval_expectation_decides_the_exit_code(tfrun):
    value = tfrun.eval(limit=50)["perplexity"]
    arguments = ["eval", tfrun.demo, "--data", tfrun.heldout, "--limit", 50]
    tfrun.run(*arguments, "--expect", value)
    tfrun.run(*arguments, "--expect", value + 1, "--tolerance", 1.01)
    ran = tfrun.run(*arguments, "--expect", value + 1, "--tolerance", 0.99, code=CHECK)
    expect(b"perplexity" in ran.stdout and b"is not" in ran.stderr, ran)
    tfrun.run(*arguments, "--expect", value + 0.002, code=CHECK)


@case
def an_interrupt_tells_what_was_measured(tfrun):
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen([tfrun.program, "eval", tfrun.demo, "--data", tfrun.heldout, "--stride", "1"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(3)
        process.send_signal(number)
        out, message = process.communicate(timeout=60 * SLOWER)
        expect_same((process.returncode, out), (128 + number, b""))
        expect(b"stopped on request" in message and re.search(rb"of the first \d+ tokens", message), message)


# ---- score


@case
def score_of_a_text_is_the_sum_of_its_tokens(tfrun):
    result = tfrun.score(TEXT)
    expect_same(len(result["tokens"]), result["n_tokens"])
    expect_near(result["logprob"], sum(token["logprob"] for token in result["tokens"]), 1e-12)
    expect(TEXT.endswith("".join(token["text"] for token in result["tokens"])), result["tokens"])
    for token in result["tokens"]:
        expect(token["logprob"] <= token["best_logprob"] <= 0, token)
        expect_same(token["is_greedy"], token["id"] == token["best_id"])
    expect_same(result["is_greedy"], all(token["is_greedy"] for token in result["tokens"]))


@case
def score_of_a_text_is_the_sum_of_its_pieces_with_context(tfrun):
    words = TEXT.split(" ")
    starts = [" ".join(words[:n]) for n in range(1, len(words) + 1)]
    pieces = [(a, b[len(a):]) for a, b in zip(starts, starts[1:])]
    scored = tfrun.pairs(*pieces, (words[0], TEXT[len(words[0]):]))
    expect_near(sum(piece["logprob"] for piece in scored[:-1]), scored[-1]["logprob"], 1e-12)
    expect_same(sum(piece["n_tokens"] for piece in scored[:-1]), scored[-1]["n_tokens"])


@case
def score_per_token_is_a_table(tfrun):
    lines = tfrun.run("score", tfrun.demo, "-p", "a\tlittle \"dog\"", "--per-token").stdout.decode().splitlines()
    expect(lines[0].startswith("#"), lines)
    expect("\\x09" in "".join(lines) and '\\"' in "".join(lines), lines)
    expect(lines[-1].startswith("logprob -"), lines)


@case
def score_without_a_flag_reads_stdin_not_the_prompt_of_the_config(tfrun):
    result = json.loads(tfrun.run("score", tfrun.demo, "--json", stdin=TEXT).stdout)
    expect_same(result["logprob"], tfrun.score(TEXT)["logprob"])
    expect("tokens" not in result, result)
    result = json.loads(tfrun.run("score", tfrun.demo, "--json", "-f", tfrun.file("text", TEXT)).stdout)
    expect_same(result["logprob"], tfrun.score(TEXT)["logprob"])


@case
def greedy_text_is_greedy(tfrun):
    prompt = "Once upon a time"
    made = json.loads(tfrun.run(tfrun.demo, "-p", prompt, "--temperature", 0, "-n", 6, "--ignore-eos", "--json").stdout)
    text = made["choices"][0]["text"]
    (pair,) = tfrun.pairs((prompt, text))
    if tfrun.ids(prompt + text)[-6:] == made["choices"][0]["ids"]:
        expect(pair["is_greedy"] and pair["n_tokens"] == 6, pair)
    (other,) = tfrun.pairs((prompt, text[:-1] + "Q"))
    expect(not other["is_greedy"] and other["logprob"] < pair["logprob"], other)


@case
def spaces_at_the_end_of_a_context_belong_to_the_continuation(tfrun):
    plain, moved, many = tfrun.pairs(("Once upon a", " time"), ("Once upon a ", "time"), ("Once upon a \n", " time"))
    expect_same(plain, moved)
    expect(many["n_tokens"] > plain["n_tokens"], many)


@case
def a_border_inside_a_token_is_cut_as_the_harness_does(tfrun):
    for cut in (1, 4, 5, 7, 8, 11, 12, 20, 43):
        context, rest = TEXT[:cut], TEXT[cut:]
        stripped = context.rstrip()
        count = len(tfrun.ids(TEXT)) - (len(tfrun.ids(stripped)) if stripped else 0)
        expect_same(tfrun.pairs((context, rest))[0]["n_tokens"], count)


@case
def pairs_do_not_depend_on_their_company(tfrun):
    pairs = [("Once upon a", " time there was"), ("", "The king"), (TEXT, " One morning"), ("The", " " + TEXT)]
    together = tfrun.pairs(*pairs)
    alone = [tfrun.pairs(pair)[0] for pair in pairs]
    expect_same(together, alone)
    expect_same(tfrun.pairs(*pairs, options=["--max-rows", 3, "--max-batch", 2]), alone)
    expect_same(tfrun.pairs(*pairs[::-1])[::-1], alone)


@case
def pairs_skip_blank_lines_and_other_members(tfrun):
    text = '\n{"id": 7, "context": "Once upon a", "continuation": " time"}\r\n   \n'
    lines = tfrun.run("score", tfrun.demo, "--pairs", "-", stdin=text).stdout.splitlines()
    expect_same([json.loads(line) for line in lines], tfrun.pairs(("Once upon a", " time")))


@case
def a_long_context_loses_its_start(tfrun):
    all_ids = tfrun.ids(tfrun.heldout.read_text())
    for total in range(550, 650):  # one where the texts give the tokens back
        ids, cut_at = all_ids[:total], total - 10
        context, tail, rest = tfrun.decode(ids[:cut_at]), tfrun.decode(ids[total - 513:cut_at]), tfrun.decode(ids[cut_at:])
        if tfrun.ids(tail) == ids[total - 513:cut_at] and tfrun.ids(context) == ids[:cut_at] and rest.startswith(" "):
            break
    cut, fits = tfrun.pairs((context, rest), (tail, rest))
    expect(cut.pop("truncated"), cut)
    expect_same(cut, fits)


@case
def choices_pick_the_likeliest(tfrun):
    records = [{"context": "Once upon a", "choices": [" time", " giraffe"], "answer": 0},
               {"context": "Once upon a", "choices": [" giraffe", " time"], "answer": 0}]
    first, second, last = tfrun.lines("--choices", records)
    pairs = tfrun.pairs(("Once upon a", " time"), ("Once upon a", " giraffe"))
    for choice, pair, size in zip(first["choices"], pairs, (5, 8)):
        expect_same(choice, {**pair, "n_bytes": size})
    by_bytes = [choice["logprob"] / choice["n_bytes"] for choice in first["choices"]]
    expect_same((first["best"], first["correct"]), (0, True))
    expect_same((second["best"], second["correct"]), (1, False))
    expect_same(first["best_by_bytes"], by_bytes.index(max(by_bytes)))
    summary = last["summary"]
    expect_same((summary["n"], summary["acc"], summary["acc_stderr"]), (2, 0.5, 0.5))
    expect_same(summary["acc_norm"], (first["correct_by_bytes"] + second["correct_by_bytes"]) / 2)


@case
def choices_by_bytes_may_differ(tfrun):
    records = [{"context": "Once upon a", "choices": [" time", " time there was a"], "answer": 1}]
    line, _ = tfrun.lines("--choices", records)
    expect_same(line["best"], 0)
    choices = [choice["logprob"] / choice["n_bytes"] for choice in line["choices"]]
    expect_same(line["best_by_bytes"], choices.index(max(choices)))


@case
def lines_go_to_a_file_whole(tfrun):
    out = tfrun.folder / "scores.jsonl"
    expect_same(tfrun.lines("--pairs", [{"context": "a", "continuation": " b"}] * 3, "-o", out), [])
    expect_same(out.read_text().count("\n"), 3)


# ---- bad inputs


@case
def missing_data_is_told(tfrun):
    tfrun.refused(RESOURCE, "nowhere.txt", "eval", tfrun.demo, "--data", tfrun.folder / "nowhere.txt")
    tfrun.refused(USAGE, "--data", "eval", tfrun.demo)
    tfrun.refused(RESOURCE, "nowhere.jsonl", "score", tfrun.demo, "--pairs", tfrun.folder / "nowhere.jsonl")


@case
def data_without_a_token_to_predict_is_refused(tfrun):
    tfrun.refused(MODEL, "0 tokens", "eval", tfrun.demo, "--data", tfrun.file("empty", ""))
    tfrun.refused(MODEL, "--bos", "eval", tfrun.demo, "--data", tfrun.file("one", "a"))
    tfrun.refused(MODEL, "at least one", "eval", tfrun.demo, "--bos", "--data", tfrun.file("empty", ""))
    tfrun.refused(MODEL, "1 tokens", "score", tfrun.demo, "-p", "a")
    tfrun.refused(MODEL, "holds no line", "score", tfrun.demo, "--pairs", tfrun.file("empty", "\n\n"))


@case
def windows_that_do_not_fit_are_refused(tfrun):
    data = ["eval", tfrun.demo, "--data", tfrun.heldout]
    tfrun.refused(USAGE, "n_positions = 512", *data, "--ctx", 513)
    tfrun.refused(USAGE, "--stride 64 or less", *data, "--ctx", 64, "--stride", 65)
    tfrun.refused(USAGE, "--ctx", *data, "--ctx", 1)
    tfrun.refused(USAGE, "--stride", *data, "--stride", "half")


@case
def expectations_are_numbers(tfrun):
    data = ["eval", tfrun.demo, "--data", tfrun.heldout]
    tfrun.refused(USAGE, "--expect", *data, "--expect", "ten")
    tfrun.refused(USAGE, "--tolerance", *data, "--expect", "10", "--tolerance", "-1")
    tfrun.refused(USAGE, "give --expect too", *data, "--tolerance", "1")


@case
def a_bad_line_is_named_by_number(tfrun):
    good = '{"context": "a", "continuation": " b"}\n'
    for bad, words in (('{"context": "a"', "line 3:1:"), ('{"context": "a"}', '"continuation" is missing'), ('[1]', "an object, not an array"),
                       ('{"context": 1, "continuation": "b"}', '"context" is missing or not a text'),
                       ('{"context": "a", "continuation": ""}', "adds no token"),
                       ('{"context": "a", "continuation": "%s"}' % (" word" * 600), "n_positions is 512")):
        name = tfrun.file("pairs.jsonl", good + "\n" + bad + "\n" + good)
        tfrun.refused(MODEL, words, "score", tfrun.demo, "--pairs", name)
        tfrun.refused(MODEL, "pairs.jsonl line 3", "score", tfrun.demo, "--pairs", name)


@case
def bad_choices_are_named_by_number(tfrun):
    for bad, words in (({"context": "a", "choices": [], "answer": 0}, '"choices"'), ({"context": "a", "choices": [" b", 1], "answer": 0}, "a number"),
                       ({"context": "a", "choices": [" b"], "answer": 1}, '"answer"'), ({"context": "a", "choices": [" b"]}, '"answer"'),
                       ({"choices": [" b"], "answer": 0}, '"context"')):
        name = tfrun.file("choices.jsonl", json.dumps(bad) + "\n")
        tfrun.refused(MODEL, words, "score", tfrun.demo, "--choices", name)
        tfrun.refused(MODEL, "choices.jsonl line 1", "score", tfrun.demo, "--choices", name)


@case
def flags_that_do_not_go_together_are_refused(tfrun):
    tfrun.refused(USAGE, "give one", "score", tfrun.demo, "--pairs", "a", "--choices", "b")
    tfrun.refused(USAGE, "--per-token", "score", tfrun.demo, "--pairs", "a", "--per-token")
    tfrun.refused(USAGE, "--temperature has no effect", "eval", tfrun.demo, "--data", tfrun.heldout, "--temperature", 1)
    tfrun.refused(USAGE, "--data has no effect", "score", tfrun.demo, "--data", tfrun.heldout)


@case
def bos_needs_an_id_in_the_config(tfrun):
    config = json.loads((tfrun.demo / "config.json").read_text())
    config["bos_token_id"] = None
    config["tfrun"]["model"] = {"weights": str(tfrun.demo / "model.safetensors"), "tokenizer": str(tfrun.demo)}
    path = tfrun.file("config.json", json.dumps(config))
    tfrun.refused(USAGE, "bos_token_id", "eval", path, "--trust", tfrun.demo, "--data", tfrun.heldout, "--bos", "--limit", 10)
    tfrun.refused(USAGE, "line 1", "score", path, "--trust", tfrun.demo, "--pairs", tfrun.file("p.jsonl", '{"context": "", "continuation": "b"}'))


if __name__ == "__main__":
    sys.exit(main(Tfrun))
