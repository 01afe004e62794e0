/* generate.c - whole generations: prompts in groups of max_batch, each group one ragged batch that shrinks as sequences end.
 *
 * The loop: feed every live sequence (its prompt first, then the last token), choose a token from each row of logits, release text.
 * What a sequence gets depends on its own tokens and the seed alone.
 */
#include <tfrun/tfrun.h>

#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "engine/stream.h"

static const uint64_t fnv_offset = 0xcbf29ce484222325u, fnv_prime = 0x100000001b3u;

/* One sequence under way. */
struct live {
    struct tfr_session *session;
    struct tfr_ids ids; /* prompt, then output */
    struct tfr_stream stream;
    size_t index, n_prompt, shown;
    int64_t max_tokens;
    enum tfr_finish finish;
};

struct generation_run {
    struct tfr_engine *engine;
    const struct tfr_tokenizer *tokenizer; /* NULL when all prompts are ids and there is none */
    struct tfr_sampler sampler;
    tfr_text_fn on_text;
    void *user;
    struct tfr_generation_stats *stats;
    uint64_t start_ns;
    bool refused; /* the caller's on_text said stop */
};

static enum tfr_status truncate_prompt(const struct tfr_engine *engine, struct live *live) {
    enum { TRUNCATE_ERROR, TRUNCATE_LEFT, TRUNCATE_RIGHT };
    const struct tfr_options *options = &engine->config->options;
    const int64_t limit = engine->config->model.n_positions;
    int64_t wanted = options->sampling_max_tokens < limit ? options->sampling_max_tokens : limit - 1;
    size_t room = (size_t)(limit - (wanted > 0 ? wanted : 0));
    if ((int64_t)live->ids.n < limit || options->sampling_max_tokens == 0) {
        return (int64_t)live->ids.n <= limit ? TFR_OK
                                             : tfr_raise(TFR_USAGE, "prompt has %zu tokens, context is %lld; shorten it",
                                                         live->ids.n, (long long)limit);
    }
    if (options->input_truncate == TRUNCATE_ERROR) {
        return tfr_raise(TFR_USAGE, "prompt has %zu tokens, context is %lld; shorten it or pass --truncate left|right",
                         live->ids.n, (long long)limit);
    }
    if (options->input_truncate == TRUNCATE_LEFT) {
        memmove(live->ids.data, live->ids.data + live->ids.n - room, room * sizeof *live->ids.data);
    }
    tfr_log(TFR_LOG_WARN, "engine", "prompt cut from %zu to %zu tokens", live->ids.n, room);
    live->ids.n = room;
    return TFR_OK;
}

static enum tfr_status encode_prompt(struct generation_run *run, const struct tfr_prompt *prompt, struct live *live) {
    if (prompt->text != NULL) {
        TFR_TRY(tfr_tokenizer_encode(run->tokenizer, prompt->text, prompt->size, TFR_SPECIAL_PARSE, &live->ids));
    }
    for (size_t i = 0; prompt->text == NULL && i < prompt->n_ids; i++) {
        TFR_TRY(tfr_ids_append(&live->ids, prompt->ids[i]));
    }
    if (live->ids.n == 0) {
        int32_t bos = run->engine->config->model.bos_token_id;
        if (bos < 0) {
            return tfr_raise(TFR_USAGE, "the prompt is empty and the config has no bos_token_id to start from; give a prompt");
        }
        TFR_TRY(tfr_ids_append(&live->ids, bos));
    }
    TFR_TRY(tfr_engine_check_ids(run->engine, live->ids.data, (int64_t)live->ids.n, live->index));
    return truncate_prompt(run->engine, live);
}

static enum tfr_status open_live(struct generation_run *run, const struct tfr_prompt *prompt, size_t index, struct live *live) {
    const struct tfr_config *config = run->engine->config;
    *live = (struct live){.index = index};
    tfr_stream_init(&live->stream, run->tokenizer, &config->options.sampling_stop);
    TFR_TRY(encode_prompt(run, prompt, live));
    live->n_prompt = live->ids.n;
    int64_t room = config->model.n_positions - (int64_t)live->n_prompt;
    live->max_tokens = config->options.sampling_max_tokens;
    if (live->max_tokens > room) {
        tfr_log(TFR_LOG_WARN, "engine", "prompt %zu has %zu tokens and context is %lld: at most %lld new tokens instead of %lld",
                index, live->n_prompt, (long long)config->model.n_positions, (long long)room, (long long)live->max_tokens);
        live->max_tokens = room;
    }
    if (live->max_tokens == 0) {
        live->finish = TFR_FINISH_LENGTH;
        return TFR_OK;
    }
    return tfr_session_open(&live->session, run->engine, (int64_t)live->n_prompt + live->max_tokens);
}

static void close_live(struct live *live) {
    tfr_session_close(live->session);
    live->session = NULL;
}

static void free_live(struct live *live) {
    close_live(live);
    tfr_ids_free(&live->ids);
    tfr_stream_free(&live->stream);
}

static void show(struct generation_run *run, struct live *live) {
    size_t fresh = live->stream.released - live->shown;
    if (fresh > 0 && run->on_text != NULL) {
        run->refused |= !run->on_text(run->user, live->index, live->stream.text.data + live->shown, fresh);
    }
    live->shown = live->stream.released;
}

static enum tfr_finish finish_of(const struct generation_run *run, const struct live *live, int32_t id) {
    const struct tfr_config *config = run->engine->config;
    if (id == config->model.eos_token_id && !config->options.sampling_ignore_eos) {
        return TFR_FINISH_EOS;
    }
    if (live->stream.stopped) {
        return TFR_FINISH_STOP;
    }
    return (int64_t)(live->ids.n - live->n_prompt) >= live->max_tokens ? TFR_FINISH_LENGTH : TFR_FINISH_NONE;
}

static enum tfr_status take_token(struct generation_run *run, struct live *live, const float *logits) {
    int32_t id;
    TFR_TRY(tfr_sampler_next(&run->sampler, logits, (int64_t)live->ids.n, &id));
    TFR_TRY(tfr_ids_append(&live->ids, id));
    if (run->tokenizer != NULL) {
        TFR_TRY(tfr_stream_push(&live->stream, id));
    }
    live->finish = finish_of(run, live, id);
    if (live->finish != TFR_FINISH_NONE && run->tokenizer != NULL) {
        TFR_TRY(tfr_stream_finish(&live->stream));
    }
    show(run, live);
    return TFR_OK;
}

static void digest(struct tfr_generation_stats *stats, const float *logits, int64_t n) {
    uint64_t hash = stats->logits_digest;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        hash = (hash ^ bits) * fnv_prime;
    }
    stats->logits_digest = hash;
}

static size_t collect_feeds(struct live *lives, size_t n, struct tfr_feed *feeds, size_t *which) {
    size_t n_feeds = 0;
    for (size_t i = 0; i < n; i++) {
        if (lives[i].finish == TFR_FINISH_NONE) {
            int64_t known = tfr_session_length(lives[i].session);
            which[n_feeds] = i;
            feeds[n_feeds++] = (struct tfr_feed){
                .session = lives[i].session, .ids = lives[i].ids.data + known, .n = (int64_t)lives[i].ids.n - known, .keep = 1};
        }
    }
    return n_feeds;
}

/* One round for all live sequences. */
static enum tfr_status advance(struct generation_run *run, struct live *lives, const struct tfr_feed *feeds, const size_t *which,
                               size_t n_feeds) {
    const int64_t vocab_size = run->engine->config->model.vocab_size;
    uint64_t start_ns = tfr_clock_ns();
    bool prompt = feeds[0].n > 1 || tfr_session_length(feeds[0].session) == 0;
    const float *logits;
    TFR_TRY(tfr_engine_feed(run->engine, feeds, n_feeds, &logits));
    for (size_t i = 0; i < n_feeds; i++) {
        digest(run->stats, logits + (int64_t)i * vocab_size, vocab_size);
        TFR_TRY(take_token(run, &lives[which[i]], logits + (int64_t)i * vocab_size));
    }
    uint64_t end_ns = tfr_clock_ns();
    *(prompt ? &run->stats->prompt_ns : &run->stats->decode_ns) += end_ns - start_ns;
    if (run->stats->first_token_ns == 0) {
        run->stats->first_token_ns = end_ns - run->start_ns;
    }
    run->stats->output_tokens += n_feeds;
    return TFR_OK;
}

static enum tfr_status run_group(struct generation_run *run, struct live *lives, size_t n, struct tfr_feed *feeds, size_t *which) {
    for (;;) {
        size_t n_feeds = collect_feeds(lives, n, feeds, which);
        if (n_feeds == 0) {
            return TFR_OK;
        }
        if (run->refused || tfr_engine_cancelled()) {
            return tfr_raise(TFR_CANCELLED, "stopped on request");
        }
        TFR_TRY(advance(run, lives, feeds, which, n_feeds));
        for (size_t i = 0; i < n_feeds; i++) {
            if (lives[which[i]].finish != TFR_FINISH_NONE) {
                close_live(&lives[which[i]]);
            }
        }
    }
}

/* Moves what a sequence holds into the caller's record. */
static enum tfr_status hand_over(struct live *live, struct tfr_generation *result) {
    *result = (struct tfr_generation){
        .finish = live->finish, .n_prompt_ids = live->n_prompt, .n_ids = live->ids.n - live->n_prompt};
    result->prompt_ids = tfr_alloc(result->n_prompt_ids + 1, sizeof(int32_t));
    result->ids = tfr_alloc(result->n_ids + 1, sizeof(int32_t));
    result->text = tfr_strndup(live->stream.text.data != NULL ? live->stream.text.data : "", live->stream.text.size);
    if (result->prompt_ids == NULL || result->ids == NULL || result->text == NULL) {
        return TFR_RESOURCE;
    }
    result->text_size = live->stream.text.size;
    if (live->ids.n > 0) {
        memcpy(result->prompt_ids, live->ids.data, live->n_prompt * sizeof(int32_t));
        memcpy(result->ids, live->ids.data + live->n_prompt, result->n_ids * sizeof(int32_t));
    }
    return TFR_OK;
}

static enum tfr_status open_and_run(struct generation_run *run, const struct tfr_prompt *prompts, size_t first, size_t n,
                                    struct live *lives, struct tfr_feed *feeds, size_t *which) {
    for (size_t i = 0; i < n; i++) {
        TFR_TRY(open_live(run, &prompts[first + i], first + i, &lives[i]));
        run->stats->prompt_tokens += lives[i].n_prompt;
    }
    return run_group(run, lives, n, feeds, which);
}

static enum tfr_status generate_group(struct generation_run *run, const struct tfr_prompt *prompts, size_t first, size_t n,
                                      struct tfr_generation *results) {
    struct live *lives = tfr_alloc(n, sizeof *lives);
    struct tfr_feed *feeds = tfr_alloc(n, sizeof *feeds);
    size_t *which = tfr_alloc(n, sizeof *which);
    enum tfr_status status = TFR_RESOURCE;
    if (lives != NULL && feeds != NULL && which != NULL) {
        status = open_and_run(run, prompts, first, n, lives, feeds, which);
        for (size_t i = 0; i < n; i++) {
            enum tfr_status handed = hand_over(&lives[i], &results[first + i]);
            status = status == TFR_OK ? handed : status;
            free_live(&lives[i]);
        }
    }
    tfr_free(lives);
    tfr_free(feeds);
    tfr_free(which);
    return status;
}

static int64_t peak_memory_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_maxrss * 1024;
}

/* A drawn seed fits a JSON double, so that the reported one can be given back. */
static int64_t choose_seed(const struct tfr_options *options) {
    if (options->sampling_seed >= 0) {
        return options->sampling_seed;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((int64_t)now.tv_sec * 1000003 + now.tv_nsec) & INT64_C(0xffffffff);
}

static enum tfr_status open_run(struct generation_run *run, const struct tfr_prompt *prompts, size_t n) {
    const struct tfr_options *options = &run->engine->config->options;
    bool text = options->sampling_stop.n > 0;
    for (size_t i = 0; i < n; i++) {
        text |= prompts[i].text != NULL;
    }
    enum tfr_status status = tfr_engine_tokenizer(run->engine, &run->tokenizer);
    if (status != TFR_OK && (text || status != TFR_RESOURCE)) { /* ids alone need no tokenizer; a broken one is an error */
        return status;
    }
    run->stats->seed = choose_seed(options);
    const struct tfr_sampling sampling = {.temperature = options->sampling_temperature,
                                          .top_k = options->sampling_top_k,
                                          .top_p = options->sampling_top_p,
                                          .seed = (uint64_t)run->stats->seed};
    return tfr_sampler_open(&run->sampler, &sampling, run->engine->config->model.vocab_size);
}

enum tfr_status tfr_generate(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n, tfr_text_fn on_text,
                             void *user, struct tfr_generation *results, struct tfr_generation_stats *stats) {
    *stats = (struct tfr_generation_stats){.load_ns = engine->load_ns, .logits_digest = fnv_offset};
    memset(results, 0, n * sizeof *results);
    struct generation_run run = {
        .engine = engine, .on_text = on_text, .user = user, .stats = stats, .start_ns = tfr_clock_ns()};
    enum tfr_status status = open_run(&run, prompts, n);
    for (size_t first = 0; status == TFR_OK && first < n; first += (size_t)engine->max_batch) {
        size_t left = n - first, batch = (size_t)engine->max_batch;
        status = generate_group(&run, prompts, first, left < batch ? left : batch, results);
    }
    if (status == TFR_CANCELLED) {
        tfr_engine_clear_cancel(); /* not at the start: a request that came between two calls counts */
    }
    tfr_sampler_close(&run.sampler);
    stats->peak_memory_bytes = peak_memory_bytes();
    return status;
}

void tfr_generation_free(struct tfr_generation *generation) {
    tfr_free(generation->text);
    tfr_free(generation->prompt_ids);
    tfr_free(generation->ids);
    *generation = (struct tfr_generation){0};
}
