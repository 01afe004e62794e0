#!/usr/bin/env python3
"""Saved caches from outside: test_cache.py TFRUN NAME SOURCE [MPIEXEC], test_cache.py --list.

A run that loads a cache must give the bits of one that does not; the file must not depend on ranks; every cache that does not fit is
refused with its sentence. Standard library only.
"""
import json
import pathlib
import shutil
import sys
import tempfile

from test_forward import check, ids, read_tensors, write_tensors
from test_prefix import Box as PrefixBox, told

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "model" / "golden"
PROMPT = [9, 8, 7, 60, 5, 4, 3, 2, 1, 0, 33, 12]
MODEL = GOLDEN / "layers_5"
cases = {}


def case(function):
    cases[function.__name__] = function
    return function


class Box(PrefixBox):
    @property
    def file(self):
        return self.folder / "cache.safetensors"

    def run(self, prompt, *flags, n=10, model=MODEL, ranks=1):
        return json.loads(self.ok(model, "--prompt-ids", ",".join(map(str, prompt)), "-n", n, "--ignore-eos", "--json", "-q", *flags, ranks=ranks))

    def save(self, prompt=PROMPT, *flags, **more):
        return self.run(prompt, "--cache-save", self.file, *flags, **more)

    def load(self, prompt=PROMPT, *flags, **more):
        return self.run(prompt, "--cache-load", self.file, *flags, **more)

    def refused(self, code, *words, flags=(), model=MODEL):
        done = self.start(model, "--prompt-ids", "9,8,7,60", "-n", 2, *(flags or ("--cache-load", self.file)))
        told(done, code, *words)


def same_text(a, b, what):
    check([c["ids"] for c in a["choices"]] == [c["ids"] for c in b["choices"]], f"{what}: other ids")
    check(a["logits_digest"] == b["logits_digest"], f"{what}: other bits")


def cached(run):
    return run["stats"]["cached_tokens"]


def raw(path):
    """Header and body of a safetensors file."""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8:8 + size]), data[8 + size:]


def write_raw(path, header, body):
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + body)


# ---- what is in the file, what comes out of it

@case
def file_is_what_it_says(box):
    run = box.save(n=5)
    header, _ = raw(box.file)
    notes = header["__metadata__"]
    check((notes["kind"], notes["layout"], notes["dtype"]) == ("tfrun-cache", "1", "f32") and len(notes["model"]) == 16, notes)
    tensors = read_tensors(box.file)
    fed = PROMPT + run["choices"][0]["ids"][:-1]
    check(tensors["input_ids"][:2] == ("I64", [16]) and list(tensors["input_ids"][2]) == fed, tensors["input_ids"])
    check(len(tensors) == 12 and tensors["digest"][:2] == ("I64", [1]) and tensors["past_key_values.4.value"][1][2] == 16, "not key and value of every block")
    box.ok("forward", MODEL, "--in", request(box, fed), "--out", box.folder / "o", "--use-cache")
    past = {name: t for name, t in read_tensors(box.folder / "o").items() if name.startswith("past_")}
    del tensors["input_ids"], tensors["digest"]
    check({n: bytes(t[2]) for n, t in past.items()} == {n: bytes(t[2]) for n, t in tensors.items()}, "not the bits of tfrun forward --use-cache")


def request(box, tokens):
    write_tensors(box.folder / "in", {"input_ids": ids(tokens)})
    return box.folder / "in"


@case
def a_loaded_cache_changes_no_bit(box):
    saved, plain = box.save(), box.run(PROMPT)
    same_text(saved, plain, "saving")
    same_text(box.load(), plain, "loading")
    check((cached(box.load()), cached(plain)) == (11, 0), "all of the prompt but its last token comes from the cache")
    same_text(box.load(n=16), box.run(PROMPT, n=16), "going on for longer")


@case
def the_longest_common_beginning_counts(box):
    text = box.save()["choices"][0]["ids"]
    for prompt, n in ((PROMPT[:5], 4), (PROMPT + text[:4], 15), (PROMPT + text[:9] + [3, 3], 21), (PROMPT[:6] + [50, 51, 52], 6), (PROMPT[:1], 0)):
        got = box.load(prompt)
        check(cached(got) == n, f"{prompt}: {cached(got)} cached tokens, needs {n}")
        same_text(got, box.run(prompt), f"prompt {prompt}")


@case
def another_beginning_takes_nothing(box):
    box.save()
    done = box.start(MODEL, "--prompt-ids", "1,8,7", "-n", 2, "--json", "--set", "output.stats=off", "--cache-load", box.file)
    check(done.returncode == 0 and "nothing is taken from it" in done.stderr and cached(json.loads(done.stdout)) == 0, done.stderr)


@case
def statistics_tell_it(box):
    box.save()
    flags = ["--prompt-ids", ",".join(map(str, PROMPT)), "-n", 2, "--ignore-eos"]
    check("prompt 12 tok (11 cached) " in box.start(MODEL, *flags, "--cache-load", box.file).stderr, "not in the line of statistics")
    check("cached" not in box.start(MODEL, *flags).stderr, "cached tokens without a cache")


@case
def several_prompts_take_each_its_own(box):
    demo = box.demo
    box.ok(demo, "-p", "Once upon a time there was a king", "-n", 8, "-q", "--temperature", 0, "--cache-save", box.file)
    prompts = ["--set", "input.prompts=Once upon a time there was a king", "--set", "input.prompts=Once upon a time he",
               "--set", "input.prompts=The"]
    flags = ["-n", 8, "--json", "-q", "--temperature", 0, *prompts]
    plain, loaded = (json.loads(box.ok(demo, *flags, *more)) for more in ([], ["--cache-load", box.file]))
    same_text(plain, loaded, "several prompts")
    n = len(plain["choices"][0]["prompt_ids"]) - 1
    check(n < cached(loaded) < 2 * n, f"{cached(loaded)} cached tokens of {n + 1} and some")


@case
def every_way_to_generate_takes_it(box):
    box.save()
    for flags in (["--num-beams", 3], ["--num-beams", 4, "--num-return-sequences", 2], ["--prompt-lookup", 4],
                  ["--temperature", 2, "--num-return-sequences", 3, "--seed", 5], ["--temperature", 1.5, "--seed", 2],
                  ["--assistant", GOLDEN / "base"], ["--set", "runtime.max_rows=3"], ["--threads", 1]):
        plain, loaded = box.run(PROMPT, *flags), box.load(PROMPT, *flags)
        same_text(plain, loaded, flags)
        check(cached(loaded) == 11, f"{flags}: {cached(loaded)} cached tokens")


@case
def every_way_to_generate_saves(box):
    for flags, length in ((["--num-beams", 3, "--num-return-sequences", 2], 12), (["--prompt-lookup", 4], 21), (["--assistant", GOLDEN / "base"], 21),
                          (["--temperature", 2, "--num-return-sequences", 20, "--seed", 5], 21)):
        same_text(box.save(PROMPT, "--force", *flags), box.run(PROMPT, *flags), flags)
        n = read_tensors(box.file)["input_ids"][1][0]
        check(n == length, f"{flags}: {n} tokens saved, needs {length}")
        same_text(box.load(), box.run(PROMPT), f"loading what {flags} saved")


@case
def a_prompt_alone_is_saved(box):
    box.save(n=0)
    check(list(read_tensors(box.file)["input_ids"][2]) == PROMPT, "not the prompt")
    same_text(box.load(), box.run(PROMPT), "loading a prompt")
    got = box.load(PROMPT, "--cache-save", box.file, "--force", n=0)
    check(cached(got) == 11 and list(read_tensors(box.file)["input_ids"][2]) == PROMPT, "saving what was loaded")


@case
def a_conversation_goes_on(box):
    """Each turn loads what the one before saved and saves itself."""
    text = PROMPT[:4]
    for turn in range(4):
        flags = ["--cache-load", box.file] if turn > 0 else []
        got = box.run(text, *flags, "--cache-save", box.file, "--force", n=3)
        same_text(got, box.run(text, n=3), f"turn {turn}")
        check(cached(got) == (len(text) - 3 if turn > 0 else 0), f"turn {turn}: {cached(got)} cached tokens of {len(text)}")
        text = text + got["choices"][0]["ids"] + [turn, 40 + turn]


@case
def bf16_and_prefix(box):
    box.save(PROMPT, "--dtype", "bf16")
    same_text(box.load(PROMPT, "--dtype", "bf16"), box.run(PROMPT, "--dtype", "bf16"), "bf16")
    model, prefix = GOLDEN / "prefix" / "model", ["--prefix", GOLDEN / "prefix" / "lm" / "adapter"]
    box.save(PROMPT, "--force", *prefix, model=model)
    check(read_tensors(box.file)["past_key_values.0.key"][1] == [1, 3, 21, 4], "the prefix is in the file")
    plain, loaded = box.run(PROMPT, *prefix, model=model), box.load(PROMPT, *prefix, model=model)
    same_text(plain, loaded, "behind a prefix")
    check(cached(loaded) == 11, "cached tokens behind a prefix")
    for other in ([], ["--prefix", GOLDEN / "prefix" / "lm_projected" / "adapter"]):
        box.refused(4, "another model or prefix", flags=["--cache-load", box.file, *other], model=model)


@case
def int8_and_static(box):
    box.save(PROMPT, "--kv-dtype", "int8")
    plain = box.run(PROMPT, "--kv-dtype", "int8")
    same_text(box.load(PROMPT, "--kv-dtype", "int8"), plain, "int8")
    same_text(box.load(PROMPT, "--kv-dtype", "int8", "--kv-cache", "static"), plain, "a static cache of int8")
    box.refused(4, "another runtime.kv_dtype", "kv is int8, needs f32", flags=("--cache-load", box.file))


@case
def caches_of_16_bits(box):
    for flags in (["--kv-dtype", "f16"], ["--kv-dtype", "bf16"], ["--dtype", "bf16"], ["--dtype", "int8"]):
        box.save(PROMPT, *flags)
        same_text(box.load(PROMPT, *flags), box.run(PROMPT, *flags), flags)
        box.file.unlink()
    box.save(PROMPT, "--dtype", "bf16")  # auto: its caches are bf16
    box.refused(4, "another runtime.kv_dtype", "kv is bf16, needs f32", flags=("--cache-load", box.file, "--dtype", "bf16", "--kv-dtype", "f32"))


@case
def ranks_save_and_load_the_same(box):
    if not box.mpiexec:
        sys.exit(77)
    box.save()
    alone = box.file.read_bytes()
    for ranks in (2, 3):
        same_text(box.load(ranks=ranks), box.run(PROMPT), f"a file of one rank on {ranks}")
        box.save(PROMPT, "--force", ranks=ranks)
        check(box.file.read_bytes() == alone, f"{ranks} ranks save another file")
        same_text(box.load(), box.run(PROMPT), f"a file of {ranks} ranks on one")
    prefix = ["--prefix", GOLDEN / "prefix" / "lm" / "adapter"]
    model = GOLDEN / "prefix" / "model"
    box.save(PROMPT, "--force", *prefix, model=model)
    same_text(box.load(PROMPT, *prefix, model=model, ranks=3), box.run(PROMPT, *prefix, model=model), "with a prefix on 3 ranks")
    box.refused(4, "was saved with other sums", "sums is plain, needs by-head", flags=("--cache-load", box.file, "--sums", "by-head", *prefix),
                model=model)
    box.save(PROMPT, "--force", "--sums", "by-head", *prefix, model=model)
    alone = box.file.read_bytes()
    whole = box.run(PROMPT, "--sums", "by-head", *prefix, model=model)
    same_text(box.load(PROMPT, "--tensor", 3, *prefix, model=model, ranks=3), whole, "with a prefix on 3 shards")
    box.save(PROMPT, "--force", "--tensor", 3, *prefix, model=model, ranks=3)
    check(box.file.read_bytes() == alone, "3 shards save another file")


@case
def a_resharded_model_is_the_same(box):
    """Names, shapes and bytes count, not the order of the file."""
    model = box.folder / "model"
    shutil.copytree(MODEL, model)
    box.save(model=model)
    tensors = read_tensors(model / "model.safetensors")
    write_tensors(model / "model.safetensors", dict(reversed([(n, (d, s, bytes(v))) for n, (d, s, v) in tensors.items()])))
    check(cached(box.load(model=model)) == 11, "tensors in another order")


# ---- refusals

@case
def refused_existing_file(box):
    box.save()
    before = box.file.read_bytes()
    box.refused(2, "exists; pass --force", flags=("--cache-save", box.file))
    check(box.file.read_bytes() == before, "the file was changed")
    box.refused(5, "its folder", "is missing", flags=("--cache-save", box.folder / "none" / "c"))
    box.refused(5, "is a folder", flags=("--cache-save", box.folder))


@case
def refused_several_prompts_to_save(box):
    done = box.start(box.demo, "--set", "input.prompts=a", "--set", "input.prompts=b", "--cache-save", box.file)
    told(done, 2, "output.cache_save keeps one sequence and there are 2 prompts")
    check(not box.file.exists(), "a file was written")


@case
def refused_other_model(box):
    model = box.folder / "model"
    shutil.copytree(MODEL, model)
    box.save()
    box.refused(4, "another model", model=GOLDEN / "base")
    data = bytearray((model / "model.safetensors").read_bytes())
    data[-2] ^= 1
    (model / "model.safetensors").write_bytes(data)
    box.refused(4, "another model or prefix", model=model)
    shutil.copy(MODEL / "model.safetensors", model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "layer_norm_epsilon": 1e-6}))
    box.refused(4, "another model or prefix", model=model)


@case
def refused_other_dtype(box):
    box.save()
    box.refused(4, "another runtime.dtype", "dtype is f32, needs bf16", flags=("--cache-load", box.file, "--dtype", "bf16"))


@case
def refused_other_rounding(box):
    """Of int4 what it is rounded by belongs to its type: keys of other weights are other keys."""
    box.save(PROMPT, "--dtype", "int4")
    same_text(box.load(PROMPT, "--dtype", "int4"), box.run(PROMPT, "--dtype", "int4"), "int4")
    for flags, needs in ((["--group", "64"], "needs int4 group 64"), (["--zero-point"], "needs int4 zero-point"),
                         (["--finer", "h.0.*"], "needs int4 finer ")):
        box.refused(4, "other roundings of int4", f"dtype is int4, {needs}", flags=("--cache-load", box.file, "--dtype", "int4", *flags))
        box.save(PROMPT, "--dtype", "int4", *flags, "--force")
        box.load(PROMPT, "--dtype", "int4", *flags)
        box.save(PROMPT, "--dtype", "int4", "--force")


def spoiled(box, change):
    box.save(PROMPT, "--force")
    header, body = raw(box.file)
    body = change(header, bytearray(body)) or body
    write_raw(box.file, header, bytes(body))


@case
def refused_other_layout(box):
    spoiled(box, lambda header, body: header["__metadata__"].update(layout="2"))
    box.refused(4, "layout of another version", "layout is 2, needs 1")


@case
def refused_no_cache(box):
    box.refused(4, "is no cache that tfrun saved", "kind is missing", flags=("--cache-load", MODEL / "model.safetensors"))
    box.refused(5, "nowhere", flags=("--cache-load", box.folder / "nowhere"))
    box.refused(5, "folder", flags=("--cache-load", box.folder))


@case
def refused_truncated(box):
    box.save()
    data = box.file.read_bytes()
    for n in (len(data) - 1, len(data) // 2, 100, 3):
        box.file.write_bytes(data[:n])
        box.refused(4, "cache.safetensors", "fetch it again" if n > 7 else "too few")


@case
def refused_changed_bytes(box):
    box.save()
    data = bytearray(box.file.read_bytes())
    for at in (len(data) - 100, len(data) - 1):  # a value, the digest
        data[at] ^= 1
        box.file.write_bytes(data)
        box.refused(4, "cache.safetensors", "not those that were saved")
        data[at] ^= 1


@case
def refused_without_a_token_to_generate(box):
    box.refused(5, "No such file", flags=("--cache-load", box.folder / "none", "-n", "0"))


@case
def refused_ids_outside(box):
    def change(header, body):
        begin = header["input_ids"]["data_offsets"][0]
        body[begin + 16:begin + 24] = (61).to_bytes(8, "little")
        return body
    spoiled(box, change)
    box.refused(4, "input_ids: 61 at position 2 is outside 0..60")


@case
def refused_missing_tensor(box):
    def rename(header, body):
        header["past_key_values.9.key"] = header.pop("past_key_values.3.key")
    spoiled(box, rename)
    box.refused(4, "past_key_values.3.key is missing")

    def reshape(header, body):
        header["past_key_values.3.key"]["shape"] = list(reversed(header["past_key_values.3.key"]["shape"]))
    spoiled(box, reshape)
    box.refused(4, "past_key_values.3.key is F32 [", "the file is damaged")


@case
def nothing_is_saved_by_a_run_that_fails(box):
    done = box.start(MODEL, "--prompt-ids", "9,8,99", "-n", 2, "--cache-save", box.file)
    check(done.returncode == 2 and not box.file.exists() and not list(box.folder.iterdir()), done.stderr)


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(cases))
        return
    tfrun, name, source = sys.argv[1:4]
    mpiexec = sys.argv[4] if len(sys.argv) > 4 else None
    with tempfile.TemporaryDirectory() as folder:
        cases[name](Box(tfrun, source, mpiexec, folder))


if __name__ == "__main__":
    main()
