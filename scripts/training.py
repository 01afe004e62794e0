"""What scripts/train_demo.py and scripts/train_124m.py have in common: options, the optimizer, the learning rate, the config's last section."""
import argparse
import json
import math
import os

import argtypes


def parser_of(description, resume, warmup):
    """Options of every training; `resume` says what --resume goes on from, `warmup` is its usual length in steps."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("data_dir", type=argtypes.folder)
    parser.add_argument("-o", "--out", required=True, type=argtypes.makeable, help="folder to write")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--warmup", type=int, default=warmup, help="steps")
    parser.add_argument("--threads", type=argtypes.at_least_one, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help=f"go on {resume} in the folder")
    return parser


def begin(args):
    import torch
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    os.makedirs(args.out, exist_ok=True)


def optimizer_of(model, rate, beta2, decay):
    """AdamW; only the matrices decay."""
    import torch
    groups = [{"params": [p for p in model.parameters() if (p.dim() >= 2) == decays], "weight_decay": decay * decays}
              for decays in (True, False)]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, beta2), fused=True)


def set_rate(optimizer, peak, step, warmup, done):
    """Warm-up, then a cosine down to a twentieth of the peak; `done` is the share of the training that lies behind. The rate."""
    rate = peak * min(step / warmup, 0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * done)))
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def descend(model, optimizer, loss):
    """One step down; the loss as a number."""
    import torch
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def add_section(folder, section):
    """tfrun's own section, the last of config.json."""
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["tfrun"] = section
    with open(path, "w", encoding="utf-8") as file:
        file.write(json.dumps(config, indent=2) + "\n")
