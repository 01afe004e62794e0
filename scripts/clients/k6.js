// k6.js: requests for k6, each checked.
import http from 'k6/http';
import { check } from 'k6';

export const options = { thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'] } };

export default function () {
    const body = JSON.stringify({ model: 'demo', prompt: 'Once upon a time', max_tokens: 16, ignore_eos: true });
    const reply = http.post(`${__ENV.SERVER}/v1/completions`, body, { headers: { 'Content-Type': 'application/json' } });
    check(reply, {
        'status is 200': (r) => r.status === 200,
        '16 tokens': (r) => r.json('usage.completion_tokens') === 16,
    });
}
