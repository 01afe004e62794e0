/* cost_question.c - what `tfrun cost` is asked, with defaults, and refused where the model can't be asked that. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "report/cost_report.h"

static int64_t nth(const int64_t *list, size_t n, size_t i, int64_t otherwise) {
    return n == 0 ? otherwise : list[n == 1 ? 0 : i];
}

static enum tfr_status check_lists(const struct tfr_cost_query *query) {
    const size_t n = query->n_seq > query->n_cache ? query->n_seq : query->n_cache;
    if (query->n_seq > 1 && query->n_cache > 1 && query->n_seq != query->n_cache) {
        return tfr_raise(TFR_USAGE, "--seq lists %zu sequences and --cache %zu; list as many, or one number for all", query->n_seq,
                         query->n_cache);
    }
    if (n > 1 && query->batch > 0 && (size_t)query->batch != n) {
        return tfr_raise(TFR_USAGE, "--batch %lld, but %zu sequences are listed; leave --batch out", (long long)query->batch, n);
    }
    for (size_t i = 0; i < query->n_seq && query->phase == TFR_COST_DECODE; i++) {
        if (query->seq[i] != 1) {
            return tfr_raise(TFR_USAGE, "--phase decode is one new position for each sequence; leave --seq out");
        }
    }
    return TFR_OK;
}

/* A sequence longer than the position table is an index beyond it, here and in PyTorch. */
static enum tfr_status check_length(const struct tfr_cost_report *report, const struct tfr_sequences *of) {
    const int64_t limit = report->config->model.n_positions;
    const tfr_int128 length = (tfr_int128)of->past + of->rows;
    char cache[TFR_INT128_TEXT], seq[TFR_INT128_TEXT], sum[TFR_INT128_TEXT];
    if (length <= limit || report->query->any_length) {
        return TFR_OK;
    }
    return tfr_raise(
        TFR_USAGE,
        "a sequence of cache %s + seq %s = %s positions is longer than n_positions = %lld of %s, so that neither PyTorch "
        "nor tfrun could run it; ask for at most %lld, or for the formulas' answer with --any-length",
        tfr_int128_text(of->past, ',', cache), tfr_int128_text(of->rows, ',', seq), tfr_int128_text(length, ',', sum),
        (long long)limit, report->config->path, (long long)limit);
}

static enum tfr_status settle_sequences(struct tfr_cost_report *report) {
    const struct tfr_cost_query *query = report->query;
    const int64_t limit = report->config->model.n_positions;
    const bool is_decode = query->phase == TFR_COST_DECODE;
    TFR_TRY(check_lists(query));
    report->n_sequences = query->n_seq > query->n_cache ? query->n_seq : query->n_cache;
    report->n_sequences = report->n_sequences > 0 ? report->n_sequences : 1;
    report->batch = report->n_sequences > 1 ? (int64_t)report->n_sequences : query->batch > 0 ? query->batch : 1;
    report->sequences = tfr_alloc(report->n_sequences, sizeof *report->sequences);
    if (report->sequences == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < report->n_sequences; i++) {
        struct tfr_sequences *of = &report->sequences[i];
        of->count = report->n_sequences > 1 ? 1 : report->batch;
        of->past = nth(query->cache, query->n_cache, i, is_decode ? limit - 1 : 0);
        const int64_t room = limit > of->past ? limit - of->past : 1;
        of->rows = nth(query->seq, query->n_seq, i, is_decode ? 1 : room < 1024 ? room : 1024);
        TFR_TRY(check_length(report, of));
    }
    return TFR_OK;
}

/* The rows whose logits are wanted: the reference computes all; tfrun the last, or all where the head gives an answer for each. */
static enum tfr_logits_kept kept(const struct tfr_cost_report *report, enum tfr_account_side side) {
    const int head = report->config->model.head;
    switch (report->query->logits) {
    case TFR_COST_LOGITS_ALL:
        return TFR_LOGITS_ALL;
    case TFR_COST_LOGITS_LAST:
        return TFR_LOGITS_LAST;
    case TFR_COST_LOGITS_NONE:
        return TFR_LOGITS_NONE;
    default:
        return side == TFR_REFERENCE || head == TFR_HEAD_TOKEN || head == TFR_HEAD_QA ? TFR_LOGITS_ALL : TFR_LOGITS_LAST;
    }
}

/* As where kernels are opened. */
static enum tfr_status check_finer(const struct tfr_config *config) {
    const bool is_rounded_here = config->options.runtime_dtype == TFR_PACK_INT4 && !config->quantization.given;
    return is_rounded_here ? tfr_model_check_finer(config) : TFR_OK;
}

static enum tfr_status open_config(struct tfr_cost_report *report, const char *path, const struct tfr_override *overrides,
                                   size_t n_overrides) {
    const struct tfr_cost_query *query = report->query;
    if (query->n_ranks > 1) {
        TFR_TRY(tfr_dry_open(&report->dry, path, overrides, n_overrides, query->n_ranks));
        report->config = report->dry.config;
    } else {
        TFR_TRY(tfr_config_load(&report->config, path, overrides, n_overrides));
        TFR_TRY(check_finer(report->config));
    }
    if (report->config->options.parallel_tensor > 1) {
        return tfr_raise(TFR_CONFIG,
                         "%s: tfrun.parallel.tensor is %lld, but cost counts the kernels of whole blocks; leave it out, or ask "
                         "`tfrun plan --ranks N --tensor T` for the kernels of shards",
                         report->config->path, (long long)report->config->options.parallel_tensor);
    }
    TFR_TRY(tfr_dry_check_said(overrides, n_overrides, query->n_ranks));
    if (query->n_ranks > 1) {
        TFR_TRY(tfr_dry_check_one_replica(report->config, query->n_ranks, "cost"));
    }
    if (query->head != NULL) {
        const int head = tfr_head_find(query->head);
        if (head < 0) {
            return tfr_raise(TFR_USAGE, "head \"%s\" is none of lm, token-cls, seq-cls, qa, double, none", query->head);
        }
        tfr_config_choose_head(report->config, head);
        TFR_TRY(tfr_check_head_place(report->config, query->n_ranks > 1 ? query->n_ranks : 1));
    }
    if (query->encoder_len > 0 && !report->config->model.add_cross_attention) {
        return tfr_raise(
            TFR_USAGE,
            "--encoder-len %lld, but %s has no cross-attention, which alone would read the encoder's states; set "
            "add_cross_attention there (--cross-attention is a question to `tfrun summary` alone), or leave the flag out",
            (long long)query->encoder_len, report->config->path);
    }
    return TFR_OK;
}

/* As asked, else as in a plan. */
static enum tfr_status settle_tables(const struct tfr_cost_report *report, struct tfr_table_types *tables) {
    const enum tfr_dtype asked = report->query->stored;
    *tables = (struct tfr_table_types){.wte = asked, .wpe = asked};
    return asked != TFR_DTYPE_NONE ? TFR_OK : tfr_model_table_types(report->config, tfr_table_dtype(report->config), tables);
}

static enum tfr_status open_account(struct tfr_cost_report *report) {
    const struct tfr_cost_query *query = report->query;
    const struct tfr_config *config = report->config;
    struct tfr_account_question question = {
        .hparams = &config->model,
        .sequences = report->sequences,
        .n_sequences = report->n_sequences,
        .encoder_len = query->encoder_len,
        .runs_encoder = query->phase == TFR_COST_PREFILL,
        .has_past = report->has_past,
        .logits = {[TFR_REFERENCE] = kept(report, TFR_REFERENCE), [TFR_EXECUTED] = kept(report, TFR_EXECUTED)},
        .dtype = report->dtype,
        .kv_dtype = tfr_kv_dtype(config),
        .finer = &config->options.runtime_int4_finer,
        .placement = query->n_ranks > 1 ? &report->dry.placement : NULL,
        .max_rows = config->options.runtime_max_rows,
    };
    TFR_TRY(settle_tables(report, &question.tables));
    return tfr_account_open(&report->account, &question);
}

/* Formulas asked for alone are those of a step with cached keys, unless --cache says otherwise: at every level. */
static bool formulas_have_past(const struct tfr_cost_report *report) {
    bool has_past = report->query->form == TFR_COST_SYMBOLIC && report->query->n_cache == 0;
    for (size_t i = 0; i < report->n_sequences; i++) {
        has_past |= report->sequences[i].past > 0;
    }
    return has_past;
}

enum tfr_status tfr_cost_report_open(struct tfr_cost_report *report, const char *path, const struct tfr_override *overrides,
                                     size_t n_overrides, const struct tfr_cost_query *query) {
    *report = (struct tfr_cost_report){.query = query};
    TFR_TRY(open_config(report, path, overrides, n_overrides));
    TFR_TRY(settle_sequences(report));
    report->dtype = tfr_packed_dtype(report->config);
    report->has_past = formulas_have_past(report);
    if (query->level == TFR_COST_LINE) { /* lines need no graph */
        return TFR_OK;
    }
    const struct tfr_module_form form = {0};
    TFR_TRY(tfr_module_tree_build(&report->tree, report->config, &form));
    return open_account(report);
}

/* Steps of a part of its own are numbers in the formulas: there is no letter for them. */
static void add_steps(const struct tfr_account *account, char *text, size_t size) {
    const struct tfr_account_question *question = &account->question;
    const bool has_encoder = question->encoder_len > 0 && question->runs_encoder;
    const bool has_pooled = question->hparams->head == TFR_HEAD_DOUBLE && question->logits[TFR_EXECUTED] != TFR_LOGITS_NONE;
    const tfr_int128 encoder = has_encoder ? tfr_account_steps_of(account, question->encoder_len) : 0;
    const tfr_int128 pooled = has_pooled ? tfr_account_steps_of(account, tfr_account_n_sequences(account)) : 0;
    char number[TFR_INT128_TEXT];
    size_t used = strlen(text);
    if (encoder > 1) {
        used += (size_t)snprintf(text + used, size - used, "; tfrun computes the encoder's part of a sequence in %s steps",
                                 tfr_int128_text(encoder, ',', number));
    }
    if (pooled > 1) {
        snprintf(text + used, size - used, "; tfrun computes the second head in %s steps", tfr_int128_text(pooled, ',', number));
    }
}

void tfr_cost_formulas_hold(const struct tfr_cost_report *report, char *text, size_t size) {
    const struct tfr_reference_case of = tfr_account_case(&report->account->question);
    const bool is_any = report->config->model.n_head == 1;
    snprintf(text, size, "cache_len %s%s: %s; %s", of.has_past ? "> 0" : "= 0",
             is_any          ? ""
             : of.heads_part ? " and seq_len > 1"
                             : " and seq_len = 1",
             of.has_past ? "the reference copies old and new keys to a new cache (cat_cache)"
                         : "nothing is cached yet, so that the reference copies no keys (cat_cache)",
             of.heads_part ? "it copies the heads' results side by side (merge_heads)"
                           : "the heads' results lie side by side already (merge_heads)");
    add_steps(report->account, text, size);
}

void tfr_cost_report_close(struct tfr_cost_report *report) {
    tfr_account_close(report->account);
    tfr_free(report->sequences);
    tfr_free(report->rows);
    if (report->query->n_ranks > 1) {
        tfr_dry_close(&report->dry);
    } else {
        tfr_config_free(report->config);
    }
}
