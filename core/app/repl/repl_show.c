/* repl_show.c - what `tfrun repl` knows: settings, tokens, the score of the text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/results.h"
#include "app/repl/repl.h"

/* "temperature" and "sampling.temperature" are one option. NULL after a message. */
static const struct tfr_option_info *find_option(const char *word) {
    const char *names[256];
    size_t n_options, n = 0;
    const struct tfr_option_info *table = tfr_option_table(&n_options);
    word += strncmp(word, "sampling.", 9) == 0 ? 9 : 0;
    for (size_t i = 0; i < n_options && n < sizeof names / sizeof names[0]; i++) {
        if (strncmp(table[i].key, "sampling.", 9) != 0) {
            continue;
        }
        if (strcmp(table[i].key + 9, word) == 0) {
            return &table[i];
        }
        names[n++] = table[i].key + 9;
    }
    const char *near = tfr_nearest_name(word, names, n);
    tfr_cli_usage("/set: \"%s\" is no sampling option%s%s%s", word, near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                  near != NULL ? "?" : " (docs/config.md has them)");
    return NULL;
}

static void drop_setting(struct tfr_repl *repl, size_t index) {
    free((void *)repl->settings[index].value);
    memmove(&repl->settings[index], &repl->settings[index + 1], (repl->n_settings - index - 1) * sizeof *repl->settings);
    repl->n_settings--;
}

static void drop_settings_of(struct tfr_repl *repl, const char *key) {
    for (size_t i = repl->n_settings; i > 0; i--) {
        if (strcmp(repl->settings[i - 1].key, key) == 0) {
            drop_setting(repl, i - 1);
        }
    }
}

void tfr_repl_forget_settings(struct tfr_repl *repl) {
    while (repl->n_settings > 0) {
        drop_setting(repl, repl->n_settings - 1);
    }
}

/* One more setting, if the engine takes it with the others. */
static int add_setting(struct tfr_repl *repl, const struct tfr_option_info *option, const char *value) {
    struct tfr_params *params;
    char *copy = repl->n_settings < TFR_REPL_MOST_SETTINGS ? strdup(value) : NULL;
    if (copy == NULL) {
        return tfr_cli_no_memory("one more setting");
    }
    repl->settings[repl->n_settings++] = (struct tfr_override){.key = option->key, .value = copy, .origin = "/set"};
    const enum tfr_status status = tfr_params_parse(repl->engine, repl->settings, repl->n_settings, &params);
    if (status != TFR_OK) {
        drop_setting(repl, repl->n_settings - 1);
        return tfr_cli_fail(status);
    }
    tfr_params_free(params);
    return 0;
}

/* The last value counts, so that an older one goes once the new one is good; of a list both stay. */
int tfr_repl_set(struct tfr_repl *repl, char **operands) {
    const struct tfr_option_info *option = find_option(operands[0]);
    if (option == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    if (operands[1] == NULL) {
        drop_settings_of(repl, option->key);
        return 0;
    }
    const int code = add_setting(repl, option, operands[1]);
    if (code == 0 && strcmp(option->type, "LIST") != 0) {
        const struct tfr_override kept = repl->settings[--repl->n_settings];
        drop_settings_of(repl, option->key);
        repl->settings[repl->n_settings++] = kept;
    }
    return code;
}

int tfr_repl_show(struct tfr_repl *repl, char **operands) {
    const struct tfr_repl_ids *text = tfr_repl_text(repl);
    char *bytes;
    size_t size;
    (void)operands;
    const enum tfr_status status = tfr_vocabulary_decode(repl->vocabulary, text->ids, text->n, &bytes, &size);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    tfr_results_put(bytes, size);
    tfr_results_print("%s-- %zu of %lld tokens, %zu changes to undo\n", size > 0 ? "\n" : "", text->n,
                      (long long)tfr_engine_n_positions(repl->engine), repl->now);
    if (repl->n_read > 0) {
        tfr_results_print("-- of the last %zu tokens that were read %zu were computed before\n", repl->n_read, repl->n_cached);
    }
    for (size_t i = 0; i < repl->n_settings; i++) {
        tfr_results_print("-- %s = %s\n", repl->settings[i].key, repl->settings[i].value);
    }
    tfr_string_free(bytes);
    return 0;
}

int tfr_repl_tokens(struct tfr_repl *repl, char **operands) {
    const struct tfr_repl_ids *text = tfr_repl_text(repl);
    (void)operands;
    for (size_t i = 0; i < text->n; i++) {
        size_t size = 0;
        const char *bytes = tfr_vocabulary_bytes(repl->vocabulary, text->ids[i], &size);
        tfr_results_print("%6zu %7d ", i, text->ids[i]);
        tfr_results_put_piece(bytes != NULL ? bytes : "", size);
        tfr_results_put("\n", 1);
    }
    return 0;
}

int tfr_repl_score(struct tfr_repl *repl, char **operands) {
    const struct tfr_repl_ids *text = tfr_repl_text(repl);
    const struct tfr_score_item item = {.ids = text->ids, .n = text->n, .n_context = 1};
    struct tfr_score score;
    (void)operands;
    if (text->n < 2) {
        return tfr_cli_usage("/score needs a text of at least two tokens: nothing predicts the first one");
    }
    const enum tfr_status status = tfr_score(repl->engine, &item, 1, &score);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    size_t n_greedy = 0;
    for (size_t i = 0; i < score.n_tokens; i++) {
        n_greedy += score.tokens[i].id == score.tokens[i].best_id;
    }
    tfr_results_print("log-probability %.4f of %zu tokens | perplexity %.3f | %zu were the likeliest\n", score.logprob,
                      score.n_tokens, exp(-score.logprob / (double)score.n_tokens), n_greedy);
    tfr_score_free(&score);
    return 0;
}
