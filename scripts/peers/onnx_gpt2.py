"""onnx_gpt2.py: GPT-2 of a Hugging Face folder as an ONNX graph with ONNX Runtime's fused operators.

Logits of the last position; keys and values enter and leave ([sequences, heads, room, head size]), appended in place by
GroupQueryAttention where input and output are one buffer.
"""

import json
import pathlib
import struct

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

FUSED = "com.microsoft"


def tensors(model):
    """The f32 tensors of model.safetensors, without the prefix of a class."""
    data = (pathlib.Path(model) / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    found = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            found[name.removeprefix("transformer.")] = numpy.frombuffer(data[begin:end], numpy.float32).reshape(entry["shape"])
    return found


class Graph:
    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], {}

    def constant(self, name, value):
        self.constants[name] = numpy_helper.from_array(value.copy(order="C"), name)
        return name

    def weight(self, name):
        return self.constant(name, self.weights[name])

    def node(self, op, inputs, outputs, domain="", **attributes):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0] + "/" + op, domain=domain, **attributes))
        return outputs[0]

    def linear(self, x, name, out):
        return self.node("MatMul", [x, self.weight(name + ".weight")], out)

    def add_norm(self, x, y, bias, norm, epsilon, out):
        """(norm of the sum, the sum) of x, y and a bias."""
        names = [out, "", "", out + ".sum"]
        inputs = [y, x, self.weight(norm + ".weight"), self.weight(norm + ".bias"), self.weight(bias)]
        self.node("SkipLayerNormalization", inputs, names, FUSED, epsilon=epsilon)
        return out, names[3]


def block(graph, i, heads, epsilon, normed, hidden, next_norm):
    h = f"h.{i}."
    qkv = graph.node("Add", [graph.linear(normed, h + "attn.c_attn", h + "qkv0"), graph.weight(h + "attn.c_attn.bias")], h + "qkv")
    attended = graph.node(
        "GroupQueryAttention",
        [qkv, "", "", f"past_key_{i}", f"past_value_{i}", "seqlens_k", "total_sequence_length"],
        [h + "attended", f"present_key_{i}", f"present_value_{i}"],
        FUSED,
        num_heads=heads,
        kv_num_heads=heads,
    )
    projected = graph.linear(attended, h + "attn.c_proj", h + "projected")
    normed, hidden = graph.add_norm(hidden, projected, h + "attn.c_proj.bias", h + "ln_2", epsilon, h + "normed2")
    wide = graph.node(
        "FastGelu", [graph.linear(normed, h + "mlp.c_fc", h + "wide0"), graph.weight(h + "mlp.c_fc.bias")], h + "wide", FUSED
    )
    return graph.add_norm(
        hidden, graph.linear(wide, h + "mlp.c_proj", h + "narrow"), h + "mlp.c_proj.bias", next_norm, epsilon, h + "out"
    )


def embed(graph, epsilon):
    words = graph.node("Gather", [graph.weight("wte.weight"), "input_ids"], "words")
    places = graph.node("Gather", [graph.weight("wpe.weight"), "position_ids"], "places")
    hidden = graph.node("Add", [words, places], "embedded")
    normed = graph.node(
        "LayerNormalization",
        [hidden, graph.weight("h.0.ln_1.weight"), graph.weight("h.0.ln_1.bias")],
        "normed0",
        axis=-1,
        epsilon=epsilon,
    )
    return normed, hidden


def interface(layers, heads, size, vocabulary):
    def value(name, kind, shape):
        return helper.make_tensor_value_info(name, kind, shape)

    cache = ["batch", heads, "room", size]
    inputs = [
        value("input_ids", TensorProto.INT64, ["batch", "new"]),
        value("position_ids", TensorProto.INT64, ["batch", "new"]),
        value("seqlens_k", TensorProto.INT32, ["batch"]),
        value("total_sequence_length", TensorProto.INT32, []),
    ]
    outputs = []
    for i in range(layers):
        for kind in ("key", "value"):
            inputs.append(value(f"past_{kind}_{i}", TensorProto.FLOAT, cache))
            outputs.append(value(f"present_{kind}_{i}", TensorProto.FLOAT, cache))
    return inputs, [*outputs, value("logits", TensorProto.FLOAT, ["batch", vocabulary])]


def write(model, target):
    config = json.loads((pathlib.Path(model) / "config.json").read_text(encoding="utf-8"))
    weights = tensors(model)
    layers, heads, epsilon = config["n_layer"], config["n_head"], config.get("layer_norm_epsilon", 1e-5)
    graph = Graph(weights)
    normed, hidden = embed(graph, epsilon)
    for i in range(layers):
        normed, hidden = block(graph, i, heads, epsilon, normed, hidden, f"h.{i + 1}.ln_1" if i + 1 < layers else "ln_f")
    last = graph.node("Gather", [normed, graph.constant("last", numpy.array(-1, numpy.int64))], "last_row", axis=1)
    graph.node("MatMul", [last, graph.constant("lm_head", weights["wte.weight"].T)], "logits")
    inputs, outputs = interface(layers, heads, config["n_embd"] // heads, weights["wte.weight"].shape[0])
    made = helper.make_model(
        helper.make_graph(graph.nodes, "gpt2", inputs, outputs, list(graph.constants.values())),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(FUSED, 1)],
        ir_version=10,
    )
    onnx.save_model(made, target, save_as_external_data=True, location=pathlib.Path(target).name + ".data")
