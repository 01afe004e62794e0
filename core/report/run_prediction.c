/* run_prediction.c - see run_prediction.h. */
#include "report/run_prediction.h"

#include <math.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "report/layout_facts.h"

/* All prompts are read as if they were one; each sequence has an even share of what was made. */
static struct tfr_layout_load load_of(const struct tfr_engine *engine, const struct tfr_generation_stats *stats, int64_t n) {
    const int64_t prompt = (int64_t)(stats->prompt_tokens - stats->cached_tokens);
    return (struct tfr_layout_load){.prompt = prompt > 0 ? prompt : 1,
                                    .chunk = engine->chunk_rows,
                                    .sequences = n,
                                    .context = ((int64_t)stats->prompt_tokens + (int64_t)stats->output_tokens / 2) / n};
}

/* What the pieces of the prompt take and send on a rank. */
static void add_prompt(const struct tfr_layout_question *question, int rank, struct tfr_rank_prediction *to) {
    const struct tfr_layout *layout = question->layout;
    const struct tfr_layout_load *load = question->load;
    const int stage = rank % (layout->stages * layout->tensor) / layout->tensor;
    for (int64_t done = 0; done < load->prompt; done += load->chunk) {
        const int64_t left = load->prompt - done, rows = left < load->chunk ? left : load->chunk;
        const double logits = left <= load->chunk ? (double)load->sequences : 0;
        const struct tfr_layout_step step = {.replicas = 1,
                                             .rows = (double)rows,
                                             .sequences = 1,
                                             .past = (double)done,
                                             .logits = logits,
                                             .in_flight = load->prompt > load->chunk ? layout->stages : 1};
        to->busy_ns.predicted += tfr_layout_busy_ns(question, &step, stage);
        const struct tfr_layout_sent sent = tfr_layout_sent(question, (double)rows, logits, rank);
        to->messages.predicted += sent.messages;
        to->bytes.predicted += sent.bytes;
    }
}

static void fill_ranks(const struct tfr_layout_question *question, const struct tfr_layout_times *times, double rounds,
                       const struct tfr_rank_facts *facts, struct tfr_run_prediction *prediction, double elapsed_ns) {
    const double steps_ns = prediction->first_token_ns.predicted + rounds * times->round_ns;
    for (int i = 0; i < prediction->n_ranks; i++) {
        struct tfr_rank_prediction *rank = &prediction->rank[i];
        add_prompt(question, i, rank);
        const struct tfr_layout_sent sent = tfr_layout_sent(question, times->rows, times->rows, i);
        rank->busy_ns.predicted += rounds * times->rank[i].busy_ns;
        rank->messages.predicted += rounds * times->groups * sent.messages;
        rank->bytes.predicted += rounds * times->groups * sent.bytes;
        rank->wait_share.predicted = fmax(0, 1 - rank->busy_ns.predicted / steps_ns);
        rank->busy_ns.measured = (double)facts[i].busy_ns;
        rank->messages.measured = (double)facts[i].sent_messages;
        rank->bytes.measured = (double)facts[i].sent_bytes;
        rank->wait_share.measured = 1 - rank->busy_ns.measured / elapsed_ns;
    }
}

static enum tfr_status compare(const struct tfr_layout_facts *facts, const struct tfr_engine *engine,
                               const struct tfr_layout *layout, const struct tfr_generation_stats *stats, int64_t n,
                               struct tfr_run_prediction *prediction) {
    const struct tfr_layout_load load = load_of(engine, stats, n);
    const struct tfr_layout_question question = tfr_layout_facts_ask(facts, layout, &load);
    struct tfr_layout_times times = {0};
    TFR_TRY(tfr_layout_predict(&question, &times));
    const double decoded = (double)stats->output_tokens - (double)n, decode_ns = (double)stats->decode_ns;
    prediction->is_measured = facts->is_measured;
    prediction->first_token_ns = (struct tfr_foretold){times.first_token_ns, (double)stats->prompt_ns};
    if (decoded > 0 && decode_ns > 0) {
        const double predicted_ns = n > 1 ? times.round_ns : times.token_ns;
        prediction->token_ns = (struct tfr_foretold){predicted_ns, decode_ns * (double)n / decoded};
        prediction->tokens_per_s = (struct tfr_foretold){(double)n / predicted_ns * 1e9, decoded / decode_ns * 1e9};
    }
    fill_ranks(&question, &times, decoded > 0 ? decoded / (double)n : 0, stats->run_facts, prediction,
               (double)stats->prompt_ns + decode_ns);
    tfr_free(times.rank);
    return facts->pieces.status;
}

static enum tfr_status predict(const struct tfr_engine *engine, const struct tfr_generation_stats *stats, int64_t n, int *blocks,
                               struct tfr_run_prediction *prediction) {
    const struct tfr_layout layout = tfr_layout_of_engine(engine, blocks);
    struct tfr_layout_facts *facts = tfr_alloc(1, sizeof *facts);
    if (facts == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = tfr_layout_facts_open(facts, engine->config, engine->machine, engine->registry, &engine->threads,
                                                   tfr_comm_local_size(engine->comm));
    status = status == TFR_OK ? compare(facts, engine, &layout, stats, n, prediction) : status;
    tfr_layout_facts_close(facts);
    tfr_free(facts);
    return status;
}

enum tfr_status tfr_run_predict(const struct tfr_engine *engine, const struct tfr_generation_stats *stats, size_t n_sequences,
                                struct tfr_run_prediction *prediction) {
    *prediction = (struct tfr_run_prediction){0};
    if (tfr_engine_size(engine) == 1 || stats->run_facts == NULL || stats->output_tokens < n_sequences || n_sequences == 0) {
        return TFR_OK;
    }
    int *blocks = tfr_alloc((size_t)engine->placement.stages, sizeof *blocks);
    prediction->rank = tfr_alloc((size_t)tfr_engine_size(engine), sizeof *prediction->rank);
    prediction->n_ranks = tfr_engine_size(engine);
    enum tfr_status status = blocks != NULL && prediction->rank != NULL ? TFR_OK : TFR_RESOURCE;
    status = status == TFR_OK ? predict(engine, stats, (int64_t)n_sequences, blocks, prediction) : status;
    tfr_free(blocks);
    if (status != TFR_OK) {
        tfr_run_prediction_free(prediction);
    }
    return status;
}

void tfr_run_prediction_free(struct tfr_run_prediction *prediction) {
    tfr_free(prediction->rank);
    *prediction = (struct tfr_run_prediction){0};
}

static double error_of(const struct tfr_foretold *figure) {
    return figure->predicted > 0 ? figure->measured / figure->predicted - 1 : 0;
}

static void put(struct tfr_json_out *out, const char *key, const struct tfr_foretold *figure, double unit) {
    if (figure->predicted > 0 || figure->measured > 0) {
        tfr_json_begin(out, key, '{');
        tfr_json_put_number(out, "predicted", figure->predicted / unit);
        tfr_json_put_number(out, "measured", figure->measured / unit);
        if (figure->predicted > 0) {
            tfr_json_put_number(out, "error", error_of(figure));
        }
        tfr_json_end(out, '}');
    }
}

void tfr_run_prediction_json(const struct tfr_run_prediction *prediction, struct tfr_json_out *out) {
    tfr_json_begin(out, "prediction", '{');
    tfr_json_put_text(out, "by", prediction->is_measured ? "calibration" : "nominal peaks");
    put(out, "first_token_ms", &prediction->first_token_ns, 1e6);
    put(out, "token_ms", &prediction->token_ns, 1e6);
    put(out, "tokens_per_s", &prediction->tokens_per_s, 1);
    tfr_json_begin(out, "ranks", '[');
    for (int i = 0; i < prediction->n_ranks; i++) {
        const struct tfr_rank_prediction *rank = &prediction->rank[i];
        tfr_json_begin(out, NULL, '{');
        put(out, "busy_ms", &rank->busy_ns, 1e6);
        put(out, "wait_share", &rank->wait_share, 1);
        put(out, "sent_messages", &rank->messages, 1);
        put(out, "sent_bytes", &rank->bytes, 1);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

static const char *words(const struct tfr_foretold *figure, double unit, const char *name, char *text, size_t size) {
    const int used = snprintf(text, size, "%.4g %s, %.4g", figure->predicted / unit, name, figure->measured / unit);
    if (figure->predicted > 0) { /* of nothing no error is a share */
        snprintf(text + used, size - (size_t)used, " (%+.0f %%)", 100 * error_of(figure));
    }
    return text;
}

void tfr_engine_log_prediction(const struct tfr_engine *engine, const struct tfr_generation_stats *stats, size_t n_sequences) {
    struct tfr_run_prediction prediction;
    char text[4][96];
    if (tfr_log_level() < TFR_LOG_INFO || tfr_run_predict(engine, stats, n_sequences, &prediction) != TFR_OK) {
        return;
    }
    if (prediction.n_ranks > 0) {
        tfr_log(TFR_LOG_INFO, "rank", "predicted by %s, and measured: first token %s; step %s; %s",
                prediction.is_measured ? "the calibration" : "nominal peaks",
                words(&prediction.first_token_ns, 1e6, "ms", text[0], sizeof text[0]),
                words(&prediction.token_ns, 1e6, "ms", text[1], sizeof text[1]),
                words(&prediction.tokens_per_s, 1, "tokens/s", text[2], sizeof text[2]));
    }
    for (int i = 0; i < prediction.n_ranks; i++) {
        const struct tfr_rank_prediction *rank = &prediction.rank[i];
        tfr_log(TFR_LOG_INFO, "rank", "rank %d: predicted, and measured: in kernels %s; waiting %s; %s; %s", i,
                words(&rank->busy_ns, 1e6, "ms", text[0], sizeof text[0]),
                words(&rank->wait_share, 0.01, "%", text[1], sizeof text[1]),
                words(&rank->messages, 1, "messages", text[2], sizeof text[2]),
                words(&rank->bytes, 1e3, "kB", text[3], sizeof text[3]));
    }
    tfr_run_prediction_free(&prediction);
}
