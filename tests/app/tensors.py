"""safetensors files without numpy: name -> (dtype, shape, values)."""
import array
import json
import pathlib

CODES = {"F32": "f", "I64": "q", "I32": "i", "U8": "B", "BOOL": "B"}


def read_tensors(path):
    """name -> (dtype, shape, values)"""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    out = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = data[8 + size + begin:8 + size + end]
            values = array.array(CODES[entry["dtype"]], raw) if entry["dtype"] in CODES else raw
            out[name] = (entry["dtype"], entry["shape"], values)
    return out


def write_tensors(path, tensors):
    header, body = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        raw = array.array(CODES[dtype], values).tobytes() if not isinstance(values, bytes) else values
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + body)
