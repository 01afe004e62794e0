/* generate.c - whole generations: a client of the requests that anybody may make. All prompts are submitted, the engine steps until
 * each has ended, and their events become results. The first failure ends all. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/status.h"
#include "job/command.h"
#include "plan/store.h"
#include "serve/batcher.h"
#include "session/encoder.h"
#include "session/saved_cache.h"

/* A result as it grows. */
struct growing {
    struct tfr_ids ids, prompt;
    struct tfr_text text;
    struct tfr_logprob_list logprobs, prompt_logprobs;
    size_t n_top;
    enum tfr_finish finish;
};

struct run {
    struct tfr_engine *engine;
    struct tfr_params *params;
    struct tfr_encoder_file encoder;
    size_t n, n_choices, n_open;   /* n_open: requests that have not ended */
    struct tfr_request **requests; /* [n] */
    uint64_t *digests;             /* [n] */
    struct growing *results;       /* [n * n_choices] */
    tfr_text_fn on_text;
    void *user;
    struct tfr_generation_stats *stats;
    uint64_t start_ns, packed_ns; /* packed_ns: what the stores had spent on packing when last looked */
    bool stopping;                /* all requests were told to end */
    enum tfr_status status;
    char error[1024];
};

static bool has_encoder_states(const struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n) {
    bool has = engine->config->options.input_encoder_states != NULL;
    for (size_t i = 0; i < n; i++) {
        has |= prompts[i].encoder != NULL;
    }
    return has;
}

/* Whether what input.cache_load and output.cache_save ask can be done; before any work. */
static enum tfr_status check_cache(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n) {
    const struct tfr_options *options = &engine->config->options;
    const char *path = options->output_cache_save, *loaded = options->input_cache_load;
    if ((path != NULL || loaded != NULL) && has_encoder_states(engine, prompts, n)) {
        return tfr_raise(TFR_USAGE, "encoder states do not go with %s: a saved cache is of text alone; leave one out",
                         path != NULL ? "output.cache_save" : "input.cache_load");
    }
    if (loaded != NULL) {
        TFR_TRY(tfr_saved_cache_check(engine, loaded));
    }
    if (path != NULL && n != 1) {
        return tfr_raise(TFR_USAGE, "output.cache_save keeps one sequence and there are %zu prompts; give one", n);
    }
    return path != NULL ? tfr_result_write(path, NULL, 0, options->output_force) : TFR_OK;
}

static void stop_all(struct run *run) {
    for (size_t i = 0; run->requests != NULL && i < run->n && !run->stopping; i++) {
        if (run->requests[i] != NULL) {
            tfr_request_cancel(run->requests[i]);
        }
    }
    run->stopping = true;
}

/* The first failure is the one that is told. */
static void fail(struct run *run, enum tfr_status status, const char *error) {
    if (run->status == TFR_OK) {
        run->status = status;
        snprintf(run->error, sizeof run->error, "%s", error);
    }
    stop_all(run);
}

static enum tfr_status submit(struct run *run, const struct tfr_prompt *prompt, size_t index) {
    const struct tfr_options *options = &run->engine->config->options;
    const struct tfr_request_extra extra = {.index = index,
                                            .seed = run->stats->seed,
                                            .cache_load = options->input_cache_load,
                                            .cache_save = options->output_cache_save,
                                            .cache_force = options->output_force};
    struct tfr_encoder_states states;
    struct tfr_prompt whole = *prompt;
    if (whole.encoder == NULL && tfr_encoder_file_at(&run->encoder, index, &states)) {
        whole.encoder = &states;
    }
    return tfr_request_put(run->engine, &whole, 1, run->params, &extra, &run->requests[index]);
}

static enum tfr_status append_ids(struct tfr_ids *to, const struct tfr_event *event) {
    TFR_TRY(tfr_ids_reserve(to, event->n_ids + 1));
    if (event->n_ids > 0) {
        memcpy(to->data + to->n, event->ids, event->n_ids * sizeof *to->data);
    }
    to->n += event->n_ids;
    return TFR_OK;
}

static enum tfr_status append_logprobs(struct tfr_logprob_list *to, const struct tfr_event *event, size_t n) {
    if (event->logprobs == NULL || n == 0) {
        return TFR_OK;
    }
    struct tfr_logprob *items = tfr_realloc(to->items, to->n + n, sizeof *items);
    if (items == NULL) {
        return TFR_RESOURCE;
    }
    memcpy(items + to->n, event->logprobs, n * sizeof *items);
    to->items = items;
    to->n += n;
    return TFR_OK;
}

/* Every result of a prompt says what it was. */
static enum tfr_status take_prompt(struct run *run, size_t index, const struct tfr_event *event) {
    const size_t n_scored = event->n_ids > 0 ? (event->n_ids - 1) * (event->n_top + 1) : 0;
    for (size_t i = 0; i < run->n_choices; i++) {
        struct growing *result = &run->results[index * run->n_choices + i];
        TFR_TRY(append_ids(&result->prompt, event));
        result->n_top = event->n_top;
        TFR_TRY(append_logprobs(&result->prompt_logprobs, event, n_scored));
    }
    return TFR_OK;
}

static enum tfr_status take_tokens(struct run *run, size_t index, const struct tfr_event *event) {
    const size_t at = index * run->n_choices + event->index;
    struct growing *result = &run->results[at];
    TFR_TRY(append_ids(&result->ids, event));
    TFR_TRY(tfr_text_append(&result->text, event->text, event->text_size));
    TFR_TRY(append_logprobs(&result->logprobs, event, event->n_ids * (event->n_top + 1)));
    result->n_top = event->logprobs != NULL ? event->n_top : result->n_top;
    result->finish = event->finish;
    if (event->text_size > 0 && run->on_text != NULL && run->status == TFR_OK &&
        !run->on_text(run->user, at, event->text, event->text_size)) {
        fail(run, TFR_CANCELLED, "stopped on request");
    }
    return TFR_OK;
}

static void take_end(struct run *run, size_t index, const struct tfr_event *event) {
    struct tfr_generation_stats *stats = run->stats;
    run->n_open--;
    run->digests[index] = event->stats.logits_digest;
    stats->prompt_tokens += event->stats.waited_ns > 0 ? event->stats.prompt_tokens : 0; /* of those that began */
    stats->cached_tokens += event->stats.cached_tokens;
    stats->output_tokens += event->stats.output_tokens;
    if (event->status != TFR_OK) {
        fail(run, event->status, event->error);
    }
}

static void take_events(struct run *run, size_t index) {
    struct tfr_event event;
    while (run->requests[index] != NULL && tfr_request_poll(run->requests[index], &event)) {
        enum tfr_status status = TFR_OK;
        switch (event.kind) {
        case TFR_EVENT_PROMPT:
            status = take_prompt(run, index, &event);
            break;
        case TFR_EVENT_TOKENS:
            status = take_tokens(run, index, &event);
            break;
        case TFR_EVENT_END:
            take_end(run, index, &event);
            tfr_request_close(run->requests[index]);
            run->requests[index] = NULL;
            break;
        }
        if (status != TFR_OK) {
            fail(run, status, tfr_failure_text());
        }
    }
}

static uint64_t pack_ns(const struct tfr_engine *engine) {
    const uint64_t own = tfr_store_pack_ns(engine->store);
    return engine->assistant != NULL ? own + tfr_store_pack_ns(engine->assistant->store) : own;
}

/* What weights took that were packed in a step goes to a sum of its own. */
static void count_step(struct run *run, const struct tfr_step_info *info) {
    struct tfr_generation_stats *stats = run->stats;
    const uint64_t packed = pack_ns(run->engine), packing = packed - run->packed_ns;
    const uint64_t ns = info->rows > 0 && info->ns > packing ? info->ns - packing : 0;
    run->packed_ns = packed;
    stats->pack_ns += packing;
    *(info->prompt_rows > 0 ? &stats->prompt_ns : &stats->decode_ns) += ns;
    if (stats->first_token_ns == 0 && info->logits > 0) {
        stats->first_token_ns = tfr_clock_ns() - run->start_ns;
    }
}

static void run_requests(struct run *run, const struct tfr_prompt *prompts) {
    for (size_t i = 0; i < run->n && run->status == TFR_OK; i++) {
        const enum tfr_status status = submit(run, &prompts[i], i);
        run->n_open += status == TFR_OK;
        if (status != TFR_OK) {
            fail(run, status, tfr_failure_text());
        }
    }
    while (run->n_open > 0) {
        struct tfr_step_info info;
        const enum tfr_status status = tfr_engine_step(run->engine, &info);
        if (status != TFR_OK) {
            fail(run, status, tfr_failure_text());
            return;
        }
        count_step(run, &info);
        for (size_t i = 0; i < run->n; i++) {
            take_events(run, i);
        }
    }
}

/* Moves what grew into the caller's record; there is always an end behind it, also where nothing came. */
static enum tfr_status hand_over(struct growing *from, struct tfr_generation *result) {
    const struct tfr_event nothing = {0};
    TFR_TRY(append_ids(&from->prompt, &nothing));
    TFR_TRY(append_ids(&from->ids, &nothing));
    TFR_TRY(tfr_text_append(&from->text, "", 0));
    *result = (struct tfr_generation){.text = from->text.data,
                                      .text_size = from->text.size,
                                      .prompt_ids = from->prompt.data,
                                      .n_prompt_ids = from->prompt.n,
                                      .ids = from->ids.data,
                                      .n_ids = from->ids.n,
                                      .logprobs = from->logprobs.items,
                                      .prompt_logprobs = from->prompt_logprobs.items,
                                      .n_top = from->n_top,
                                      .finish = from->finish};
    *from = (struct growing){0};
    return TFR_OK;
}

static void free_growing(struct growing *growing) {
    tfr_ids_free(&growing->ids);
    tfr_ids_free(&growing->prompt);
    tfr_text_free(&growing->text);
    tfr_logprobs_free(&growing->logprobs);
    tfr_logprobs_free(&growing->prompt_logprobs);
}

static void hand_over_all(struct run *run, struct tfr_generation *results) {
    for (size_t i = 0; run->results != NULL && i < run->n * run->n_choices; i++) {
        const enum tfr_status status = hand_over(&run->results[i], &results[i]);
        if (status != TFR_OK) {
            fail(run, status, tfr_failure_text());
        }
        free_growing(&run->results[i]);
    }
}

static void close_run(struct run *run) {
    for (size_t i = 0; run->requests != NULL && i < run->n; i++) {
        tfr_request_close(run->requests[i]);
    }
    tfr_free(run->requests);
    tfr_free(run->digests);
    tfr_free(run->results);
    tfr_encoder_file_close(&run->encoder);
}

/* One prompt: its own. Several: a hash of theirs in the order of the prompts, so that no company changes it. */
static uint64_t digest_of(const struct run *run) {
    return run->n == 1 ? run->digests[0] : tfr_hash(TFR_HASH_START, run->digests, run->n * sizeof *run->digests);
}

static enum tfr_status open_run(struct run *run, const struct tfr_prompt *prompts) {
    TFR_TRY(check_cache(run->engine, prompts, run->n));
    TFR_TRY(tfr_encoder_file_open(&run->encoder, run->engine, run->n));
    run->stats->seed = run->params->seed >= 0 ? run->params->seed : tfr_seed_draw();
    run->requests = tfr_alloc(run->n + 1, sizeof(struct tfr_request *));
    run->digests = tfr_alloc(run->n + 1, sizeof *run->digests);
    run->results = tfr_alloc(run->n * run->n_choices + 1, sizeof *run->results);
    return run->requests != NULL && run->digests != NULL && run->results != NULL ? TFR_OK : TFR_RESOURCE;
}

size_t tfr_generate_choices(const struct tfr_engine *engine) {
    return (size_t)engine->params->n;
}

enum tfr_status tfr_generate(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n, tfr_text_fn on_text, void *user,
                             struct tfr_generation *results, struct tfr_generation_stats *stats) {
    struct run run = {.engine = engine,
                      .params = engine->params,
                      .n = n,
                      .n_choices = tfr_generate_choices(engine),
                      .on_text = on_text,
                      .user = user,
                      .stats = stats,
                      .start_ns = tfr_clock_ns(),
                      .packed_ns = pack_ns(engine)};
    *stats = (struct tfr_generation_stats){.load_ns = engine->load_ns};
    memset(results, 0, n * run.n_choices * sizeof *results);
    enum tfr_status opened = open_run(&run, prompts);
    opened = opened == TFR_OK ? tfr_engine_begin_facts(engine) : opened;
    if (opened == TFR_OK) {
        run_requests(&run, prompts);
        stats->logits_digest = digest_of(&run);
        hand_over_all(&run, results);
    } else {
        fail(&run, opened, tfr_failure_text());
    }
    close_run(&run);
    stats->peak_memory_bytes = tfr_peak_memory_bytes();
    stats->n_ranks = tfr_engine_size(engine);
    if (run.status == TFR_OK) {
        TFR_TRY(tfr_engine_ask_memory(engine, &stats->rank_memory_bytes));
        TFR_TRY(tfr_engine_rank_facts(engine, &stats->rank_facts));
        stats->run_facts = tfr_engine_end_facts(engine);
    }
    return run.status != TFR_OK ? tfr_raise(run.status, "%s", run.error) : TFR_OK;
}

void tfr_generation_free(struct tfr_generation *generation) {
    tfr_free(generation->text);
    tfr_free(generation->prompt_ids);
    tfr_free(generation->ids);
    tfr_free(generation->logprobs);
    tfr_free(generation->prompt_logprobs);
    *generation = (struct tfr_generation){0};
}
