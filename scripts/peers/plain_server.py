#!/usr/bin/env python3
"""plain_server.py MODEL [--port N] [--dtype bfloat16] [--threads N]: what people write first: transformers behind FastAPI.

A peer for scripts/compare_servers. One POST /v1/completions: token ids or text as prompt, max_tokens, ignore_eos, greedy; every
request is a model.generate() with a streamer of its own, one after the other. Needs torch, transformers, fastapi and uvicorn.
"""
import argparse
import json
import queue
import sys
import threading
from pathlib import Path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


ARGS = arguments() if __name__ == "__main__" else None  # before the imports that follow: --help needs none of them

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from packages import need  # noqa: E402  (stands one folder up)

need("torch", "transformers", "fastapi", "uvicorn")

import torch  # noqa: E402
import uvicorn  # noqa: E402
from fastapi import FastAPI, Request  # noqa: E402
from fastapi.responses import JSONResponse, StreamingResponse  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from transformers.generation.streamers import BaseStreamer  # noqa: E402

app = FastAPI()
turn = threading.Lock()


class Streamer(BaseStreamer):
    """Token by token into a queue; the first put is the prompt."""

    def __init__(self):
        self.tokens, self.is_prompt = queue.Queue(), True

    def put(self, value):
        if not self.is_prompt:
            self.tokens.put(value.tolist()[-1])
        self.is_prompt = False

    def end(self):
        self.tokens.put(None)


def generate(ids, body, streamer):
    n = body.get("max_tokens") or 16
    least = n if body.get("ignore_eos") else 0
    with turn, torch.inference_mode():
        try:
            app.state.model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                                     max_new_tokens=n, min_new_tokens=least, streamer=streamer, pad_token_id=50256)
        finally:
            streamer.end()


def event(text, reason=None, **more):
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
    return "data: " + json.dumps({"object": "text_completion", "model": "gpt2", "choices": [choice], **more}) + "\n\n"


def stream(ids, body):
    streamer, count = Streamer(), 0
    threading.Thread(target=generate, args=(ids, body, streamer), daemon=True).start()
    while (token := streamer.tokens.get()) is not None:
        count += 1
        yield event(app.state.tokenizer.decode([token]))
    usage = {"prompt_tokens": len(ids), "completion_tokens": count, "total_tokens": len(ids) + count}
    yield event("", "length" if count == (body.get("max_tokens") or 16) else "stop", usage=usage) + "data: [DONE]\n\n"


@app.post("/v1/completions")
async def completions(request: Request):
    body = await request.json()
    prompt = body["prompt"]
    prompt = prompt[0] if isinstance(prompt, list) and prompt and isinstance(prompt[0], (list, str)) else prompt
    ids = app.state.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt
    return StreamingResponse(stream(ids, body), media_type="text/event-stream")


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/v1/models")
def models():
    return JSONResponse({"object": "list", "data": [{"id": "gpt2", "object": "model", "max_model_len": 1024}]})


def main(options):
    if options.threads:
        torch.set_num_threads(options.threads)
    app.state.tokenizer = AutoTokenizer.from_pretrained(options.model)
    app.state.model = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype)).eval()
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main(ARGS)
