#!/usr/bin/env python3
"""torch_ranks.py --ranks N [--prompt N] [--tokens N] [--repetitions N]: what people write by hand: GPT-2 in torch, tensor parallel over gloo.

A peer for scripts/compare_ranks. Heads and columns of c_fc are shared among the ranks, both c_proj end in an all_reduce, and the
vocabulary is shared too; one thread a rank, weights of GPT-2 124M's shape drawn from one seed. Checks that N ranks give the logits of
one within 1e-3, then prints one JSON line: ms of the prompt and ms a token, the median of the repetitions. Needs torch.
"""
import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2, choices=(1, 2))
    parser.add_argument("--prompt", type=int, default=960)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--port", type=int, default=29511)
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from packages import need  # noqa: E402  (stands one folder up)

need("torch")

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as processes  # noqa: E402
import torch.nn.functional as F  # noqa: E402

N_EMBD, N_HEAD, N_LAYER, VOCABULARY, POSITIONS = 768, 12, 12, 50257, 1024
HEAD_DIM = N_EMBD // N_HEAD


def part(tensor, rank, ranks, axis):
    return tensor.chunk(ranks, axis)[rank].contiguous()


class Block:
    """The share of one rank in a block: weights are made whole from the seed, and cut."""

    def __init__(self, draw, rank, ranks):
        q, k, v = (draw(N_EMBD, N_EMBD) for _ in range(3))
        self.attention = torch.cat([part(w, rank, ranks, 1) for w in (q, k, v)], 1).t().contiguous()
        self.attention_out = part(draw(N_EMBD, N_EMBD), rank, ranks, 0).t().contiguous()
        self.fc = part(draw(N_EMBD, 4 * N_EMBD), rank, ranks, 1).t().contiguous()
        self.fc_out = part(draw(4 * N_EMBD, N_EMBD), rank, ranks, 0).t().contiguous()
        heads = N_HEAD // ranks
        self.keys, self.values = (torch.zeros(1, heads, POSITIONS, HEAD_DIM) for _ in range(2))

    def attend(self, x, past):
        rows, heads = x.shape[0], self.keys.shape[1]
        q, k, v = (t.view(1, rows, heads, HEAD_DIM).transpose(1, 2) for t in F.linear(x, self.attention).chunk(3, -1))
        self.keys[:, :, past:past + rows], self.values[:, :, past:past + rows] = k, v
        y = F.scaled_dot_product_attention(q, self.keys[:, :, :past + rows], self.values[:, :, :past + rows], is_causal=past == 0)
        return F.linear(y.transpose(1, 2).reshape(rows, -1), self.attention_out)

    def forward(self, x, past, add):
        x = x + add(self.attend(F.layer_norm(x, (N_EMBD,)), past))
        h = F.gelu(F.linear(F.layer_norm(x, (N_EMBD,)), self.fc), approximate="tanh")
        return x + add(F.linear(h, self.fc_out))


class Model:
    def __init__(self, rank, ranks):
        generator = torch.Generator().manual_seed(1)
        draw = lambda *shape: torch.randn(*shape, generator=generator) * 0.02  # noqa: E731
        self.ranks, self.wte, self.wpe = ranks, draw(VOCABULARY + -VOCABULARY % 2, N_EMBD), draw(POSITIONS, N_EMBD)
        self.head = part(self.wte, rank, ranks, 0)
        self.blocks = [Block(draw, rank, ranks) for _ in range(N_LAYER)]

    def add(self, x):
        if self.ranks > 1:
            dist.all_reduce(x)
        return x

    def step(self, ids, past):
        """Logits of the last position."""
        x = self.wte[ids] + self.wpe[past:past + len(ids)]
        for block in self.blocks:
            x = block.forward(x, past, self.add)
        logits = F.linear(F.layer_norm(x[-1:], (N_EMBD,)), self.head)
        if self.ranks == 1:
            return logits
        parts = [torch.empty_like(logits) for _ in range(self.ranks)]
        dist.all_gather(parts, logits)
        return torch.cat(parts, 1)


def measure(model, options):
    prompt = torch.arange(1, options.prompt + 1)
    prompt_ms, token_ms = [], []
    for _ in range(options.repetitions + 1):
        start = time.perf_counter()
        logits, past = model.step(prompt, 0), options.prompt
        prompt_ms.append(1e3 * (time.perf_counter() - start))
        start = time.perf_counter()
        for _ in range(options.tokens):
            logits, past = model.step(logits[:, :VOCABULARY].argmax(1), past), past + 1
        token_ms.append(1e3 * (time.perf_counter() - start) / options.tokens)
    return statistics.median(prompt_ms[1:]), statistics.median(token_ms[1:])


def work(rank, options):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(options.port))
    if options.ranks > 1:
        dist.init_process_group("gloo", rank=rank, world_size=options.ranks)
    with torch.inference_mode():
        model = Model(rank, options.ranks)
        logits = model.step(torch.arange(1, 33), 0)
        if rank == 0 and options.ranks > 1:
            alone = Model(0, 1).step(torch.arange(1, 33), 0)
            assert (alone - logits).abs().max() < 1e-3, "the ranks give other logits than one"
        prompt, token = measure(model, options)
    if rank == 0:
        print(json.dumps({"ranks": options.ranks, "torch": torch.__version__, "prompt_ms": prompt, "token_ms": token}), flush=True)


def main(options):
    processes.spawn(work, (options,), nprocs=options.ranks)


if __name__ == "__main__":
    main(ARGS)
