"""with_onnxruntime.py: ONNX Runtime on a graph that onnx_gpt2.py writes, for worker.py.

Keys and values stay in buffers that are input and output at once, as in ONNX Runtime's own generation. int8: quantize_dynamic, per
channel; w8 and w4: weights alone, blocks of 32, activations rounded to int8 in the kernel (accuracy_level 4).
"""

import pathlib

import numpy
import onnxruntime

import worker

ROOM, SPARE = 1024, 32  # positions of one stream alone; behind the prompts of several


def convert(model, precision, files):
    import onnx_gpt2

    target = str(pathlib.Path(files) / "model.onnx")
    if precision == "f32":
        onnx_gpt2.write(model, target)
        return
    plain = pathlib.Path(files) / "f32.onnx"
    onnx_gpt2.write(model, str(plain))
    if precision == "int8":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(
            plain,
            target,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul"],
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx_gpt2.TensorProto.FLOAT},
        )
    else:
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        made = MatMulNBitsQuantizer(str(plain), bits=int(precision[1:]), block_size=32, is_symmetric=True, accuracy_level=4)
        made.process()
        made.model.save_model_to_file(target)
    for file in pathlib.Path(files).glob("f32.onnx*"):
        file.unlink()


class Peer(worker.Peer):
    def __init__(self, _model, precision, threads, files):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        self.session = onnxruntime.InferenceSession(
            str(pathlib.Path(files) / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        shape = next(i for i in self.session.get_inputs() if i.name == "past_key_0").shape
        self.heads, self.size = shape[1], shape[3]
        self.layers = sum(i.name.startswith("past_key_") for i in self.session.get_inputs())
        self.cache = None

    def versions(self):
        return {"onnxruntime": onnxruntime.__version__}

    def clear(self, streams, room):
        """Buffers of keys and values for that many; what is in them does not matter."""
        if self.cache and self.cache[0].shape()[::2] == [streams, room]:
            return
        self.memory = numpy.zeros((2 * self.layers, streams, self.heads, room, self.size), numpy.float32)
        self.cache = [onnxruntime.OrtValue.ortvalue_from_numpy(part) for part in self.memory]

    def feed(self, inputs, past):
        ids = numpy.array(inputs, dtype=numpy.int64)
        n, new = ids.shape
        binding = self.session.io_binding()
        self.given = {
            "input_ids": ids,
            "position_ids": numpy.tile(numpy.arange(past, past + new, dtype=numpy.int64), (n, 1)),
            "seqlens_k": numpy.full(n, past + new - 1, numpy.int32),
            "total_sequence_length": numpy.array(past + new, numpy.int32),
        }  # kept: a binding takes their memory, not them
        for name, value in self.given.items():
            binding.bind_cpu_input(name, value)
        for i, value in enumerate(self.cache):
            name = f"{('key', 'value')[i % 2]}_{i // 2}"
            binding.bind_ortvalue_input("past_" + name, value)
            binding.bind_ortvalue_output("present_" + name, value)
        binding.bind_output("logits")
        self.session.run_with_iobinding(binding)
        return binding.get_outputs()[-1]

    def prefill(self, ids):
        self.clear(1, ROOM)
        return self.feed([ids], 0)

    def open(self, prompts):
        self.clear(len(prompts), ROOM if len(prompts) == 1 else len(prompts[0]) + SPARE)
        self.feed(prompts, 0)
        self.past = len(prompts[0])

    def step(self, tokens):
        result = self.feed([[token] for token in tokens], self.past)
        self.past += 1
        return result

    def rows(self, result):
        return result.numpy().tobytes()
