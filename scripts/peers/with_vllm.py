"""with_vllm.py: vLLM's engine for CPUs, in this process, stepped by hand, for worker.py.

It chooses its tokens itself, greedily, so its answers are compared behind those, as log-probabilities. Prefixes are not cached.
"""

import os
import time

os.environ.update({"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"})

import array  # noqa: E402

import vllm  # noqa: E402

import worker  # noqa: E402

TYPES = {"f32": "float32", "bf16": "bfloat16"}


class Peer(worker.Peer):
    notes = "own greedy loop"

    def __init__(self, model, precision, threads, _files):
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0" if threads == 1 else f"0-{threads - 1}")
        made = vllm.LLM(
            model=model,
            dtype=TYPES[precision],
            skip_tokenizer_init=True,
            max_model_len=1024,
            max_num_seqs=16,
            max_num_batched_tokens=2048,
            enable_prefix_caching=False,
            max_logprobs=-1,
        )
        self.engine, self.count = made.llm_engine, 0
        self.vocabulary = made.model_config.get_vocab_size()

    def versions(self):
        return {"vllm": vllm.__version__}

    def run(self, prompts, length, logprobs=None):
        """Ends of the steps, by time, and what each stream got."""
        params = vllm.SamplingParams(
            temperature=0, max_tokens=length, min_tokens=length, ignore_eos=True, logprobs=logprobs, detokenize=False
        )
        for prompt in prompts:
            self.count += 1
            self.engine.add_request(str(self.count), {"prompt_token_ids": list(prompt)}, params)
        times, ended = [], {}
        while self.engine.has_unfinished_requests():
            for output in self.engine.step():
                ended[int(output.request_id.split("-")[0])] = output.outputs[0]
            times.append(time.perf_counter())
        return times, [ended[key] for key in sorted(ended)][-len(prompts) :]

    def prefill(self, ids):
        self.run([ids], 1)
        return [ids], 1

    def decode(self, prompts, tokens):
        """Prompts of one step at most have all their tokens in the same steps; the last ones are those of decoding."""
        times, streams = self.run(prompts, len(tokens) + 1)
        ms = [1e3 * (after - before) for before, after in zip(times, times[1:])]
        own = [[stream.token_ids[step] for stream in streams] for step in range(len(tokens))]
        return ms[-len(tokens) :], own, (prompts, len(tokens) + 1)

    def rows(self, result):
        prompts, length = result
        _, streams = self.run(prompts, length, logprobs=-1)
        rows = array.array("f")
        for stream in streams:
            last = stream.logprobs[-1]
            rows.extend(last[token].logprob for token in range(self.vocabulary))
        return rows.tobytes()
