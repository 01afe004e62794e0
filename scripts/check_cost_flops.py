#!/usr/bin/env python3
"""Count what PyTorch does in a forward pass, op by op: what `tfrun cost` is held against.

    python3 scripts/check_cost_flops.py -o tests/app/golden/cost_flops.json             # adds or replaces this release of transformers
    python3 scripts/check_cost_flops.py --list gpt2 --batch 2 --seq 8 --cache 3         # one pass, a line for every call

Models are made on the meta device (no weights, no memory), run without gradients, and counted twice:
 - matmul: torch.utils.flop_counter.FlopCounterMode, by ATen op and by module;
 - ops: each ATen call with formulas of its own, kept below: FLOPs, bytes read, bytes written. Calls are put together under the names
   of core/include/tfrun/ops.def by the module they happen in; what ops.def has no name for has one beginning with "other_".
Conventions: docs/cost-model.md. A multiply-add is two, + - * / max exp tanh erf sqrt one each, selecting and copying none. A gather reads the
rows it copies. An expanded tensor is read once; tensors without dimensions are constants and cost nothing. scaled_dot_product_attention
is one kernel here, that reads q, k, v and writes o, as on a real device.
"""
import argparse
import collections
import json
import pathlib
import re
import unittest.mock

import argtypes

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
CLASSES = {"lm": "GPT2LMHeadModel", "none": "GPT2Model", "double": "GPT2DoubleHeadsModel",
           "seq-cls": "GPT2ForSequenceClassification", "token-cls": "GPT2ForTokenClassification", "qa": "GPT2ForQuestionAnswering"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=argtypes.writable, help="the golden file")
    configs = sorted(path.stem for path in CONFIGS.glob("*.json") if path.stem != "schema")
    parser.add_argument("--list", metavar="CONFIG", choices=configs, help="one pass of configs/CONFIG.json, call by call")
    for name, default in (("batch", 1), ("seq", 8), ("cache", 0), ("encoder", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--attn", choices=("eager", "sdpa"), default="eager")
    parser.add_argument("--head", choices=CLASSES, default="lm")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers")

import torch  # noqa: E402
import transformers  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torch.utils.module_tracker import ModuleTracker  # noqa: E402

ACTIVATIONS = ("gelu_new gelu_accurate gelu_pytorch_tanh gelu_python_tanh gelu_fast gelu gelu_python gelu_10 quick_gelu relu relu2 relu6 "
               "leaky_relu silu swish tanh sigmoid linear mish laplace hardswish sqrtsoftplus").split()
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
COLUMNS = ["calls", "flops", "read", "written"]
VIEWS = {"view", "_unsafe_view", "expand", "transpose", "permute", "t", "slice", "split", "unsqueeze", "alias", "select", "squeeze",
         "detach", "split_with_sizes", "_reshape_alias"}
PER_ELEMENT = {"add": 1, "sub": 1, "rsub": 1, "mul": 1, "div": 1, "tanh": 1, "erf": 1, "exp": 1, "sqrt": 1, "relu": 1, "sigmoid": 3, "silu": 3,
               "_softmax": 5, "_safe_softmax": 5, "where": 0, "clone": 0, "cat": 0, "copy": 0, "_to_copy": 0, "embedding": 0,
               "clamp": 2, "hardtanh": 2, "leaky_relu": 2, "mish": 5, "hardswish": 5, "softplus": 3, "ones": 0, "zeros": 0, "full": 0, "arange": 0, "gather": 0, "index": 0}


def elements(tensor):
    """Distinct ones."""
    count = 1 if tensor.dim() > 0 else 0
    for size, stride in zip(tensor.shape, tensor.stride()):
        count *= size if stride != 0 or size == 0 else 1
    return count


def size(tensors):
    return sum(elements(tensor) * tensor.element_size() for tensor in tensors)


def matmul_of(name, args):
    """FLOPs of the products in one call."""
    if name in ("addmm", "mm"):
        left, right = args[-2:]
        return 2 * left.shape[0] * left.shape[1] * right.shape[1]
    return 2 * args[0].shape[0] * args[0].shape[1] * args[0].shape[2] * args[1].shape[2] if name == "bmm" else 0


def flops_of(name, args, outputs):
    """Of one call; by shapes alone."""
    if name in ("addmm", "mm", "bmm"):
        return matmul_of(name, args) + (outputs[0].numel() if name == "addmm" else 0)
    if name == "native_layer_norm":
        # A row: the sum and a division; differences, their squares summed and a division; epsilon, root, reciprocal; scaled thrice.
        width = args[0].shape[-1]
        return args[0].numel() // width * ((width + 1) + (3 * width + 1) + 3 + 3 * width)
    if name == "pow":
        return (int(args[1]) - 1) * outputs[0].numel()
    if name == "gelu":
        return 5 * outputs[0].numel()
    if not outputs or not outputs[0].is_floating_point():
        return 0
    return PER_ELEMENT[name] * outputs[0].numel()


class Record:
    """Calls put together by name."""

    def __init__(self, lines):
        self.ops, self.lines = collections.defaultdict(lambda: collections.Counter()), lines

    def add(self, name, flops, read, written, about, matmul=0):
        if self.lines:
            print(f"{name:22}{flops:16,}{read:14,}{written:14,}  {about}")
        self.ops[name].update({"calls": 1, "flops": flops, "matmul": matmul, "read": read, "written": written})


def sdpa_into(record):
    """What stands for scaled_dot_product_attention: one record, and none for the parts that the meta device makes of it."""
    def sdpa(query, key, value, attn_mask=None, **kwargs):
        pairs = query.shape[0] * query.shape[1] * query.shape[2] * key.shape[2]
        if attn_mask is not None:
            record.add("other_sdpa_mask", 0, size([attn_mask]), 0, "attn_mask")
        products = pairs * (2 * query.shape[3] + 2 * value.shape[3])
        record.add("sdpa", products + 6 * pairs, size([query, key, value]), size([query]), "sdpa", products)
        return torch.empty_like(query.transpose(1, 2)).transpose(1, 2)  # as the kernel of the CPU: heads side by side
    return sdpa


class Calls(TorchDispatchMode):
    """Every ATen call into a record, under the name of the part of the model that it is."""

    def __init__(self, record, is_fused=False):
        super().__init__()
        self.record, self.is_fused, self.tracker, self.seen = record, is_fused, ModuleTracker(), collections.Counter()

    def __enter__(self):
        self.tracker.__enter__()
        return super().__enter__()

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.tracker.__exit__(*failure)

    def name_of(self, name, where, inputs, outputs):
        """By the module and the ATen op; the n-th matmul or copy of an attention by its number."""
        part = where.rsplit(".", 1)[-1]
        if not outputs or not outputs[0].is_floating_point():
            return "other_index"
        if name == "native_layer_norm":
            return "layer_norm"
        if name in ("addmm", "mm"):
            return "linear"
        if name == "embedding":
            return "embedding"
        if part == "act":
            return "activation"
        if part in ("attn", "crossattention"):
            return self.name_in_attention(name, where, inputs)
        if name == "add" and re.fullmatch(r"h\.\d+|\d+", ".".join(where.rsplit(".", 2)[-2:])):
            return "add"
        if name == "add" and len(inputs) == 2 and inputs[0].dim() == 3 and part in ("transformer", "GPT2Model"):
            self.seen["embedded"] += 1
            return "add_positions" if self.seen["embedded"] == 1 else "add"
        return "other_mask" if part in ("transformer", "GPT2Model") else "other_" + name

    def name_in_attention(self, name, where, inputs):
        key = where, name
        if name == "bmm":
            self.seen[key] += 1
            return "matmul_qk" if self.seen[key] % 2 == 1 else "matmul_pv"
        if name == "clone":
            is_last = self.seen[where, "bmm"] == 2 or self.is_fused
            return "merge_heads" if is_last else "other_copy_for_matmul"
        if name == "cat":
            return "cat_cache" if len([x for x in inputs if x.numel() > 0]) > 1 else "other_first_cache"
        if name == "div" or (name == "mul" and len(inputs) == 1):  # release 5 multiplies, by one number for both scales
            return "scale_layer" if name == "div" and len(inputs) == 1 else "scale"
        return {"where": "causal_mask", "add": "mask_add", "_softmax": "softmax", "mul": "head_mask"}.get(name, "other_" + name)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.rstrip("_")
        if name in VIEWS or name in ("empty", "scalar_tensor", "empty_like", "lift_fresh", "full_like"):
            return result
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if not outputs or all(output.dim() == 0 for output in outputs):
            return result
        where = max(self.tracker.parents, key=len, default="")
        label = self.name_of(name, where, inputs, outputs)
        read = size(inputs)
        if name in ("embedding", "gather"):
            read = size(inputs[1:]) + size(outputs)
        self.record.add(label, flops_of(name, args, outputs), read, size(outputs[:1]), f"{where} {name} {[list(x.shape) for x in inputs]}",
                        matmul_of(name, args))
        if outputs[1:]:
            self.record.add("other_statistics", 0, 0, size(outputs[1:]), f"{where} {name}")
        return result


def make_model(case):
    fields = json.loads((CONFIGS / f"{case['config']}.json").read_text())
    fields.pop("tfrun", None)
    config = transformers.GPT2Config.from_dict({**fields, **case.get("fields", {})}, attn_implementation=case["attn"])
    if case["attn"] == "eager":
        config._attn_implementation = "eager"
    with torch.device(case["device"]):
        return getattr(transformers, CLASSES[case["head"]])(config).eval().to(DTYPES[case["dtype"]]), config


def make_cache(case, config):
    shape = case["batch"], config.n_head, case["cache"], config.n_embd // config.n_head
    made = {"device": case["device"], "dtype": DTYPES[case["dtype"]]}
    pairs = [tuple(torch.empty(shape, **made) for _ in range(2)) for _ in range(config.n_layer)]
    if transformers.__version__.startswith("4.40"):
        return tuple(pairs)
    cache = transformers.DynamicCache()
    for layer, (key, value) in enumerate(pairs):
        cache.update(key, value, layer)
    return cache


def make_arguments(case, config):
    choices = [1] if case["head"] == "double" else []
    ids = torch.zeros([case["batch"], *choices, case["seq"]], dtype=torch.long, device=case["device"])
    arguments = {"input_ids": ids}
    if case["cache"] > 0:
        arguments["past_key_values"] = make_cache(case, config)
    if case["encoder"] > 0:
        arguments["encoder_hidden_states"] = torch.empty(case["batch"], case["encoder"], config.n_embd, device=case["device"],
                                                            dtype=DTYPES[case["dtype"]])
    return arguments


def count_activation(name):
    """Its module as it is printed, and how many elements its kernels write and read for one."""
    module, record = transformers.activations.ACT2FN[name], Record(False)
    calls = Calls(record)
    calls.name_of = lambda *about: "activation"
    with torch.no_grad(), calls:
        module(torch.empty(10, 10, device="meta"))
    counts = record.ops["activation"]
    return [repr(module), counts["written"] // 400, counts["read"] // 400]


def without_numbers(name):
    """One name for a module of all blocks."""
    return re.sub(r"\.h\.\d+", ".h.*", name)


def count_matmuls(case):
    model, config = make_model(case)
    # The counter has no formula for the fused kernel of a CPU, so attention is taken apart there too.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, depth=9) as counter:
        model(**make_arguments(case, config))
    counts = counter.get_flop_counts()
    by_op = {str(op).removeprefix("aten."): flops for op, flops in counts["Global"].items()}
    by_module = collections.Counter()
    for name, ops in counts.items():
        by_module[without_numbers(name)] += sum(ops.values())
    leaves = {name: flops for name, flops in by_module.items() if name != "Global" and flops > 0}
    return {"total": counter.get_total_flops(), "by_op": by_op, "by_module": leaves}


def count_ops(case, lines=False):
    model, config = make_model(case)
    record = Record(lines)
    calls = Calls(record, case["attn"] == "sdpa")
    arguments = make_arguments(case, config)
    with torch.no_grad(), unittest.mock.patch("torch.nn.functional.scaled_dot_product_attention", sdpa_into(record)), calls:
        model(**arguments)
    return {name: dict(counts) for name, counts in sorted(record.ops.items())}


def count(case):
    ops, matmul = count_ops(case), count_matmuls(case)
    if sum(op["matmul"] for op in ops.values()) != matmul["total"]:
        raise SystemExit(f"{case}: the two counts of the products differ: {ops} and {matmul}")
    return {**{key: value for key, value in case.items() if key != "device"}, "matmul": matmul,
            "ops": {name: [counts[column] for column in COLUMNS] for name, counts in ops.items()},
            "flops": sum(op["flops"] for op in ops.values())}


def all_cases():
    def case(config, batch, seq, cache=0, encoder=0, attn="eager", head="lm", dtype="f32", **fields):
        # Release 4.57 looks at the encoder's mask before it calls the fused kernel: it must have one.
        is_real = attn == "sdpa" and encoder > 0 and transformers.__version__.startswith("4.")
        return {"config": config, "batch": batch, "seq": seq, "cache": cache, "encoder": encoder, "attn": attn, "head": head,
                "dtype": dtype, **({"fields": fields} if fields else {}), "device": "cpu" if is_real else "meta"}
    shapes = [("gpt2", 1, 1024), ("gpt2-medium", 1, 1024), ("gpt2-large", 1, 1024), ("gpt2-xl", 1, 1024), ("gpt2", 2, 8, 3),
              ("gpt2", 1, 1, 1023), ("gpt2", 3, 17, 100), ("gpt2-medium", 4, 1, 511), ("gpt2-large", 2, 64, 64), ("gpt2-xl", 1, 1, 1023),
              ("gpt2-cross-attention", 1, 1024, 0, 512), ("gpt2-cross-attention", 2, 16, 5, 9), ("gpt2-cross-attention", 1, 1, 7, 64),
              ("gpt2-cross-attention", 2, 16)]
    for attn in ("eager",) if transformers.__version__.startswith("4.40") else ("eager", "sdpa"):
        yield from (case(*shape, attn=attn) for shape in shapes)
    for head in ("none", "double", "token-cls", "qa", "seq-cls"):
        yield case("gpt2", 1, 32, head=head)
    yield case("gpt2", 2, 8, 3, dtype="bf16")
    yield case("gpt2-cross-attention", 2, 16, 5, 9, dtype="bf16")
    yield case("gpt2", 2, 16, 4, scale_attn_by_inverse_layer_idx=True, n_inner=1000)
    yield case("gpt2", 2, 16, 4, scale_attn_weights=False, activation_function="relu")


def text_of(golden):
    """A line for each case."""
    parts = [f'"{key}": {json.dumps(value)}' for key, value in (("columns", COLUMNS), ("activations", golden.pop("activations", {})))]
    for release, cases in sorted(golden.items()):
        parts.append(f'"{release}": [\n' + ",\n".join(map(json.dumps, cases)) + "\n]")
    return "{" + ",\n".join(parts) + "}\n"


def main(args):
    if args.list:
        case = {name: getattr(args, name) for name in ("batch", "seq", "cache", "encoder", "attn", "head", "dtype")}
        count_ops({"config": args.list, "device": "meta", **case}, lines=True)
    if args.output:
        golden = json.loads(args.output.read_text()) if args.output.exists() else {}
        golden.pop("columns", None)
        golden[transformers.__version__] = [count(case) for case in all_cases()]
        activations = {name: count_activation(name) for name in ACTIVATIONS if name in transformers.activations.ACT2FN}
        if len(activations) == len(ACTIVATIONS):  # the newest registry alone has them all
            golden["activations"] = activations
        args.output.write_text(text_of(golden))


if __name__ == "__main__":
    main(ARGS)
