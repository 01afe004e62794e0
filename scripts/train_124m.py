#!/usr/bin/env python3
"""Train a model of GPT-2 124M's shape and vocabulary in about an hour on a CPU, to measure number formats on.

    scripts/train_124m.py DATA_DIR -o DIR --tokenizer configs/tokenizer/gpt2 [--start configs/demo]

DATA_DIR holds the books that scripts/train_demo.py reads; what that script holds out is held out here too (heldout.txt in DIR).

An hour of a CPU is far too little for 124M random weights, so the model grows from a small trained one without losing what that
knows:

1. narrow: the blocks of --start with an embedding for each token of GPT-2's vocabulary (the mean of its pieces'), trained
   --narrow minutes;
2. growth to 12 blocks of 768: each channel, head and hidden unit gets copies, the weights that meet them are split into different
   random parts of the same sum, and each block is followed by one that adds nothing yet. The logits stay the same (checked);
3. wide: all of it trained --wide minutes.

In the end it tells how much larger the largest channel is than the usual one where linears read. Models that were trained for long
have channels of 10 to 100 times there; so short a training hardly makes any. `scripts/outliers.py DIR -o DIR2 --add 64` gives the
model some, with the same f32 function.

Tokens that the text has not share one row of the embedding, counted as often as there are such tokens: the full softmax for half
its cost. DIR gets state.pt every --save-every minutes (--resume goes on from there) and, in the end, the folder that transformers
and tfrun load, in f32.
"""
import math
import os
import shutil
import time

import argtypes

import training


def arguments():
    parser = training.parser_of(__doc__, "from state.pt", warmup=40)
    parser.add_argument("--tokenizer", required=True, type=argtypes.holding("vocab.json", "merges.txt"), help="folder with GPT-2's vocab.json and merges.txt")
    parser.add_argument("--start", type=argtypes.holding("config.json"), default="configs/demo", help="the small trained model to grow from")
    parser.add_argument("--narrow", type=float, default=15, help="minutes before the growth")
    parser.add_argument("--wide", type=float, default=45, help="minutes after it")
    parser.add_argument("--narrow-rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--wide-rate", type=float, default=6e-4)
    parser.add_argument("--noise", type=float, default=0.02, help="deviation of the random parts of the growth")
    parser.add_argument("--beta2", type=float, default=0.99)
    parser.add_argument("--narrow-batch", type=int, default=8, help="windows in a step")
    parser.add_argument("--wide-batch", type=int, default=4)
    parser.add_argument("--context", type=int, default=192)
    parser.add_argument("--save-every", type=float, default=4, help="minutes")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("numpy", "torch", "transformers")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model, GPT2TokenizerFast  # noqa: E402

import train_demo  # noqa: E402

EMBD, LAYERS, HEADS, POSITIONS = 768, 12, 12, 1024
KINDS = ("c_attn", "attn.c_proj", "c_fc", "mlp.c_proj")


# ---------------------------------------------------------------- the text

def read_tokens(args, tokenizer, vocab):
    """Each book's ids, their shares of the batches, held-out ids, and the row of the embedding of each id (the last: unseen)."""
    train, heldout_text = train_demo.load_books(args.data_dir, np.random.default_rng(args.seed))
    with open(os.path.join(args.out, "heldout.txt"), "w", encoding="utf-8") as file:
        file.write(heldout_text)
    books = [np.array(tokenizer(text, verbose=False)["input_ids"]) for text in train.values()]
    heldout = np.array(tokenizer(heldout_text, verbose=False)["input_ids"])
    shares = np.array([len(ids) for ids in books]) * np.array(list(train_demo.WEIGHTS.values()))
    seen = np.unique(np.concatenate(books))
    rows = np.full(vocab, len(seen))
    rows[seen] = np.arange(len(seen))
    return [rows[ids] for ids in books], shares / shares.sum(), rows[heldout], rows


# ---------------------------------------------------------------- the model

class Net(torch.nn.Module):
    """GPT-2 with tied embeddings whose last row stands for `unseen` tokens."""

    def __init__(self, config, unseen):
        super().__init__()
        self.body = GPT2Model(config)
        self.unseen = math.log(unseen)
        for block in self.body.h:   # the same function as gelu_new, in one fast kernel
            block.mlp.act = torch.nn.GELU(approximate="tanh")

    def losses(self, ids, first):
        """Nats of each predicted token of windows that begin at position `first`."""
        places = torch.arange(first, first + ids.shape[1])[None]
        hidden = self.body(input_ids=ids, position_ids=places, use_cache=False).last_hidden_state[:, :-1]
        logits = hidden.flatten(0, 1) @ self.body.wte.weight.T.to(hidden.dtype)
        shift = torch.zeros(logits.shape[1], dtype=logits.dtype)
        shift[-1] = self.unseen
        targets = ids[:, 1:].flatten()
        return F.cross_entropy((logits + shift).float(), targets) + (targets == len(shift) - 1).float().mean() * self.unseen


def make_config(rows, embd, layers, heads, dropout):
    return GPT2Config(vocab_size=rows, n_positions=POSITIONS, n_embd=embd, n_layer=layers, n_head=heads,
                      activation_function="gelu_new", resid_pdrop=dropout, embd_pdrop=dropout, attn_pdrop=0.0, bos_token_id=None,
                      eos_token_id=None)


def narrow_model(args, tokenizer, rows):
    """The blocks of --start; embeddings are means over the pieces that its tokenizer cuts a token into; positions repeat."""
    start = GPT2LMHeadModel.from_pretrained(args.start, dtype=torch.float32).transformer
    pieces = GPT2TokenizerFast.from_pretrained(args.start)
    state = start.state_dict()
    old, count = state["wte.weight"], rows.max() + 1
    wte = old.mean(0).repeat(count, 1)
    for token in np.flatnonzero(rows < count - 1):
        ids = pieces(tokenizer.decode([token]))["input_ids"]
        wte[rows[token]] = old[ids].mean(0)
    state["wte.weight"] = wte
    state["wpe.weight"] = state["wpe.weight"].repeat(-(-POSITIONS // start.config.n_positions), 1)[:POSITIONS]
    config = make_config(count, start.config.n_embd, start.config.n_layer, start.config.n_head, args.dropout)
    net = Net(config, (rows == count - 1).sum())
    net.body.load_state_dict(state)
    return net


# ---------------------------------------------------------------- growth

def copies(x, times, parts=1):
    """Each of `parts` equal runs of the last dimension, `times` in a row."""
    return torch.cat([torch.cat([part] * times, -1) for part in x.chunk(parts, -1)], -1)


def shares_of(weight, times, noise):
    """`times` random matrices below one another whose sum is `weight`."""
    shift = torch.randn(times, *weight.shape) * noise
    return (weight / times + shift - shift.mean(0)).flatten(0, 1)


def grow(state, layers, noise):
    """The state of a model of EMBD channels and LAYERS blocks with the same logits."""
    times, deeper = EMBD // state["wte.weight"].shape[1], LAYERS // layers
    wide = {}
    for name, x in state.items():
        parts = 3 if "attn.c_attn" in name else 1
        x = copies(x, times, parts)
        if name.startswith("h.") and x.dim() == 2:
            x = shares_of(x, times, noise)
        if name.startswith("ln_f"):
            x = x / times           # the logits add up over all copies
        if not name.startswith("h."):
            wide[name] = x
            continue
        _, layer, rest = name.split(".", 2)
        for i in range(deeper):
            silent = i > 0 and "c_proj" in rest
            wide[f"h.{int(layer) * deeper + i}.{rest}"] = torch.zeros_like(x) if silent else x.clone()
    return wide


def wide_model(args, narrow):
    old = narrow.body.config
    if EMBD % old.n_embd or LAYERS % old.n_layer or old.n_head * EMBD // old.n_embd != HEADS:
        raise SystemExit(f"{args.start}: {old.n_layer} blocks, {old.n_embd} channels, {old.n_head} heads do not divide "
                         f"{LAYERS}, {EMBD}, {HEADS} alike")
    net = Net(make_config(old.vocab_size, EMBD, LAYERS, HEADS, args.dropout), 1)
    net.unseen = narrow.unseen
    net.body.load_state_dict(grow(narrow.body.state_dict(), old.n_layer, args.noise))
    return net


# ---------------------------------------------------------------- training

@torch.no_grad()
def heldout_loss(net, ids, context, windows):
    net.eval()
    lines = torch.from_numpy(ids[:len(ids) // context * context]).view(-1, context)[:windows]
    losses = [net.losses(w, 0).item() * len(w) for w in lines.split(4)]
    net.train()
    return sum(losses) / len(lines)


def save_state(args, stage, net, minutes, step):
    path = os.path.join(args.out, "state.pt")
    torch.save({"stage": stage, "minutes": minutes, "step": step, "state": net.body.state_dict()}, path + ".new")
    os.replace(path + ".new", path)


def train(args, stage, net, minutes, rate, batch_size, data, done):
    """Train for `minutes` by the clock; the rate warms up, then falls as a cosine. `done`: minutes and steps of an earlier run."""
    books, shares, heldout, _ = data
    rng = np.random.default_rng([args.seed, stage, done[1]])
    optimizer = training.optimizer_of(net, rate, args.beta2, 0.1)
    begin, saved, logged, total, step = time.time(), done[0], done[0], [], 0
    while (passed := (time.time() - begin) / 60 + done[0]) < minutes:
        step += 1
        lr = training.set_rate(optimizer, rate, step, args.warmup, passed / minutes)
        batch = train_demo.draw_batch(books, shares, rng, batch_size, args.context)
        with torch.autocast("cpu", torch.bfloat16):
            loss = net.losses(batch, int(rng.integers(POSITIONS - args.context + 1)) if step % 2 else 0)
        total.append(training.descend(net, optimizer, loss))
        if passed - saved >= args.save_every:
            saved = passed
            save_state(args, stage, net, passed, done[1] + step)
        if passed - logged >= 1 or step == 1:
            logged = passed
            held = heldout_loss(net, heldout, args.context, 16)
            print(f"stage {stage}, step {done[1] + step}, {passed:.1f} min, train {np.mean(total):.3f}, held out {held:.3f}, "
                  f"lr {lr:.1e}", flush=True)
            total = []
    save_state(args, stage, net, minutes, done[1] + step)


def save_model(args, net, rows):
    """All rows of the vocabulary; the tokens that the text has not get the same one."""
    state = net.body.state_dict()
    state["wte.weight"] = state["wte.weight"][torch.from_numpy(rows)]
    config = make_config(len(rows), EMBD, LAYERS, HEADS, 0.1)
    config.bos_token_id = config.eos_token_id = len(rows) - 1
    model = GPT2LMHeadModel(config)
    model.transformer.load_state_dict(state)
    model.save_pretrained(args.out)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(os.path.join(args.tokenizer, name), args.out)
    training.add_section(args.out, {
        "version": 1, "task": "generate", "model": {"weights": "model.safetensors", "tokenizer": "."}, "input": train_demo.TFRUN["input"],
        "sampling": {"max_tokens": 60, "temperature": 0.6, "top_k": 20, "seed": 2}})


@torch.no_grad()
def measure_outliers(net, ids, context):
    """For each kind of linear the largest ratio over the blocks of the largest channel's deviation to the median channel's."""
    sizes, hooks = {}, []
    for i, block in enumerate(net.body.h):
        for kind, linear in zip(KINDS, (block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj)):
            def hook(_, inputs, key=(kind, i)):
                sizes[key] = inputs[0].flatten(0, 1).square().mean(0).sqrt()
            hooks.append(linear.register_forward_pre_hook(hook))
    heldout_loss(net, ids, context, 4)
    for hook in hooks:
        hook.remove()
    for kind in KINDS:
        ratios = [(x.max() / x.median()).item() for (name, _), x in sizes.items() if name == kind]
        print(f"inputs of {kind}: largest channel / median channel {max(ratios):.1f} at most, "
              f"{np.median(ratios):.1f} in the median block")


@torch.no_grad()
def check(narrow, wide, heldout, context):
    a, b = (heldout_loss(net, heldout, context, 4) for net in (narrow, wide))
    print(f"growth: held out {a:.6f} before, {b:.6f} after", flush=True)
    if not abs(a - b) < 1e-3:
        raise SystemExit("the grown model is not the same function")


def main(args):
    training.begin(args)
    tokenizer = GPT2TokenizerFast.from_pretrained(args.tokenizer)
    data = read_tokens(args, tokenizer, len(tokenizer))
    _, _, heldout, rows = data
    net = narrow_model(args, tokenizer, rows)
    print(f"{rows.max()} of {len(rows)} tokens seen; held out: {len(heldout)} tokens", flush=True)
    was = torch.load(os.path.join(args.out, "state.pt")) if args.resume else {"stage": 1, "minutes": 0.0, "step": 0}
    done = (was["minutes"], was["step"])
    if was["stage"] == 1:
        if args.resume:
            net.body.load_state_dict(was["state"])
        train(args, 1, net, args.narrow, args.narrow_rate, args.narrow_batch, data, done)
        wide, done = wide_model(args, net), (0.0, 0)
        check(net, wide, heldout, args.context)
    else:
        wide = wide_model(args, net)
        wide.body.load_state_dict(was["state"])
    train(args, 2, wide, args.wide, args.wide_rate, args.wide_batch, data, done)
    save_model(args, wide, rows)
    print(f"held out: {heldout_loss(wide, heldout, args.context, 32):.4f} nats a token in 32 windows of {args.context}")
    measure_outliers(wide, heldout, args.context)


if __name__ == "__main__":
    main(ARGS)
