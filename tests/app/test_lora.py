#!/usr/bin/env python3
"""LoRA adapters from outside: test_lora.py TFRUN NAME SOURCE [MPIEXEC], test_lora.py --list.

Golden cases (tests/model/golden/lora, written by scripts/make_lora_golden.py): the logits that PEFT computes. Beside them laws, and every
refused adapter with its sentence. Standard library only.
"""
import json
import math
import pathlib
import shutil
import subprocess
import sys

from cases import CASES, SLOWER, case, expect, expect_same, main
from tensors import read_tensors, write_tensors

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "model" / "golden" / "lora"
WANTED = json.loads((GOLDEN / "cases.json").read_text())
TOLERANCE = 1e-4
PROMPT = ["--prompt-ids", "1,5,22", "-n", "6", "--ignore-eos", "--json", "-q"]


class Box:
    def __init__(self, tfrun, source, folder):
        self.tfrun, self.folder = tfrun, folder
        self.mpiexec = sys.argv[4] if len(sys.argv) > 4 else None
        self.request = folder / "in.safetensors"
        ids = WANTED["ids"]
        write_tensors(self.request, {"input_ids": ("I64", [len(ids), len(ids[0])], [i for row in ids for i in row])})

    def start(self, *words, ranks=1):
        command = [self.tfrun, *map(str, words)]
        command = [self.mpiexec, "-n", str(ranks), *command] if ranks > 1 else command
        return subprocess.run(command, capture_output=True, text=True, timeout=250 * SLOWER)

    def logits(self, model, *words):
        reply = self.folder / "out.safetensors"
        done = self.start("forward", model, "--in", self.request, "--out", reply, "--force", *words)
        expect(done.returncode == 0, done.stderr)
        return list(read_tensors(reply)["logits"][2])

    def digest(self, model, *words, ranks=1):
        done = self.start(model, *PROMPT, *words, ranks=ranks)
        expect(done.returncode == 0, done.stderr)
        return json.loads(done.stdout)["logits_digest"]

    def beside(self, model="f32", adapter="all", base=None):
        """A model folder with an adapter in it."""
        folder = self.folder / "beside"
        shutil.copytree(GOLDEN / "models" / model, folder)
        shutil.copytree(GOLDEN / adapter, folder, dirs_exist_ok=True)
        self.configure(folder, base_model_name_or_path=base)
        return folder

    def adapter(self, source="all", **keys):
        folder = self.folder / "adapter"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(GOLDEN / source, folder)
        self.configure(folder, **keys)
        return folder

    def configure(self, folder, **keys):
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))

    def tensors(self, folder, change):
        """The adapter's tensors, changed by a function of the dict."""
        path = folder / "adapter_model.safetensors"
        write_tensors(path, change(read_tensors(path)))

    def told(self, done, code, *words):
        expect(done.returncode == code, f"exit code {done.returncode}, needs {code}: {done.stderr}")
        expect(done.stdout == "" and done.stderr.count("\n") == 1, f"not one line: {done.stderr}")
        for word in words:
            expect(word in done.stderr, f'"{done.stderr.strip()}" lacks "{word}"')

    def refused(self, adapter, code, *words, model="f32", flag="--adapter"):
        self.told(self.start(GOLDEN / "models" / model, *PROMPT, flag, adapter), code, *words)


def distance(have, want):
    expect(len(have) == len(want), len(have), "numbers, not", len(want))
    return max(abs(a - b) for a, b in zip(have, want))


def as_peft(name):
    def run(box):
        wanted = WANTED["cases"][name]
        model = GOLDEN / "models" / wanted["model"]
        far = distance(box.logits(model, "--adapter", GOLDEN / name), wanted["logits"])
        expect(far < TOLERANCE, f"off by {far}")
        expect(wanted["changes"] > 1, "the adapter should change something")
    return run


for name in WANTED["cases"]:
    CASES[f"golden_{name}"] = as_peft(name)


@case
def beside_the_weights_it_merges_by_itself(box):
    folder = box.beside()
    expect(distance(box.logits(folder), WANTED["cases"]["all"]["logits"]) < TOLERANCE)
    expect_same(box.digest(folder), box.digest(GOLDEN / "models" / "f32", "--adapter", GOLDEN / "all"))


@case
def beside_the_weights_it_can_be_left(box):
    folder = box.beside()
    expect_same(box.digest(folder, "--adapter-beside", "ignore"), box.digest(GOLDEN / "models" / "f32"))
    expect(box.digest(folder) != box.digest(GOLDEN / "models" / "f32"), "nothing was merged")


@case
def beside_the_weights_another_may_be_named(box):
    folder = box.beside()
    expect_same(box.digest(folder, "--adapter", GOLDEN / "rslora"),
                box.digest(GOLDEN / "models" / "f32", "--adapter", GOLDEN / "rslora"))


@case
def beside_the_weights_of_another_model_it_is_told(box):
    folder = box.beside(base="gpt2-of-others")
    done = box.start(folder, *PROMPT[:-1])
    expect(done.returncode == 0 and "it names gpt2-of-others" in done.stderr, done.stderr)
    expect("it names" not in box.start(box.folder / "beside", *PROMPT[:-1], "--adapter-beside", "ignore").stderr, "nothing to tell")
    for base, is_told in (("someone/side", True), ("someone/gpt2/", True), ("someone/beside", False), ("someone/beside/", False)):
        box.configure(folder, base_model_name_or_path=base)
        done = box.start(folder, *PROMPT[:-1])
        expect(done.returncode == 0 and (f"it names {base}" in done.stderr) == is_told, base, done.stderr)


@case
def beside_the_weights_of_another_folder_it_is_refused(box):
    other = GOLDEN / "models" / "f16"
    folder = box.beside(base=str(other))
    box.told(box.start(folder, *PROMPT, "--trust", other), 4, "is for the model in", "models/f16 --adapter", "--adapter-beside ignore")


@case
def beside_the_weights_of_a_folder_without_some_it_is_refused(box):
    """Damaged ones are others; a file that can't be opened is none to compare with, which is another refusal."""
    other = box.folder / "other"
    folder = box.beside(base=str(other))
    other.mkdir()
    flags = (*PROMPT, "--trust", other)
    for bytes_ in (None, b"", b"no safetensors"):
        if bytes_ is not None:
            (other / "model.safetensors").write_bytes(bytes_)
        done = box.start(folder, *flags)
        box.told(done, 4, f"{folder}: the adapter here is for the model in", f"--adapter {folder}", "--adapter-beside ignore")
    (other / "model.safetensors").unlink()
    (other / "model.safetensors").symlink_to("model.safetensors")
    done = box.start(folder, *flags)
    box.told(done, 5, f"{folder}: the adapter here names the model in", "can't be compared", f"--adapter {folder}", "--adapter-beside ignore",
             "cannot open")


@case
def beside_a_copy_of_the_weights_it_merges(box):
    """The folder that the adapter names is here, and holds the same weights: whole folders are copied."""
    original = GOLDEN / "models" / "f32"
    folder = box.beside(base=str(original))
    expect_same(box.digest(folder, "--trust", original), box.digest(GOLDEN / "models" / "f32", "--adapter", GOLDEN / "all"))


@case
def a_folder_that_it_names_elsewhere_is_not_read(box):
    original = box.folder / "original"
    shutil.copytree(GOLDEN / "models" / "f32", original)
    folder = box.beside(base=str(original))
    wanted = box.digest(GOLDEN / "models" / "f32", "--adapter", GOLDEN / "all")
    box.told(box.start(folder, *PROMPT), 3, "is not read for it", f"--trust {original}", f"--adapter {folder}")
    expect_same(box.digest(folder, "--adapter", folder), wanted)
    expect_same(box.digest(folder, "--trust", original), wanted)
    expect_same(box.digest(folder, "--trust", folder), wanted)
    shutil.move(original, folder / "original")
    (box.folder / "link").symlink_to(folder / "original")
    box.configure(folder, base_model_name_or_path=str(box.folder / "link"))
    expect_same(box.digest(folder), wanted)


@case
def beside_the_weights_other_kinds_are_refused(box):
    folder = box.beside()
    for kind, words in (("IA3", "merge_and_unload()"), ("PREFIX_TUNING", "--prefix"), ("PROMPT_TUNING", "inputs_embeds")):
        box.configure(folder, peft_type=kind)
        box.told(box.start(folder, *PROMPT), 4, "an adapter lies beside the weights", f"peft_type = {kind}", words)
    expect_same(box.digest(folder, "--adapter-beside", "ignore"), box.digest(GOLDEN / "models" / "f32"))


@case
def the_config_may_name_it(box):
    folder = box.folder / "model"
    shutil.copytree(GOLDEN / "models" / "f32", folder)
    shutil.copytree(GOLDEN / "all", folder / "lora")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "tfrun": {"model": {"adapter": "lora"}}}))
    expect_same(box.digest(folder), box.digest(GOLDEN / "models" / "f32", "--adapter", GOLDEN / "all"))


@case
def check_tells_of_it(box):
    found = json.loads(box.start("check", GOLDEN / "models" / "f32", "--adapter", GOLDEN / "all", "--json").stdout)
    entry = next(f for f in found["other"] if f["name"] == "adapter")
    expect(entry["status"] == "honoured" and entry["reason"].startswith("merged into 8 tensors"), entry)
    found = json.loads(box.start("check", box.beside(), "--json").stdout)
    expect(any(f["name"] == "adapter" and f["status"] == "honoured" for f in found["other"]), found["other"])
    adapter = box.adapter(use_dora=True)
    found = json.loads(box.start("check", GOLDEN / "models" / "f32", "--adapter", adapter, "--json").stdout)
    expect(any(f["name"] == "adapter" and f["status"] == "refused" and "DoRA" in f["reason"] for f in found["other"]), found["other"])


@case
def check_finds_the_head_in_it(box):
    done = box.start("check", GOLDEN / "models" / "classes_new_head", "--adapter", GOLDEN / "classes_new_head", "--json")
    expect(done.returncode == 0, done.stdout)
    box.told(box.start("forward", GOLDEN / "models" / "classes_new_head", "--in", box.request, "--out", box.folder / "o"), 4,
             "score.weight", "is missing")


@case
def a_product_of_zeros_changes_no_bit(box):
    adapter = box.adapter()
    box.tensors(adapter, lambda tensors: {n: (d, s, [0.0] * len(v) if "lora_B" in n else v) for n, (d, s, v) in tensors.items()})
    expect_same(box.digest(GOLDEN / "models" / "f32", "--adapter", adapter), box.digest(GOLDEN / "models" / "f32"))


@case
def names_without_a_front_are_read(box):
    """As transformers' load_adapter takes them."""
    adapter = box.adapter()
    box.tensors(adapter, lambda tensors: {n.removeprefix("base_model.model."): t for n, t in tensors.items()})
    expect_same(box.digest(GOLDEN / "models" / "f32", "--adapter", adapter),
                box.digest(GOLDEN / "models" / "f32", "--adapter", GOLDEN / "all"))


@case
def it_merges_into_any_form_of_a_checkpoint(box):
    """Sharded, bare names, from torch.save: the merge asks for parameters, not for names of a file."""
    model = box.folder / "bare"
    shutil.copytree(GOLDEN / "models" / "f32", model)
    path = model / "model.safetensors"
    write_tensors(path, {n.removeprefix("transformer."): t for n, t in read_tensors(path).items()})
    expect_same(box.digest(model, "--adapter", GOLDEN / "embedding"),
                box.digest(GOLDEN / "models" / "f32", "--adapter", GOLDEN / "embedding"))


@case
def saved_caches_belong_to_the_merged_model(box):
    cache = box.folder / "cache"
    model = [GOLDEN / "models" / "f32", "--prompt-ids", "1,5,22,3,4,5", "-n", "1", "--ignore-eos", "--json", "-q"]
    expect(box.start(*model, "--adapter", GOLDEN / "all", "--cache-save", cache).returncode == 0, "not saved")
    expect(box.start(*model, "--adapter", GOLDEN / "all", "--cache-load", cache).returncode == 0, "not loaded")
    for words in ([], ["--adapter", GOLDEN / "rslora"]):
        done = box.start(*model, *words, "--cache-load", cache)
        expect(done.returncode == 4 and "cache" in done.stderr, done.stderr)


@case
def ranks_merge_alike(box):
    if box.mpiexec is None:
        sys.exit(77)
    for name in ("all", "embedding", "bf16"):
        model = GOLDEN / "models" / WANTED["cases"][name]["model"]
        expect_same(box.digest(model, "--adapter", GOLDEN / name, ranks=2), box.digest(model, "--adapter", GOLDEN / name))


@case
def refused_kinds_by_name(box):
    for kind in ("IA3", "ADALORA", "LOHA", "LOKR", "VERA", "XLORA", "SOMETHING_NEW"):
        box.refused(box.adapter(peft_type=kind), 4, f"peft_type = {kind}", "merge_and_unload()")
    box.refused(box.adapter(peft_type="PREFIX_TUNING"), 4, "a prefix", "--prefix")
    box.refused(box.adapter(peft_type="LORA"), 4, "peft_type = LORA, a LoRA adapter", "--adapter", flag="--prefix")


@case
def refused_variants_by_name(box):
    for key, value, word in (("use_dora", True, "DoRA"), ("use_qalora", True, "QALoRA"), ("layer_replication", [[0, 2]], "more blocks"),
                             ("alora_invocation_tokens", [1, 2], "activated LoRA"), ("target_parameters", ["w"], "single parameters"),
                             ("trainable_token_indices", [3], "single rows"), ("init_lora_weights", "pissa", "pissa"),
                             ("init_lora_weights", "olora", "olora"), ("something_new", 3, "something_new")):
        box.refused(box.adapter(**{key: value}), 4, "adapter_config.json", word)


@case
def empty_keys_of_later_releases_are_taken(box):
    adapter = box.adapter(something_new=None, something_else=False, more={}, init_lora_weights="gaussian")
    expect_same(box.digest(GOLDEN / "models" / "f32", "--adapter", adapter),
                box.digest(GOLDEN / "models" / "f32", "--adapter", GOLDEN / "all"))


@case
def refused_numbers(box):
    box.refused(box.adapter(r=0), 4, "r must be a whole number from 1")
    box.refused(box.adapter(lora_alpha="8"), 4, "lora_alpha must be a number")
    box.refused(box.adapter(r=3), 4, "has shape [4, 8]", "say [3, 8]")
    box.refused(box.adapter(rank_pattern={"c_fc": 2.5}), 4, "the rank 2.5")


@case
def refused_flags_that_are_none(box):
    for value in ("true", 1, {"a": 1}):
        box.refused(box.adapter(use_rslora=value), 4, "use_rslora must be true or false")


@case
def refused_patterns(box):
    for pattern in ("c_attn{1}", "(?=c_)c_attn", r"c_\s", "c_attn*+", "c_attn" + "." * 512):
        box.refused(box.adapter(alpha_pattern={pattern: 3}), 4, "alpha_pattern has a pattern", "write the modules out")
    box.refused(box.adapter(target_modules="c_(attn"), 4, "target_modules has a pattern", "that is none")


@case
def patterns_that_others_compile_for_ever_cost_nothing(box):
    """As in a stranger's config; they match no module."""
    model = GOLDEN / "models" / "f32"
    want = box.digest(model, "--adapter", box.adapter())
    hard = ["(.*)*" * 60, "(" * 100 + "a" + "*)" * 100, "(" * 40 + "a" + "+)" * 40, "(((" + ".*" * 100 + ")+)+)+", "(" + "(.*|b)?" * 28 + ")*",
            "(" + "|" * 250 + ")?" + "(|)?" * 60, "(|||)?" * 80, "(x*)?" * 95]
    many = {f"({text})y{i}": 3 for i in range(120) for text in hard}
    expect_same(box.digest(model, "--adapter", box.adapter(alpha_pattern=many, rank_pattern=many)), want)


@case
def refused_lists_that_are_too_long(box):
    """Each is gone through for each tensor."""
    many = [f"x{i}" for i in range(1025)]
    for key in ("rank_pattern", "alpha_pattern"):
        box.refused(box.adapter(**{key: dict.fromkeys(many, 4)}), 4, f"{key} has 1025 entries", "the limit is 1024")
    for key in ("modules_to_save", "exclude_modules", "target_modules"):
        box.refused(box.adapter(**{key: many}), 4, f"{key} has 1025 entries", "merge the adapter")


@case
def refused_task(box):
    box.refused(box.adapter(task_type="SEQ_CLS"), 4, "task_type = SEQ_CLS is for GPT2ForSequenceClassification")


@case
def refused_models(box):
    box.refused(GOLDEN / "classes", 4, "task_type = SEQ_CLS")
    adapter = box.adapter()
    box.tensors(adapter, lambda tensors: {n.replace("h.1.", "h.7."): t for n, t in tensors.items()})
    box.refused(adapter, 4, "h.7.", "is no part of a LoRA adapter for this model")


@case
def refused_tensors(box):
    name = "base_model.model.transformer.h.0.attn.c_attn.lora_"
    for change, words in (
            (lambda t: {**t, name + "magnitude_vector": ("F32", [24], [1.0] * 24)}, ("magnitude_vector", "is no part of")),
            (lambda t: {**t, "x.weight": ("F32", [1], [1.0])}, ("tensor x.weight is no part of",)),
            (lambda t: {n: v for n, v in t.items() if n != name + "B.weight"}, ("is there without its other factor",)),
            (lambda t: {**t, name + "A.weight": ("I32", [4, 8], [1] * 32)}, ("has dtype I32",)),
            (lambda t: {**t, name.replace("c_attn.lora_", "c_attn.lora_embedding_") + "A": ("F32", [4, 8], [1.0] * 32)},
             ("is no part of",))):
        adapter = box.adapter()
        box.tensors(adapter, change)
        box.refused(adapter, 4, *words)


@case
def refused_two_names_for_one_part(box):
    adapter = box.adapter()
    box.tensors(adapter, lambda tensors: {**tensors, **{n.removeprefix("base_model.model."): t for n, t in tensors.items()}})
    box.refused(adapter, 4, "are one and the same part")


@case
def refused_module_that_is_no_target(box):
    box.refused(box.adapter(target_modules=["c_attn", "c_proj"]), 4, "mlp.c_fc", "target_modules of adapter_config.json does not name")
    box.refused(box.adapter(layers_to_transform=[0]), 4, "h.1.", "does not name")


@case
def refused_items_of_lists_that_are_of_the_wrong_kind(box):
    box.refused(box.adapter(target_modules=["c_attn", 7]), 4, "target_modules must be a text or a list of texts")
    box.refused(box.adapter(modules_to_save=[7]), 4, "modules_to_save must be a list of texts")
    box.refused(box.adapter(layers_to_transform=["0"]), 4, "layers_to_transform must be a whole number or a list of them")


@case
def refused_nan_when_asked_for(box):
    adapter = box.adapter()
    box.tensors(adapter, lambda tensors: {n: (d, s, [math.nan] * len(v)) for n, (d, s, v) in tensors.items()})
    done = box.start(GOLDEN / "models" / "f32", *PROMPT, "--adapter", adapter, "--check-weights")
    box.told(done, 4, "holds NaN at element 0")


@case
def refused_folders(box):
    box.refused(box.folder / "none", 5, "this adapter is not there")
    box.refused(GOLDEN / "models" / "f32", 5, "no adapter_config.json here")
    adapter = box.adapter()
    (adapter / "adapter_model.safetensors").unlink()
    box.refused(adapter, 5, "no adapter_model.safetensors and no adapter_model.bin")


@case
def an_adapter_given_as_a_model_says_what_to_type(box):
    folder = box.adapter(base_model_name_or_path=str(GOLDEN / "models" / "f32"))
    box.told(box.start(folder, *PROMPT), 5, f"tfrun {GOLDEN / 'models' / 'f32'} --adapter {folder}")
    folder = box.adapter(base_model_name_or_path="gpt2-of-others")
    box.told(box.start(folder, *PROMPT), 5, "gpt2-of-others", f"tfrun MODEL --adapter {folder}")
    folder = box.adapter(base_model_name_or_path=None)
    box.told(box.start(folder, *PROMPT), 5, f"tfrun MODEL --adapter {folder}")
    box.told(box.start(folder / "adapter_config.json", *PROMPT), 5, f"tfrun MODEL --adapter {folder}")


if __name__ == "__main__":
    sys.exit(main(Box))
