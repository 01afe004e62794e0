/* report_classification.c - labels as text for people, or as one line of JSON for each text. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/memtext.h"
#include "base/status.h"
#include "scoring/score.h"

static size_t shown_labels(const struct tfr_classification *of, size_t n_labels) {
    return n_labels == 0 || n_labels > of->n_labels ? of->n_labels : n_labels;
}

static void put_labels(struct tfr_json_out *out, const struct tfr_label_score *row, size_t n) {
    tfr_json_put_text(out, "label", row[0].name);
    tfr_put_real(out, "score", row[0].score);
    tfr_json_begin(out, "labels", '[');
    for (size_t i = 0; i < n; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "label", row[i].name);
        tfr_put_real(out, "score", row[i].score);
        tfr_put_real(out, "logit", (double)row[i].logit);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
}

static enum tfr_status report_json(const struct tfr_tokenizer *tokenizer, const struct tfr_prompt *prompt,
                                   const struct tfr_classification *of, size_t n, char **text) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", "tfrun-classify-1");
    if (prompt->text != NULL) {
        tfr_json_put_string(&out, "text", prompt->text, prompt->size);
    }
    tfr_json_put_int(&out, "n_tokens", (int64_t)of->n_ids);
    if (of->is_per_token) {
        tfr_json_begin(&out, "tokens", '[');
    } else {
        put_labels(&out, of->scores, n);
    }
    for (size_t t = 0; t < of->n_ids && of->is_per_token; t++) {
        tfr_json_begin(&out, NULL, '{');
        tfr_json_put_int(&out, "id", of->ids[t]);
        if (tokenizer != NULL) {
            tfr_put_piece(&out, tokenizer, "text", of->ids[t]);
        }
        put_labels(&out, of->scores + t * of->n_labels, n);
        tfr_json_end(&out, '}');
    }
    if (of->is_per_token) {
        tfr_json_end(&out, ']');
    }
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

/* One column on one line, whatever the config calls it. */
static void print_name(FILE *stream, const char *name) {
    char character[TFR_CHARACTER_BYTES];
    for (size_t n; *name != '\0'; name += n) {
        n = tfr_defuse_one(name, character);
        fputs(strcmp(character, "\t") == 0 ? "?" : character, stream);
    }
}

static void print_labels(FILE *stream, const struct tfr_label_score *row, size_t n) {
    for (size_t i = 0; i < n; i++) {
        fputs(i > 0 ? "\t" : "", stream);
        print_name(stream, row[i].name);
        fprintf(stream, "\t%.6f", row[i].score);
    }
}

/* One line for a text; for tokens one line each and an empty one. */
static enum tfr_status report_text(const struct tfr_tokenizer *tokenizer, const struct tfr_classification *of, size_t n,
                                   char **text) {
    size_t size;
    FILE *stream;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    for (size_t r = 0; r < of->n_rows; r++) {
        if (of->is_per_token && tokenizer != NULL) {
            tfr_print_piece(stream, tokenizer, of->ids[r]);
            fputc('\t', stream);
        } else if (of->is_per_token) {
            fprintf(stream, "%d\t", of->ids[r]);
        }
        print_labels(stream, of->scores + r * of->n_labels, n);
        fputc('\n', stream);
    }
    return tfr_memtext_close(stream, text);
}

enum tfr_status tfr_report_classification(struct tfr_engine *engine, const struct tfr_prompt *prompt,
                                          const struct tfr_classification *classification, size_t n_labels,
                                          enum tfr_report_form form, char **text) {
    const struct tfr_tokenizer *tokenizer = NULL; /* ids alone need none */
    if (prompt->text != NULL) {
        TFR_TRY(tfr_engine_tokenizer(engine, &tokenizer));
    }
    const size_t n = shown_labels(classification, n_labels);
    return form == TFR_REPORT_JSON ? report_json(tokenizer, prompt, classification, n, text)
                                   : report_text(tokenizer, classification, n, text);
}
