/* generate.c - whole generations: prompts in groups of max_batch, each group one ragged batch that shrinks as sequences end.
 *
 * The loop: feed every live sequence (its prompt first, then the last token), choose a token from each row of logits, release text.
 * What a sequence gets depends on its own tokens and the seed alone.
 */
#include "generation/generation.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "session/prefix.h"
#include "session/saved_cache.h"

static const uint64_t fnv_offset = 0xcbf29ce484222325u, fnv_prime = 0x100000001b3u;

static void close_live(struct tfr_live *live) {
    tfr_session_close(live->session);
    live->session = NULL;
}

void tfr_live_free(struct tfr_live *live) {
    close_live(live);
    tfr_ids_free(&live->ids);
    tfr_stream_free(&live->stream);
}

static void show(struct tfr_generation_run *run, struct tfr_live *live) {
    size_t fresh = live->stream.released - live->shown;
    if (fresh > 0 && run->on_text != NULL) {
        run->refused |= !run->on_text(run->user, live->index, live->stream.text.data + live->shown, fresh);
    }
    live->shown = live->stream.released;
}

static enum tfr_finish finish_of(const struct tfr_generation_run *run, const struct tfr_live *live, int32_t id) {
    if (tfr_pipeline_ends(&run->engine->pipeline, id)) {
        return TFR_FINISH_EOS;
    }
    if (live->stream.stopped) {
        return TFR_FINISH_STOP;
    }
    return (int64_t)(live->ids.n - live->n_prompt) >= live->max_tokens ? TFR_FINISH_LENGTH : TFR_FINISH_NONE;
}

enum tfr_status tfr_live_append(struct tfr_generation_run *run, struct tfr_live *live, int32_t id) {
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

struct tfr_score_row tfr_live_row(const struct tfr_live *live) {
    return (struct tfr_score_row){.ids = live->ids.data,
                                  .n = (int64_t)live->ids.n,
                                  .n_prompt = (int64_t)live->n_prompt,
                                  .max_length = (int64_t)live->n_prompt + live->max_tokens};
}

static enum tfr_status take_token(struct tfr_generation_run *run, struct tfr_live *live, const float *logits) {
    int32_t id;
    const struct tfr_score_row row = tfr_live_row(live);
    TFR_TRY(tfr_sampler_next(&run->sampler, &row, logits, live->choice, &id));
    return tfr_live_append(run, live, id);
}

void tfr_run_digest(struct tfr_generation_run *run, const float *logits, int64_t n) {
    uint64_t hash = run->stats->logits_digest;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        hash = (hash ^ bits) * fnv_prime;
    }
    run->stats->logits_digest = hash;
}

void tfr_run_count_step(struct tfr_generation_run *run, uint64_t start_ns, bool prompt) {
    const uint64_t end_ns = tfr_clock_ns();
    *(prompt ? &run->stats->prompt_ns : &run->stats->decode_ns) += end_ns - start_ns;
    if (run->stats->first_token_ns == 0) {
        run->stats->first_token_ns = end_ns - run->start_ns;
    }
}

enum tfr_status tfr_run_check_stop(const struct tfr_generation_run *run) {
    return run->refused || tfr_engine_cancelled() ? tfr_raise(TFR_CANCELLED, "stopped on request") : TFR_OK;
}

static size_t collect_feeds(struct tfr_live *lives, size_t n, struct tfr_feed *feeds, size_t *which) {
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
static enum tfr_status advance(struct tfr_generation_run *run, struct tfr_live *lives, const struct tfr_feed *feeds,
                               const size_t *which,
                               size_t n_feeds) {
    const int64_t vocab_size = run->engine->config->model.vocab_size;
    uint64_t start_ns = tfr_clock_ns();
    bool prompt = tfr_session_length(feeds[0].session) < (int64_t)lives[which[0]].n_prompt;
    const float *logits;
    TFR_TRY(tfr_engine_feed(run->engine, feeds, n_feeds, &logits));
    for (size_t i = 0; i < n_feeds; i++) {
        tfr_run_digest(run, logits + (int64_t)i * vocab_size, vocab_size);
        TFR_TRY(take_token(run, &lives[which[i]], logits + (int64_t)i * vocab_size));
    }
    tfr_run_count_step(run, start_ns, prompt);
    run->stats->output_tokens += n_feeds;
    return TFR_OK;
}

/* The sequence that output.cache_save is about stays open to the end of its group. */
static bool is_kept(const struct tfr_generation_run *run, const struct tfr_live *live) {
    return live->index == 0 && run->engine->config->options.output_cache_save != NULL;
}

static enum tfr_status run_group(struct tfr_generation_run *run, struct tfr_live *lives, size_t n, struct tfr_feed *feeds,
                                 size_t *which) {
    for (;;) {
        size_t n_feeds = collect_feeds(lives, n, feeds, which);
        if (n_feeds == 0) {
            return TFR_OK;
        }
        TFR_TRY(tfr_run_check_stop(run));
        TFR_TRY(advance(run, lives, feeds, which, n_feeds));
        for (size_t i = 0; i < n_feeds; i++) {
            if (lives[which[i]].finish != TFR_FINISH_NONE && !is_kept(run, &lives[which[i]])) {
                close_live(&lives[which[i]]);
            }
        }
    }
}

/* Moves what a sequence holds into the caller's record. */
static enum tfr_status hand_over(struct tfr_live *live, struct tfr_generation *result) {
    *result = (struct tfr_generation){
        .finish = live->finish, .n_prompt_ids = live->n_prompt, .n_ids = live->ids.n - live->n_prompt};
    result->prompt_ids = tfr_alloc(result->n_prompt_ids + 1, sizeof(int32_t));
    result->ids = tfr_alloc(result->n_ids + 1, sizeof(int32_t));
    result->text = tfr_alloc(live->stream.text.size + 1, 1);
    if (result->prompt_ids == NULL || result->ids == NULL || result->text == NULL) {
        return TFR_RESOURCE;
    }
    result->text_size = live->stream.text.size; /* a token may be the byte 0 */
    if (result->text_size > 0) {
        memcpy(result->text, live->stream.text.data, result->text_size);
    }
    if (live->ids.n > 0) {
        memcpy(result->prompt_ids, live->ids.data, live->n_prompt * sizeof(int32_t));
        memcpy(result->ids, live->ids.data + live->n_prompt, result->n_ids * sizeof(int32_t));
    }
    return TFR_OK;
}

/* A group of results; each prompt has n_choices of them, one after the other. */
struct group {
    const struct tfr_prompt *prompts;
    size_t n_choices, first, n;
    struct tfr_live *lives; /* [n] */
    struct tfr_feed *feeds; /* [n] */
    size_t *which;          /* [n] */
};

static enum tfr_status open_lives(struct tfr_generation_run *run, const struct group *group) {
    for (size_t i = 0; i < group->n; i++) {
        const size_t index = group->first + i;
        TFR_TRY(tfr_live_open(run, &group->prompts[index / group->n_choices], index, &group->lives[i]));
        run->stats->prompt_tokens += group->lives[i].choice == 0 ? group->lives[i].n_prompt : 0;
    }
    return TFR_OK;
}

/* Several samples of one prompt read it once: all but its last token is fed to the first of them and copied to the others. */
static enum tfr_status share_prompt(struct tfr_generation_run *run, struct tfr_live *live, struct tfr_live *before) {
    const int64_t n = (int64_t)live->n_prompt - 1;
    const uint64_t start_ns = tfr_clock_ns();
    if (before != NULL) {
        return tfr_session_copy(live->session, before->session, n);
    }
    TFR_TRY(tfr_live_prepare(run, live, live->session));
    const int64_t known = tfr_session_length(live->session);
    if (known == n) {
        return TFR_OK;
    }
    const struct tfr_feed feed = {.session = live->session, .ids = live->ids.data + known, .n = n - known, .keep = 0};
    const float *logits;
    TFR_TRY(tfr_engine_feed(run->engine, &feed, 1, &logits));
    run->stats->prompt_ns += tfr_clock_ns() - start_ns;
    return TFR_OK;
}

/* Side by side, one token a step. */
static enum tfr_status run_batch(struct tfr_generation_run *run, const struct group *group) {
    for (size_t i = 0; i < group->n; i++) {
        struct tfr_live *live = &group->lives[i];
        if (live->finish != TFR_FINISH_NONE) {
            continue;
        }
        TFR_TRY(tfr_live_open_session(run, live));
        TFR_TRY(group->n_choices > 1 ? share_prompt(run, live, i > 0 && live->choice > 0 ? live - 1 : NULL)
                                     : tfr_live_prepare(run, live, live->session));
    }
    return run_group(run, group->lives, group->n, group->feeds, group->which);
}

static enum tfr_status open_and_run(struct tfr_generation_run *run, const struct group *group) {
    const struct tfr_options *options = &run->engine->config->options;
    TFR_TRY(open_lives(run, group));
    if (options->sampling_num_beams > 1) {
        return group->lives[0].finish == TFR_FINISH_NONE ? tfr_beam_generate(run, group->lives, group->n) : TFR_OK;
    }
    if (options->sampling_assistant != NULL || options->sampling_prompt_lookup > 0) {
        return group->lives[0].finish == TFR_FINISH_NONE ? tfr_assist_generate(run, group->lives) : TFR_OK;
    }
    return run_batch(run, group);
}

static enum tfr_status generate_group(struct tfr_generation_run *run, struct group *group, struct tfr_generation *results) {
    group->lives = tfr_alloc(group->n, sizeof *group->lives);
    group->feeds = tfr_alloc(group->n, sizeof *group->feeds);
    group->which = tfr_alloc(group->n, sizeof *group->which);
    enum tfr_status status = TFR_RESOURCE;
    if (group->lives != NULL && group->feeds != NULL && group->which != NULL) {
        status = open_and_run(run, group);
        status = status == TFR_OK && is_kept(run, &group->lives[0]) ? tfr_run_save_cache(run, &group->lives[0]) : status;
        for (size_t i = 0; i < group->n; i++) {
            enum tfr_status handed = hand_over(&group->lives[i], &results[group->first + i]);
            status = status == TFR_OK ? handed : status;
            tfr_live_free(&group->lives[i]);
        }
    }
    tfr_free(group->lives);
    tfr_free(group->feeds);
    tfr_free(group->which);
    return status;
}

/* How many results go together: beams and drafts have one prompt at a time, the rest as many sequences as fit. */
static size_t group_size(const struct tfr_engine *engine) {
    const struct tfr_options *options = &engine->config->options;
    if (options->sampling_num_beams > 1) {
        return tfr_generate_choices(engine);
    }
    return options->sampling_assistant != NULL || options->sampling_prompt_lookup > 0 ? 1 : (size_t)engine->max_batch;
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

static enum tfr_status open_run(struct tfr_generation_run *run, const struct tfr_prompt *prompts, size_t n) {
    const struct tfr_options *options = &run->engine->config->options;
    bool text = options->sampling_stop.n > 0;
    for (size_t i = 0; i < n; i++) {
        text |= prompts[i].text != NULL;
    }
    enum tfr_status status = tfr_engine_tokenizer(run->engine, &run->tokenizer);
    if (status != TFR_OK && (text || status != TFR_RESOURCE)) { /* ids alone need no tokenizer; a broken one is an error */
        return status;
    }
    TFR_TRY(tfr_encoder_file_open(&run->encoder, run->engine, n));
    run->stats->seed = choose_seed(options);
    return tfr_sampler_open(&run->sampler, &run->engine->pipeline, (uint64_t)run->stats->seed,
                            run->engine->config->model.vocab_size);
}

size_t tfr_generate_choices(const struct tfr_engine *engine) {
    return (size_t)engine->config->options.sampling_num_return_sequences;
}

enum tfr_status tfr_generate(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n, tfr_text_fn on_text,
                             void *user, struct tfr_generation *results, struct tfr_generation_stats *stats) {
    *stats = (struct tfr_generation_stats){.load_ns = engine->load_ns, .logits_digest = fnv_offset};
    const size_t n_choices = tfr_generate_choices(engine), n_results = n * n_choices, batch = group_size(engine);
    memset(results, 0, n_results * sizeof *results);
    struct tfr_generation_run run = {
        .engine = engine, .on_text = on_text, .user = user, .stats = stats, .start_ns = tfr_clock_ns()};
    enum tfr_status status = tfr_run_check_cache(engine, prompts, n);
    status = status == TFR_OK ? open_run(&run, prompts, n) : status;
    for (size_t first = 0; status == TFR_OK && first < n_results; first += batch) {
        const size_t left = n_results - first;
        struct group group = {.prompts = prompts, .n_choices = n_choices, .first = first, .n = left < batch ? left : batch};
        status = generate_group(&run, &group, results);
    }
    if (status == TFR_CANCELLED) {
        tfr_engine_clear_cancel(); /* not at the start: a request that came between two calls counts */
    }
    tfr_sampler_close(&run.sampler);
    tfr_encoder_file_close(&run.encoder);
    stats->peak_memory_bytes = peak_memory_bytes();
    return status;
}

void tfr_generation_free(struct tfr_generation *generation) {
    tfr_free(generation->text);
    tfr_free(generation->prompt_ids);
    tfr_free(generation->ids);
    *generation = (struct tfr_generation){0};
}
