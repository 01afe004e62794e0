/* cost_measured.c - the step that `tfrun cost` asks about, run and profiled: see cost_measured.h. */
#include "app/cli/cost_measured.h"

#include <tfrun/profile.h>

#include "app/cli/measure.h"

enum { USUAL_SEQ = 1024, REPS = 5 };

int tfr_cost_check_measured(const struct tfr_cost_query *query) {
    const int64_t cache = query->n_cache == 1 ? query->cache[0] : 0, seq = query->n_seq == 1 ? query->seq[0] : 0;
    if (query->n_seq > 1 || query->n_cache > 1 || query->encoder_len > 0 || query->n_ranks > 1 || query->any_length) {
        return tfr_cli_usage("--measured runs sequences that are alike on one rank: leave out lists, --encoder-len, --ranks and "
                             "--any-length");
    }
    if (query->head != NULL || query->logits != TFR_COST_LOGITS_DEFAULT || query->stored != TFR_DTYPE_NONE ||
        query->level == TFR_COST_LINE || query->form == TFR_COST_SYMBOLIC) {
        return tfr_cli_usage("--measured runs the model as its files have it (head, tables, logits of the last position) and "
                             "compares numbers: leave out "
                             "--head, --logits, --stored, --level line and --form symbolic");
    }
    if (query->phase == TFR_COST_PREFILL && cache > 0) {
        return tfr_cli_usage("--measured runs a prefill from the first position on: leave out --cache, or give --phase decode");
    }
    if (query->phase == TFR_COST_DECODE && seq > 1) {
        return tfr_cli_usage("--measured decodes one position of each sequence: leave out --seq");
    }
    if (query->format != TFR_COST_TABLE && query->format != TFR_COST_MARKDOWN) {
        return tfr_cli_usage("--measured prints a table or Markdown; `tfrun profile` has the measured times as JSON and CSV");
    }
    return 0;
}

static struct tfr_profile_question question_of(const struct tfr_cost_query *query, int64_t n_positions) {
    const bool decodes = query->phase == TFR_COST_DECODE;
    const int64_t usual = n_positions < USUAL_SEQ ? n_positions : USUAL_SEQ;
    return (struct tfr_profile_question){
        .prompt_tokens = decodes             ? 0
                         : query->n_seq == 1 ? query->seq[0]
                                             : usual,
        .context = !decodes              ? -1
                   : query->n_cache == 1 ? query->cache[0]
                                         : n_positions - 1,
        .batch = query->batch > 0 ? query->batch : 1,
        .reps = REPS,
    };
}

static int print_profile(struct tfr_engine *engine, const struct tfr_cost_query *query) {
    const struct tfr_profile_question question = question_of(query, tfr_engine_n_positions(engine));
    struct tfr_profile *profile;
    char *text;
    tfr_cli_catch_signals();
    enum tfr_status status = tfr_profile_run(&profile, engine, &question);
    if (status != TFR_OK) {
        return tfr_measure_fail(status);
    }
    status = tfr_report_profile(profile, query->format == TFR_COST_MARKDOWN ? TFR_TABLE_MD : TFR_TABLE_TEXT, &text);
    tfr_profile_free(profile);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

int tfr_cost_print_measured(struct tfr_args *args, const struct tfr_cost_query *query) {
    struct tfr_engine *engine;
    int code = tfr_measure_lend_weights(args);
    if (code != 0) {
        return code;
    }
    const enum tfr_status status = tfr_engine_open(&engine, args->operands[0], args->overrides, args->n_overrides);
    tfr_measure_return_weights();
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    code = print_profile(engine, query);
    tfr_engine_close(engine);
    return code;
}
