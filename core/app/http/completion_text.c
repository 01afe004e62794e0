/* completion_text.c - answers of /v1/completions as JSON: whole, or one event a token. Appended to, never a tree. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "app/http/completion.h"
#include "base/clock.h"

static void put_head(const struct tfr_completion *completion, struct tfr_json_out *out) {
    const struct tfr_server *server = completion->call->server;
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "id", completion->id);
    tfr_json_put_text(out, "object",
                      !completion->ask.chat    ? "text_completion"
                      : completion->ask.stream ? "chat.completion.chunk"
                                               : "chat.completion");
    tfr_json_put_int(out, "created", completion->created);
    tfr_json_put_text(out, "model", server->model);
    tfr_json_put_text(out, "system_fingerprint", server->fingerprint);
}

static void put_usage(const struct tfr_completion *completion, struct tfr_json_out *out) {
    tfr_json_begin(out, "usage", '{');
    tfr_json_put_int(out, "prompt_tokens", (int64_t)completion->prompt_tokens);
    tfr_json_put_int(out, "completion_tokens", (int64_t)completion->output_tokens);
    tfr_json_put_int(out, "total_tokens", (int64_t)(completion->prompt_tokens + completion->output_tokens));
    tfr_json_begin(out, "prompt_tokens_details", '{');
    tfr_json_put_int(out, "cached_tokens", (int64_t)completion->cached_tokens);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

static void put_ms(struct tfr_json_out *out, const char *key, uint64_t ns) {
    tfr_json_put_number(out, key, tfr_rounded_ms((double)ns / 1e9));
}

static void put_timings(const struct tfr_completion *completion, struct tfr_json_out *out) {
    tfr_json_begin(out, "timings", '{');
    put_ms(out, "queue_ms", completion->waited_ns);
    put_ms(out, "prompt_ms", completion->prefill_ns);
    put_ms(out, "decode_ms", completion->decode_ns);
    put_ms(out, "ttft_ms", completion->first_token_ns);
    tfr_json_end(out, '}');
}

static const struct tfr_ask_prompt *told_prompt(const struct tfr_completion *completion, size_t prompt, bool told) {
    return completion->ask.return_ids && !told ? &completion->ask.prompts.list[prompt] : NULL;
}

static double mean_logprob(const struct tfr_choice *choice) {
    return choice->n_tokens > 0 ? choice->logprob / (double)choice->n_tokens : 0;
}

/* The best of `n` that is not taken yet; of equal ones the first. */
static size_t take_best(const struct tfr_choice *choices, size_t n, uint64_t taken[2]) {
    size_t best = n;
    for (size_t i = 0; i < n; i++) {
        const bool is_free = (taken[i / 64] >> (i % 64) & 1) == 0;
        if (is_free && (best == n || mean_logprob(&choices[i]) > mean_logprob(&choices[best]))) {
            best = i;
        }
    }
    taken[best / 64] |= UINT64_C(1) << (best % 64);
    return best;
}

static void put_choices(const struct tfr_completion *completion, struct tfr_json_out *out) {
    const struct tfr_ask *ask = &completion->ask;
    tfr_json_begin(out, "choices", '[');
    for (size_t p = 0; p < ask->prompts.n; p++) {
        const struct tfr_choice *choices = completion->choices + p * ask->width;
        uint64_t taken[2] = {0, 0}; /* of at most 128 */
        for (size_t i = 0; i < ask->n; i++) {
            const size_t chosen = ask->ranked ? take_best(choices, ask->width, taken) : ask->width > 1 ? i : 0;
            tfr_choice_write(&choices[chosen], ask, p * ask->n + i, told_prompt(completion, p, false), out);
        }
    }
    tfr_json_end(out, ']');
}

void tfr_completion_name(struct tfr_completion *completion) {
    uint64_t random[2] = {tfr_clock_ns(), (uint64_t)(uintptr_t)completion};
    (void)!getrandom(random, sizeof random, GRND_NONBLOCK);
    snprintf(completion->id, sizeof completion->id, "%s-%016llx%08x", completion->ask.chat ? "chatcmpl" : "cmpl",
             (unsigned long long)random[0], (unsigned)random[1]);
    completion->created = (int64_t)time(NULL);
}

void tfr_completion_write_whole(struct tfr_completion *completion, struct tfr_json_out *out) {
    put_head(completion, out);
    put_choices(completion, out);
    put_usage(completion, out);
    put_timings(completion, out);
    tfr_json_end(out, '}');
}

static void begin_event(struct tfr_completion *completion) {
    completion->line.size = 0;
    completion->line.comma = false;
    tfr_json_put_raw(&completion->line, "data: ");
}

/* One write, so that no client sees half of one. */
static void end_event(struct tfr_completion *completion) {
    tfr_json_put_raw(&completion->line, "\n\n");
    if (!completion->line.failed) {
        tfr_http_stream_write(completion->call->exchange, completion->line.text, completion->line.size);
    }
    completion->written_ns = tfr_clock_ns();
}

/* As often as the same text is asked for. */
static void tell(struct tfr_completion *completion, const struct tfr_choice *told, size_t prompt, size_t choice, bool with_prompt) {
    const struct tfr_ask *ask = &completion->ask;
    const size_t copies = ask->width == 1 ? ask->n : 1;
    for (size_t i = 0; i < copies; i++) {
        begin_event(completion);
        put_head(completion, &completion->line);
        tfr_json_begin(&completion->line, "choices", '[');
        tfr_choice_write(told, ask, prompt * ask->n + choice + i, told_prompt(completion, prompt, !with_prompt), &completion->line);
        tfr_json_end(&completion->line, ']');
        tfr_json_end(&completion->line, '}');
        end_event(completion);
    }
}

void tfr_completion_tell(struct tfr_completion *completion, size_t prompt, size_t choice) {
    struct tfr_choice *told = &completion->choices[prompt * completion->ask.width + choice];
    tell(completion, told, prompt, choice, !told->prompt_told);
    told->prompt_told = told->role_told = true;
    tfr_choice_written(told);
}

void tfr_completion_tell_held(struct tfr_completion *completion, size_t prompt, size_t choice) {
    struct tfr_choice *own = &completion->choices[prompt * completion->ask.width + choice];
    const struct tfr_choice nothing = {.role_told = own->role_told};
    tell(completion, &nothing, prompt, choice, false);
    own->role_told = true;
}

void tfr_completion_tell_end(struct tfr_completion *completion) {
    static const char end[] = "data: [DONE]\n\n";
    if (completion->ask.include_usage) {
        begin_event(completion);
        put_head(completion, &completion->line);
        tfr_json_begin(&completion->line, "choices", '[');
        tfr_json_end(&completion->line, ']');
        put_usage(completion, &completion->line);
        put_timings(completion, &completion->line);
        tfr_json_end(&completion->line, '}');
        end_event(completion);
    }
    tfr_http_stream_end(completion->call->exchange, end, sizeof end - 1);
}

void tfr_completion_tell_error(struct tfr_completion *completion, const struct tfr_refusal *refusal) {
    begin_event(completion);
    tfr_error_body(&completion->line, refusal->error, refusal->param[0] != '\0' ? refusal->param : NULL,
                   refusal->text[0] != '\0' ? refusal->text : NULL);
    tfr_json_put_raw(&completion->line, "\n\ndata: [DONE]\n\n");
    const bool whole = !completion->line.failed;
    tfr_http_stream_end(completion->call->exchange, whole ? completion->line.text : NULL, whole ? completion->line.size : 0);
}
