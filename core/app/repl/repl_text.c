/* repl_text.c - the text of `tfrun repl`: typed, undone, saved, loaded. Every state is kept whole; a text is a few KB. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/results.h"
#include "app/repl/repl.h"

const struct tfr_repl_ids *tfr_repl_text(const struct tfr_repl *repl) {
    return &repl->states[repl->now];
}

static bool has_room(struct tfr_repl *repl) {
    if (repl->now + 2 > repl->room) {
        const size_t room = repl->room > 0 ? 2 * repl->room : 16;
        struct tfr_repl_ids *grown = realloc(repl->states, room * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        repl->states = grown;
        repl->room = room;
    }
    return true;
}

int tfr_repl_open_text(struct tfr_repl *repl) {
    if (!has_room(repl)) {
        return tfr_cli_no_memory("the text");
    }
    repl->states[0] = (struct tfr_repl_ids){0};
    repl->n_states = 1;
    return 0;
}

void tfr_repl_forget_alternatives(struct tfr_repl *repl) {
    for (size_t i = 0; i < repl->n_alternatives; i++) {
        free(repl->alternatives[i].ids);
    }
    repl->n_alternatives = 0;
}

void tfr_repl_close_text(struct tfr_repl *repl) {
    tfr_repl_forget_alternatives(repl);
    for (size_t i = 0; i < repl->n_states; i++) {
        free(repl->states[i].ids);
    }
    free(repl->states);
}

int tfr_repl_push(struct tfr_repl *repl, const int32_t *ids, size_t n, bool replace) {
    const size_t had = replace ? 0 : tfr_repl_text(repl)->n;
    const int64_t most = tfr_engine_n_positions(repl->engine);
    if ((int64_t)(had + n) > most) {
        return tfr_cli_usage(
            "the text would have %zu tokens, and the model has %lld positions; /undo, or begin a new one with /load", had + n,
            (long long)most);
    }
    int32_t *joined = malloc((had + n + 1) * sizeof *joined);
    if (joined == NULL || !has_room(repl)) {
        free(joined);
        return tfr_cli_no_memory("the text");
    }
    if (had > 0) {
        memcpy(joined, tfr_repl_text(repl)->ids, had * sizeof *joined);
    }
    if (n > 0) {
        memcpy(joined + had, ids, n * sizeof *joined);
    }
    while (repl->n_states > repl->now + 1) {
        free(repl->states[--repl->n_states].ids);
    }
    repl->states[repl->n_states++] = (struct tfr_repl_ids){.ids = joined, .n = had + n};
    repl->now++;
    tfr_repl_forget_alternatives(repl);
    return 0;
}

int tfr_repl_type(struct tfr_repl *repl, const char *text, size_t size, bool replace) {
    int32_t *ids;
    size_t n;
    const enum tfr_status status = tfr_vocabulary_encode(repl->vocabulary, text, size, false, &ids, &n);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    const int code = tfr_repl_push(repl, ids, n, replace);
    tfr_string_free(ids);
    return code;
}

/* Where the text ends now, so that it is seen. */
static void show_end(const struct tfr_repl *repl) {
    enum { SHOWN = 16 };
    const struct tfr_repl_ids *text = tfr_repl_text(repl);
    const size_t from = text->n > SHOWN ? text->n - SHOWN : 0;
    const int32_t *shown = text->n > 0 ? text->ids + from : NULL; /* the first state has no memory */
    char *bytes;
    size_t size;
    if (repl->is_interactive && tfr_vocabulary_decode(repl->vocabulary, shown, text->n - from, &bytes, &size) == TFR_OK) {
        tfr_results_print("%zu tokens%s", text->n, text->n > 0 ? from > 0 ? ", ending in: ..." : ": " : "");
        tfr_results_put(bytes, size);
        tfr_results_put("\n", 1);
        tfr_string_free(bytes);
    }
}

int tfr_repl_undo(struct tfr_repl *repl, char **operands) {
    (void)operands;
    if (repl->now == 0) {
        return tfr_cli_usage("there is nothing to undo");
    }
    repl->now--;
    tfr_repl_forget_alternatives(repl);
    show_end(repl);
    return 0;
}

int tfr_repl_redo(struct tfr_repl *repl, char **operands) {
    (void)operands;
    if (repl->now + 1 >= repl->n_states) {
        return tfr_cli_usage("there is nothing to do again");
    }
    repl->now++;
    tfr_repl_forget_alternatives(repl);
    show_end(repl);
    return 0;
}

int tfr_repl_save(struct tfr_repl *repl, char **operands) {
    const struct tfr_repl_ids *text = tfr_repl_text(repl);
    char *bytes;
    size_t size;
    if (!repl->overwrites && access(operands[0], F_OK) == 0) {
        return tfr_cli_usage("%s exists; /save! %s overwrites it", operands[0], operands[0]);
    }
    enum tfr_status status = tfr_vocabulary_decode(repl->vocabulary, text->ids, text->n, &bytes, &size);
    if (status == TFR_OK) {
        status = tfr_result_write(operands[0], bytes, size, repl->overwrites);
        tfr_string_free(bytes);
    }
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

int tfr_repl_load(struct tfr_repl *repl, char **operands) {
    size_t size;
    char *bytes = tfr_cli_read(operands[0], &size);
    if (bytes == NULL) {
        return tfr_exit_code(TFR_RESOURCE);
    }
    const int code = tfr_repl_type(repl, bytes, size, true);
    free(bytes);
    if (code == 0) {
        show_end(repl);
    }
    return code;
}
