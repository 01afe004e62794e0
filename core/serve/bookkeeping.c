/* bookkeeping.c - what the batcher knows in numbers: what requests took and are expected to take, what steps cost, and what all of
 * that lets a step hold. */
#include "base/clock.h"
#include "job/command.h"
#include "serve/batcher.h"
#include "serve/prefixes.h"

/* Steps vary: a part of the target is left for that. */
static const double target_share = 0.9, average_share = 0.1;
enum { UNKNOWN_CHUNK = 64 };

static double follow(double average, double value) {
    return average > 0 ? average + average_share * (value - average) : value;
}

static double rows_of_a_token(const struct tfr_batcher *batcher) {
    const int64_t n = batcher->engine->max_batch;
    return tfr_step_token_weight(&batcher->cost, n < 16 ? n : 16);
}

double tfr_batcher_expected(const struct tfr_batcher *batcher, const struct tfr_continuation *c) {
    const double most = (double)c->max_tokens;
    const double tokens = batcher->mean_tokens > 0 && batcher->mean_tokens < most ? batcher->mean_tokens : most;
    return (double)c->prompt.n + tokens * (double)tfr_continuation_slots(c) * rows_of_a_token(batcher);
}

double tfr_batcher_spent(const struct tfr_batcher *batcher, const struct tfr_continuation *c) {
    return (double)c->prompt_rows + (double)c->token_rows * rows_of_a_token(batcher);
}

/* Beams tell no token before all are made. */
static bool has_read_its_prompt(const struct tfr_request *request) {
    const struct tfr_continuation *c = &request->continuation;
    return request->first_token_ns > 0 || (c->reader != NULL && tfr_session_length(c->reader) >= (int64_t)c->prompt.n);
}

static void count_cancel(struct tfr_batcher *batcher, struct tfr_request *request) {
    struct tfr_serving *counts = &batcher->counts;
    const uint64_t steps = atomic_load(&request->cancelled) ? tfr_queue_steps_since_cancel(request) : 0;
    *(request->admitted_ns == 0       ? &counts->cancelled_waiting
      : !has_read_its_prompt(request) ? &counts->cancelled_prefill
                                      : &counts->cancelled_decode) += 1;
    counts->cancelled_steps_max = steps > counts->cancelled_steps_max ? steps : counts->cancelled_steps_max;
}

/* Of requests that clients made: not of those that the program itself makes, such as the one for a server's fingerprint. */
static void count_tokens(struct tfr_batcher *batcher, struct tfr_request *request) {
    const size_t n = request->continuation.is_served ? request->continuation.output_tokens : 0;
    batcher->counts.generation_tokens += n - request->counted_tokens;
    request->counted_tokens = n;
}

void tfr_batcher_count_start(struct tfr_batcher *batcher, const struct tfr_request *request) {
    batcher->counts.prompt_tokens += request->continuation.is_served ? request->continuation.prompt.n : 0;
}

void tfr_batcher_count_end(struct tfr_batcher *batcher, struct tfr_request *request) {
    const struct tfr_continuation *c = &request->continuation;
    if (c->status == TFR_CANCELLED) {
        count_cancel(batcher, request);
    } else if (c->status == TFR_OK && request->admitted_ns > 0) {
        batcher->slot_s = follow(batcher->slot_s, (double)(tfr_clock_ns() - request->admitted_ns) / 1e9);
        const double tokens = (double)c->output_tokens / (double)c->params->n;
        batcher->mean_tokens = follow(batcher->mean_tokens, tokens);
        batcher->used_share = c->max_tokens > 0 ? follow(batcher->used_share, tokens / (double)c->max_tokens) : batcher->used_share;
    }
    count_tokens(batcher, request);
    batcher->counts.cached_tokens += c->cached_tokens;
}

static struct tfr_step_shape shape_of(const struct tfr_round_counts *counts) {
    return (struct tfr_step_shape){.sequences = counts->decode_rows,
                                   .prompt_rows = counts->chunk_rows,
                                   .decode_keys = counts->decode_keys,
                                   .prompt_past = counts->chunk_past,
                                   .scored_share = counts->scored_share};
}

int64_t tfr_batcher_budget(void *user, const struct tfr_round_counts *counts) {
    const struct tfr_batcher *batcher = user;
    const int64_t most = counts->room;
    if (batcher->chunk_rows > 0) {
        return batcher->chunk_rows;
    }
    if (counts->decode_rows == 0) {
        return most;
    }
    if (!tfr_step_cost_known(&batcher->cost)) {
        return UNKNOWN_CHUNK;
    }
    const struct tfr_step_shape shape = shape_of(counts);
    return tfr_step_budget(&batcher->cost, &shape, target_share * batcher->target_s, TFR_CHUNK_LEAST, most);
}

void tfr_batcher_learn(struct tfr_batcher *batcher, const struct tfr_round_counts *counts, uint64_t ns) {
    const struct tfr_step_shape shape = shape_of(counts);
    tfr_step_cost_learn(&batcher->cost, &shape, (double)ns / 1e9);
    batcher->counts.last_budget_rows = counts->room;
}

/* Prompt rows a second as the last step had them; alone where nothing decodes. */
static double rate_beside(const struct tfr_batcher *batcher, const struct tfr_round_counts *counts) {
    struct tfr_step_shape shape = shape_of(counts);
    if (counts->decode_rows == 0) {
        return tfr_step_prefill_rate(&batcher->cost);
    }
    shape.prompt_rows =
        tfr_step_budget(&batcher->cost, &shape, target_share * batcher->target_s, TFR_CHUNK_LEAST, batcher->engine->max_rows);
    const double s = tfr_step_cost_s(&batcher->cost, &shape);
    return s > 0 ? (double)shape.prompt_rows / s : 0;
}

/* What a running request still needs, if it writes as much of what it may as others did. */
static double left_s(const struct tfr_batcher *batcher, const struct tfr_request *request, double rate, double token_s) {
    const struct tfr_continuation *c = &request->continuation;
    const double unread = request->first_token_ns == 0 ? (double)(c->prompt.n - c->cached_tokens) : 0;
    const double tokens = (double)c->max_tokens - (double)c->output_tokens / (double)c->params->n;
    const double share = batcher->used_share > 0 && batcher->used_share < 1 ? batcher->used_share : 1;
    return unread / rate + (tokens > 0 ? tokens * share * token_s : 0);
}

/* How long those that run will hold their sequences. */
static void look_ahead(const struct tfr_batcher *batcher, struct tfr_queue_load *load) {
    const double token_s = tfr_curve_s(&batcher->cost.decode, (double)load->slots_used);
    const uint64_t now_ns = tfr_clock_ns();
    double sum = 0;
    load->slot_s = batcher->slot_s;
    if (batcher->running.n == 0 || load->rate_beside <= 0) {
        return;
    }
    for (const struct tfr_request *request = batcher->running.first; request != NULL; request = request->next) {
        load->leaving_slots += atomic_load(&request->cancelled) ? tfr_continuation_slots(&request->continuation) : 0;
        const double left = left_s(batcher, request, load->rate_beside, token_s);
        load->soonest_s = request == batcher->running.first || left < load->soonest_s ? left : load->soonest_s;
        load->last_s = left > load->last_s ? left : load->last_s;
        sum += (double)(now_ns - request->admitted_ns) / 1e9 + left;
    }
    load->slot_s = sum / (double)batcher->running.n;
}

/* Not what requests began with: some of a request's sequences may have ended, and their places be taken. */
static int64_t slots_used(const struct tfr_batcher *batcher) {
    return batcher->engine->max_batch - tfr_engine_free_slots(batcher->engine);
}

static void report_costs(const struct tfr_batcher *batcher, struct tfr_serving *counts) {
    const struct tfr_cost_curve *decode = &batcher->cost.decode;
    counts->itl_target_s = batcher->is_serving ? batcher->target_s : 0;
    counts->prefill_rate = tfr_step_prefill_rate(&batcher->cost);
    for (int i = 0; i < TFR_SERVING_COSTS; i++) {
        const double n = (double)(1 << i);
        counts->decode_cost_s[i] = decode->n > 0 && n <= decode->at[decode->n - 1] ? tfr_curve_s(decode, n) : 0;
    }
}

static void report_prefixes(const struct tfr_batcher *batcher, struct tfr_serving *counts) {
    const struct tfr_prefixes_counts prefixes = tfr_prefixes_counts(batcher->prefixes);
    counts->prefix_slots = prefixes.entries;
    counts->prefix_queries_tokens = prefixes.queried_tokens;
    counts->prefix_hit_tokens = prefixes.hit_tokens;
}

void tfr_batcher_report(struct tfr_batcher *batcher, const struct tfr_round_counts *step) {
    struct tfr_serving *counts = &batcher->counts;
    for (struct tfr_request *request = batcher->running.first; request != NULL; request = request->next) {
        count_tokens(batcher, request);
    }
    const int64_t used = slots_used(batcher);
    struct tfr_queue_load load = {.slots_total = batcher->engine->max_batch,
                                  .slots_used = used,
                                  .prompt_left = step->prompt_left,
                                  .prefill_rate = tfr_step_prefill_rate(&batcher->cost),
                                  .rate_beside = rate_beside(batcher, step)};
    look_ahead(batcher, &load);
    counts->running = batcher->running.n;
    counts->slots_used = (size_t)used;
    counts->slots_total = (size_t)load.slots_total;
    counts->n_steps += step->rows > 0;
    counts->n_batch_rows += (uint64_t)step->rows;
    counts->plans = (size_t)batcher->engine->n_plans;
    counts->n_plans_made = batcher->engine->n_plans_made;
    report_costs(batcher, counts);
    report_prefixes(batcher, counts);
    tfr_queue_report(batcher->queue, counts, &load);
}
