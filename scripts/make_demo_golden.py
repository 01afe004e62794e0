#!/usr/bin/env python3
"""Write greedy continuations of twenty prompts, as reference data for tests.

    python3 scripts/make_demo_golden.py configs/demo -o tests/model/golden/demo_greedy.json

transformers runs the committed bf16 weights in float32 with eager attention.
Each step takes the largest logit, the lowest id on a tie, and goes on past
<|endoftext|>.  `min_gap` is the smallest distance of the two largest logits
over all steps: an implementation whose logits are closer to the reference than
half of it must give the same ids.
"""
import argparse
import json

import argtypes


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config_dir", type=argtypes.holding("config.json"))
    parser.add_argument("-o", "--out", required=True, type=argtypes.writable, help="JSON file to write")
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

from packages import need  # noqa: E402

need("torch", "transformers")

import torch  # noqa: E402
from transformers import GPT2LMHeadModel, GPT2TokenizerFast  # noqa: E402

NEW_TOKENS = 100

PROMPTS = [
    "The",
    "Once upon a time",
    "Alice",
    "It was a dark and",
    '"Oh dear!" said',
    "In the beginning",
    "The Princess looked at him and",
    "Father Brown sat down in the corner of the room, and for a moment he said nothing.",
    "Buster Bear yawned and stretched and looked out of his den.",
    "Mr. Knightley was a sensible man, and he",
    "There was once a poor woman who had three sons.",
    '"I cannot tell you," said the old man,',
    '"You are very good, my dear," said his mother, "but',
    "Call me Ishmael.",
    "The ship was now far out at sea, and the captain",
    "And the king said unto him, What is thy name?",
    "She had been walking for about an hour when she came to a little house in the wood, with a green door and a very small window. She knocked, and",
    '"What is the matter?" asked Anne, as soon as they were alone.\n"Nothing at all," he answered;',
    "Lawrence was an idle boy. He lay in the sun all the day long, and would not work in the garden with his father, who was old and ill. One fine evening in the spring, when",
    'The two men ran down the long white road under the moon, with their swords in their hands, and behind them they could hear the shouts of the policemen and the sound of a motor-car. Turnbull was the first to speak. "If we reach the wall," he said',
]


@torch.no_grad()
def greedy(model, prompt_ids):
    """The new ids and the smallest gap between the best and second logit."""
    ids, gap = list(prompt_ids), float("inf")
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        first, second = logits.topk(2).values.tolist()
        gap = min(gap, first - second)
        ids.append(int((logits == first).nonzero()[0]))
    return ids[len(prompt_ids):], gap


def main(args):
    tokenizer = GPT2TokenizerFast.from_pretrained(args.config_dir)
    model = GPT2LMHeadModel.from_pretrained(
        args.config_dir, dtype=torch.float32, attn_implementation="eager").eval()

    golden = {"prompts": PROMPTS, "prompt_ids": [], "ids": [], "gaps": []}
    for prompt in PROMPTS:
        prompt_ids = tokenizer(prompt)["input_ids"]
        ids, gap = greedy(model, prompt_ids)
        golden["prompt_ids"].append(prompt_ids)
        golden["ids"].append(ids)
        golden["gaps"].append(round(gap, 6))
        print(f"{len(prompt_ids):3} tokens, gap {gap:.6f}: {prompt[:60]!r}")
    golden["min_gap"] = min(golden["gaps"])
    with open(args.out, "w", encoding="utf-8") as file:
        file.write("{\n" + ",\n".join(
            f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()) + "\n}\n")


if __name__ == "__main__":
    main(ARGS)
