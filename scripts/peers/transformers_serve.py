#!/usr/bin/env python3
"""transformers_serve.py MODEL [options of `transformers serve`]: transformers' own server, for what a load generator sends.

A peer for scripts/compare_servers. `transformers serve` takes no token ids as prompt, no ignore_eos, no field that it does not
know, has no event for a token that is part of a character, and ends a stream without [DONE]. This adds the five and changes
nothing of how it computes or schedules. Needs transformers 5.24 with its serving extra.
"""
import sys
from pathlib import Path

if __name__ == "__main__" and sys.argv[1:2] in ([], ["-h"], ["--help"]):  # before the imports that follow: help needs none of them
    print(__doc__.strip())
    sys.exit(0 if sys.argv[1:] else 2)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from packages import need  # noqa: E402  (stands one folder up)

need("tokenizers", "transformers", "typer")

import tokenizers.decoders  # noqa: E402
import typer  # noqa: E402
from tokenizers.decoders import DecodeStream  # noqa: E402
from transformers.cli.serve import Serve  # noqa: E402
from transformers.cli.serving.completion import CompletionHandler  # noqa: E402

KNOWN = ("prompt", "max_tokens", "temperature", "top_p", "seed", "stream", "stop")
plain = CompletionHandler.handle_request
configure = CompletionHandler._build_generation_config


class Ids(str):
    """A prompt that is text to the handler and ids to the tokenizer."""


class Tokenizer:
    """The model's, which also takes ids."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, prompt, return_tensors=None, **more):
        if not isinstance(prompt, Ids):
            return self.tokenizer(prompt, return_tensors=return_tensors, **more)
        ids = [int(word) for word in prompt.split()]
        if return_tensors is None:
            return {"input_ids": ids}
        return self.tokenizer.pad({"input_ids": [ids]}, return_tensors=return_tensors)


async def handle_request(self, body, request_id):
    asked = {name: body[name] for name in KNOWN if body.get(name) is not None}
    prompt = asked.get("prompt", "")
    if isinstance(prompt, list):
        prompt = prompt[0] if prompt and isinstance(prompt[0], (list, str)) else prompt
        asked["prompt"] = prompt if isinstance(prompt, str) else Ids(" ".join(map(str, prompt)))
    asked["ignore_eos"] = bool(body.get("ignore_eos"))
    reply = await plain(self, asked, request_id)
    if hasattr(reply, "body_iterator"):
        reply.body_iterator = with_end(reply.body_iterator)
    return reply


async def with_end(events):
    async for piece in events:
        yield piece
    yield "data: [DONE]\n\n"


def build_config(self, body, base, use_cb=False):
    config = configure(self, body, base, use_cb=use_cb)
    if body.get("ignore_eos"):
        config.eos_token_id = -1 if use_cb else None
    return config


class EveryToken:
    """DecodeStream that has an event for each token: what is no whole character yet as U+FFFD."""

    def __init__(self, _ids, skip_special_tokens):
        self.stream = DecodeStream([], skip_special_tokens=skip_special_tokens)

    def step(self, tokenizer, token):
        text = self.stream.step(tokenizer, token)
        return "\ufffd" if text is None else text


def adapt():
    tokenizers.decoders.DecodeStream = EveryToken  # the streamers import it when one is made
    CompletionHandler.handle_request = handle_request
    CompletionHandler._build_generation_config = build_config
    CompletionHandler._validate_request = lambda self, body: None
    resolve = CompletionHandler._resolve_model

    def resolve_model(self, body):
        name, model, processor = resolve(self, body)
        return name, model, Tokenizer(processor)

    CompletionHandler._resolve_model = resolve_model


if __name__ == "__main__":
    adapt()
    program = typer.Typer()
    program.command()(Serve)
    program()
