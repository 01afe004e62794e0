"""with_torch.py: PyTorch and transformers, eager (no torch.compile), attention by scaled_dot_product_attention, for worker.py."""

import logging

import torch
import transformers

import worker

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Peer(worker.Peer):
    def __init__(self, model, precision, threads, _files):
        torch.set_num_threads(threads)
        logging.getLogger("transformers").setLevel(logging.ERROR)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=DTYPES[precision]).eval()

    def versions(self):
        return {"torch": torch.__version__, "transformers": transformers.__version__}

    @torch.inference_mode()
    def run(self, ids, past=None):
        return self.model(input_ids=torch.tensor(ids), past_key_values=past, use_cache=True, logits_to_keep=1)

    def prefill(self, ids):
        return self.run([ids])

    def open(self, prompts):
        self.past = self.run(prompts).past_key_values

    def step(self, tokens):
        result = self.run([[token] for token in tokens], self.past)
        self.past = result.past_key_values
        return result

    def rows(self, result):
        return result.logits[:, -1].float().contiguous().numpy().tobytes()
