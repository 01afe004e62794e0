#!/usr/bin/env python3
"""Train the demo model: a small GPT-2 that writes period English prose.

    python3 scripts/train_demo.py DATA_DIR -o configs/demo

DATA_DIR holds the plain-text books of NLTK's Project Gutenberg selection.  The
script cleans them into flowing paragraphs, holds out every twentieth chunk,
trains a byte-level BPE tokenizer and then the model, and writes a folder that
both transformers and tfrun load: the weights in bf16 (those of the evaluation
with the lowest held-out loss), the tokenizer, heldout.txt and training_log.csv.

The committed model had two runs of it (configs/demo/README.md).  Data, tokenizer and batches follow
from --seed alone; the losses differ a little from machine to machine.  --minutes
bounds the time: on a machine too slow for --steps the learning rate falls with
the clock instead, and the run ends early but properly annealed.

--resume trains the model of an earlier run in the same folder further: the same
held-out text, fresh batches, a new schedule, and rows appended to the log.
"""
import csv
import math
import os
import re
import time

import training


def arguments():
    parser = training.parser_of(__doc__, "with the model", warmup=200)
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--minutes", type=float, default=82, help="end by then in any case")
    parser.add_argument("--batch", type=int, default=8, help="windows in a step")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--vocab", type=int, default=6144)
    parser.add_argument("--embd", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--eval-every", type=int, default=200, help="steps")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("numpy", "torch", "tokenizers", "transformers")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from tokenizers import ByteLevelBPETokenizer  # noqa: E402
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast  # noqa: E402

EOT = "<|endoftext|>"

# How often a passage of each book is drawn, relative to its length.  The verse
# in the selection (Blake, Milton, Shakespeare, Whitman) is left out.
WEIGHTS = {
    "bryant-stories.txt": 2.0, "burgess-busterbrown.txt": 2.0, "carroll-alice.txt": 2.0,
    "edgeworth-parents.txt": 1.0,
    "austen-emma.txt": 1.0, "austen-persuasion.txt": 1.0, "austen-sense.txt": 1.0,
    "chesterton-ball.txt": 1.0, "chesterton-brown.txt": 1.0, "chesterton-thursday.txt": 1.0,
    "melville-moby_dick.txt": 0.5,
    "bible-kjv.txt": 0.1,
}

# Spans that are no prose, as (first line, line after the last): plays, a poem,
# a list of quotations, a licence.  "" stands for the end of the book.
CUTS = {
    "edgeworth-parents.txt": [("ETON MONTEM.", "FORGIVE AND FORGET."), ("OLD POZ.", "THE MIMIC.")],
    "chesterton-thursday.txt": [("To Edmund Clerihew Bentley", "CHAPTER I")],
    "melville-moby_dick.txt": [("ETYMOLOGY.", "CHAPTER 1")],
    "chesterton-ball.txt": [("End of Project Gutenberg", "")],
}

TFRUN = {
    "version": 1,
    "task": "generate",
    "model": {"weights": "model.safetensors", "tokenizer": ".", "name": "demo"},
    "input": {"prompt": "\"I am very glad to see you,\" said the old man to the boy,"},
    "sampling": {"max_tokens": 120, "temperature": 0.6, "top_k": 20, "seed": 2},
}


# ---------------------------------------------------------------- the text

def is_heading(paragraph):
    """A chapter number, a title in capitals, or "IV. A Title of Some Kind"."""
    if len(paragraph) > 100 or paragraph[0] in "\"'`":
        return False
    return (not re.search("[a-z]", paragraph)
            or re.match(r"(chapter|volume) ([ivxlc]+|\d+)\b", paragraph, re.I) is not None
            or re.match(r"[IVXL]+\. ", paragraph) is not None)


def is_verse(lines):
    """Several lines that are all indented: a song, a letter head, a table."""
    return len(lines) > 1 and all(line.startswith("  ") for line in lines)


def clean_book(text, name):
    """The book as a list of paragraphs, one line each, with EOT for chapter breaks."""
    text = text.replace("\r", "")
    for first, after in CUTS.get(name, []):
        start = text.index("\n" + first)
        text = text[:start] + (text[text.index("\n" + after + "\n", start):] if after else "")
    text = re.sub(r"\*?\[[^\]]{0,800}\]", "", text)     # title, notes, illustrations
    if name == "bible-kjv.txt":
        text = re.sub(r"\s+\d+:1\s", "\n\n", text)       # a paragraph for each chapter,
        text = re.sub(r"\s+\d+:\d+\s", " ", text)       # without verse numbers
    if name == "carroll-alice.txt":                     # 'speech' -> "speech", as elsewhere
        text = re.sub(r"(?<![A-Za-z.,!?;:*-])'(?=[A-Za-z])", '"', text)
        text = re.sub(r"(?<=[.,!?;:*-])'(?![A-Za-z])", '"', text)
    text = text.replace("_", "").replace("`", "'")

    paragraphs = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line for line in block.split("\n") if line.strip()]
        paragraph = re.sub(r"\s+", " ", " ".join(lines)).strip()
        if not re.search("[A-Za-z]", paragraph) or paragraph[0] == "*" or is_verse(lines):
            continue                                    # rulers, footnotes, verse
        if not is_heading(paragraph):
            paragraphs.append(paragraph.replace("*", ""))
        elif paragraphs and paragraphs[-1] != EOT:
            paragraphs.append(EOT)
    return paragraphs


def split_chunks(paragraphs, size):
    """Contiguous runs of paragraphs, each of at least `size` characters."""
    chunks, chunk, length = [], [], 0
    for paragraph in paragraphs:
        chunk.append(paragraph)
        length += len(paragraph)
        if length >= size:
            chunks.append(chunk)
            chunk, length = [], 0
    return chunks + [chunk] if chunk else chunks


def load_books(data_dir, rng, every=20, chunk_size=4000, heldout_bytes=190_000):
    """Each book's training text, and the held-out text.

    Of every `every` chunks of a book one is held out.  heldout.txt keeps a
    sample of those, weighted as in training, as plain text in book order.
    """
    train, held, weights = {}, [], []
    for name, weight in WEIGHTS.items():
        with open(os.path.join(data_dir, name), encoding="latin-1") as file:
            chunks = split_chunks(clean_book(file.read(), name), chunk_size)
        pieces, offset = [], rng.integers(every)
        for i, chunk in enumerate(chunks):
            if i % every == offset:
                held.append("\n".join(p for p in chunk if p != EOT) + "\n")
                weights.append(weight)
                pieces.append(EOT)
            else:
                pieces.append("\n".join(chunk) + "\n")
        train[name] = re.sub(f"({re.escape(EOT)}\n?)+", EOT, "".join(pieces) + EOT)
    weights = np.array(weights) / sum(weights)
    sample, size = [], 0
    for i in rng.choice(len(held), len(held), replace=False, p=weights):
        if size + len(held[i].encode()) <= heldout_bytes:
            sample.append(i)
            size += len(held[i].encode())
    return train, "".join(held[i] for i in sorted(sample))


def train_tokenizer(train, vocab_size, context, out):
    """Byte-level BPE as GPT-2's, learnt from the books of weight 0.5 and more."""
    bpe = ByteLevelBPETokenizer(add_prefix_space=False)
    texts = [t for name, text in train.items() if WEIGHTS[name] >= 0.5 for t in text.split(EOT)]
    bpe.train_from_iterator(texts, vocab_size, special_tokens=[EOT], show_progress=False)
    bpe.save_model(out)
    tokenizer = GPT2TokenizerFast(os.path.join(out, "vocab.json"), os.path.join(out, "merges.txt"),
                                  add_prefix_space=False, model_max_length=context)
    tokenizer.save_pretrained(out)
    return tokenizer


# ---------------------------------------------------------------- the model

def make_model(args, eot_id):
    config = GPT2Config(
        vocab_size=args.vocab, n_positions=args.context, n_embd=args.embd, n_layer=args.layers,
        n_head=args.heads, activation_function="gelu_new", resid_pdrop=args.dropout,
        embd_pdrop=args.dropout, attn_pdrop=0.0, bos_token_id=eot_id, eos_token_id=eot_id)
    model = GPT2LMHeadModel(config)
    for block in model.transformer.h:   # the same function as gelu_new, in one fast kernel
        block.mlp.act = torch.nn.GELU(approximate="tanh")
    return model


def draw_batch(books, shares, rng, batch, context):
    """`batch` windows at random places of books drawn by their shares."""
    rows = []
    for i in rng.choice(len(books), batch, p=shares):
        start = rng.integers(len(books[i]) - context)
        rows.append(books[i][start:start + context])
    return torch.from_numpy(np.stack(rows).astype(np.int64))


@torch.no_grad()
def heldout_loss(model, ids, context):
    """Mean nats per predicted token over windows that follow one another, in float32."""
    model.eval()
    windows = torch.tensor(ids[:len(ids) // context * context]).view(-1, context)
    losses = [model(w, labels=w).loss.item() * len(w) for w in windows.split(8)]
    model.train()
    return sum(losses) / len(windows)


def save_model(model, out):
    """The bf16 weights and config.json, which carries tfrun's section last."""
    rounded = GPT2LMHeadModel(model.config).to(torch.bfloat16)
    rounded.load_state_dict(model.state_dict())
    rounded.generation_config = GenerationConfig.from_model_config(model.config)
    rounded.save_pretrained(out)
    training.add_section(out, TFRUN)


def earlier_run(args):
    """Steps, tokens, best held-out loss and seconds of the run that --resume continues."""
    if not args.resume:
        return 0, 0, math.inf, 0
    with open(os.path.join(args.out, "training_log.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    return (int(rows[-1]["step"]), int(rows[-1]["tokens"]),
            min(float(row["heldout_loss"]) for row in rows), int(rows[-1]["seconds"]))


def train_model(model, books, shares, heldout, rng, args):
    """Train, log each evaluation, and keep the best checkpoint in args.out."""
    optimizer = training.optimizer_of(model, args.lr, 0.98, args.weight_decay)
    steps_before, tokens_before, best, seconds_before = earlier_run(args)
    total, count, step, minutes = 0.0, 0, 0, 0.0
    start = time.time()
    with open(os.path.join(args.out, "training_log.csv"), "a" if args.resume else "w", newline="") as file:
        log = csv.writer(file, lineterminator="\n")
        if not args.resume:
            log.writerow(["step", "tokens", "train_loss", "heldout_loss", "lr", "seconds"])
        while step < args.steps and minutes < args.minutes:
            step += 1
            minutes = (time.time() - start) / 60
            lr = training.set_rate(optimizer, args.lr, step, args.warmup, max(step / args.steps, minutes / args.minutes))
            batch = draw_batch(books, shares, rng, args.batch, args.context)
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(batch, labels=batch).loss
            total, count = total + training.descend(model, optimizer, loss), count + 1

            if step % args.eval_every == 0 or step == args.steps or minutes >= args.minutes:
                held = heldout_loss(model, heldout, args.context)
                row = (steps_before + step, tokens_before + step * args.batch * args.context,
                       f"{total / count:.4f}", f"{held:.4f}", f"{lr:.2e}",
                       seconds_before + round(time.time() - start))
                log.writerow(row)
                file.flush()
                print(*row, flush=True)
                total, count = 0.0, 0
                if held < best:
                    best = held
                    save_model(model, args.out)
    return best


def main(args):
    training.begin(args)
    rng = np.random.default_rng(args.seed)

    train, heldout_text = load_books(args.data_dir, rng)
    with open(os.path.join(args.out, "heldout.txt"), "w", encoding="utf-8") as file:
        file.write(heldout_text)
    tokenizer = train_tokenizer(train, args.vocab, args.context, args.out)
    books = [np.array(tokenizer(text, verbose=False)["input_ids"], dtype=np.int32)
             for text in train.values()]
    heldout = tokenizer(heldout_text, verbose=False)["input_ids"]
    shares = np.array([len(ids) for ids in books]) * np.array(list(WEIGHTS.values()))
    shares /= shares.sum()
    for name, ids, share in zip(train, books, shares):
        print(f"{name:24} {len(ids):8} tokens, {share:5.1%} of the batches")

    model = make_model(args, tokenizer.eos_token_id)
    if args.resume:
        model.load_state_dict(GPT2LMHeadModel.from_pretrained(args.out, dtype=torch.float32).state_dict())
        rng = np.random.default_rng([args.seed, earlier_run(args)[0]])
    print(f"{model.num_parameters()} parameters; held out: {len(heldout)} tokens,"
          f" {len(heldout_text.encode())} bytes", flush=True)
    best = train_model(model, books, shares, heldout, rng, args)
    bits = best / math.log(2) * len(heldout) / len(heldout_text.encode())
    print(f"best held-out loss {best:.4f} nats per token, {bits:.3f} bits per byte")


if __name__ == "__main__":
    main(ARGS)
