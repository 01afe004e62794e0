"""seed_pieces.py - what inputs are put together from, for make_seeds.py and make_edges.py."""
import json
import struct


def tensors(entries, extra=None):
    """A safetensors file. entries: name -> (dtype, shape, bytes); extra: more members of its header, in front."""
    header, at, body = dict(extra or {}), 0, b""
    for name, (dtype, shape, data) in entries.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def i64(*values):
    return struct.pack(f"<{len(values)}q", *values)
