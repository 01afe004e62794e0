"""locustfile.py: users for locust who read streams of /v1/completions, and fail where one is not as it should be."""
import json

from locust import HttpUser, task


class Reader(HttpUser):
    @task
    def read(self):
        body = {"model": "demo", "prompt": "Once upon a time", "max_tokens": 16, "ignore_eos": True, "stream": True}
        with self.client.post("/v1/completions", json=body, stream=True, catch_response=True) as reply:
            lines = [line for line in reply.iter_lines() if line]
            events = [json.loads(line[6:]) for line in lines[:-1]]
            if reply.status_code != 200 or lines[-1] != b"data: [DONE]" or len(events) != 16:
                reply.failure(f"{reply.status_code}, {len(events)} events, the last line is {lines[-1:]}")
