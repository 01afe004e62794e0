"""with_openvino.py: OpenVINO's own API on what optimum-intel exports (keys and values as state), for worker.py.

The exported model gives logits of all positions; here it is cut to the last one before it is compiled, as OpenVINO GenAI does. int8
and int4 are nncf's, as optimum-intel applies them: weights alone; how activations are computed is OpenVINO's choice.
"""

import pathlib

import worker

CONFIGS = {
    "f32": {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "bf16"},
    "int8": {},
    "int4": {},
}


def convert(model, precision, files):
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    bits = {
        "int8": OVWeightQuantizationConfig(bits=8),
        "int4": OVWeightQuantizationConfig(bits=4, sym=False, group_size=64, ratio=1.0),
    }
    more = {"quantization_config": bits[precision]} if precision in bits else {"load_in_8bit": False}
    OVModelForCausalLM.from_pretrained(model, export=True, compile=False, stateful=True, **more).save_pretrained(files)


def last_position_only(model):
    """The hidden rows that the last matmul takes become one."""
    import openvino
    from openvino import opset13 as ops

    result = next(r for r in model.get_results() if "logits" in r.output(0).get_names() | r.input_value(0).get_names())
    node = result.input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    last = ops.gather(node.input_value(0), ops.constant([-1], openvino.Type.i64), ops.constant(1, openvino.Type.i64))
    node.input(0).replace_source_output(last.output(0))
    model.validate_nodes_and_infer_types()


class Peer(worker.Peer):
    def __init__(self, _model, precision, threads, files):
        import numpy
        import openvino

        self.np, self.ov, self.core = numpy, openvino, openvino.Core()
        model = self.core.read_model(pathlib.Path(files) / "openvino_model.xml")
        last_position_only(model)
        config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, **CONFIGS[precision]}
        compiled = self.core.compile_model(model, "CPU", config)
        self.takes = {name for port in compiled.inputs for name in port.get_names()}
        self.request = compiled.create_infer_request()
        seen = {
            key: str(compiled.get_property(key)).split(": ")[-1].strip("<>'")
            for key in ("INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION")
        }
        self.notes = f"computes {seen['INFERENCE_PRECISION_HINT']}, KV {seen['KV_CACHE_PRECISION']}"

    def versions(self):
        return {"openvino": self.ov.__version__}

    def feed(self, inputs, past):
        ids = self.np.array(inputs, dtype=self.np.int64)
        n, new = ids.shape
        given = {
            "input_ids": ids,
            "attention_mask": self.np.ones((n, past + new), dtype=self.np.int64),
            "position_ids": self.np.tile(self.np.arange(past, past + new, dtype=self.np.int64), (n, 1)),
            "beam_idx": self.np.arange(n, dtype=self.np.int32),
        }
        return self.request.infer(
            {name: value for name, value in given.items() if name in self.takes}, share_inputs=True, share_outputs=True
        )["logits"]

    def prefill(self, ids):
        self.request.reset_state()
        return self.feed([ids], 0)

    def open(self, prompts):
        self.request.reset_state()
        self.feed(prompts, 0)
        self.past = len(prompts[0])

    def step(self, tokens):
        result = self.feed([[token] for token in tokens], self.past)
        self.past += 1
        return result

    def rows(self, result):
        return self.np.ascontiguousarray(result[:, -1], dtype=self.np.float32).tobytes()
