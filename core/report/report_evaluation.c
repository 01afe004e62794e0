/* report_evaluation.c - an evaluation and the score of a text, for people and as JSON. */
#include <tfrun/tfrun.h>

#include <math.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/status.h"
#include "model/tokenizer.h"
#include "scoring/score.h"

/* A token without probability makes an infinity, and two of them, one over the other, no number at all. */
void tfr_put_real(struct tfr_json_out *out, const char *key, double value) {
    if (isfinite(value)) {
        tfr_json_put_number(out, key, value);
    } else {
        tfr_json_put_text(out, key, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    }
}

static void put_head(struct tfr_json_out *out, const struct tfr_engine *engine, const char *schema) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "schema", schema);
    tfr_json_put_text(out, "version", TFR_VERSION_TEXT);
    if (engine->config->options.model_name != NULL) {
        tfr_json_put_text(out, "model", engine->config->options.model_name);
    }
    tfr_json_put_text(out, "dtype", tfr_choice_name("runtime.dtype", engine->config->options.runtime_dtype));
    tfr_json_put_int(out, "ranks", tfr_engine_size(engine));
    tfr_json_put_int(out, "threads", engine->threads.n_threads);
}

/* What both documents say. */
static void put_totals(struct tfr_json_out *out, const struct tfr_evaluation *evaluation) {
    tfr_json_put_int(out, "ctx", evaluation->ctx);
    tfr_json_put_int(out, "stride", evaluation->stride);
    tfr_json_put_bool(out, "bos", evaluation->bos);
    tfr_json_put_int(out, "n_windows", (int64_t)evaluation->n_windows);
    tfr_json_put_int(out, "n_tokens", (int64_t)evaluation->n_tokens);
    tfr_json_put_int(out, "n_bytes", (int64_t)evaluation->n_bytes);
    tfr_put_real(out, "logprob", evaluation->logprob);
    tfr_put_real(out, "perplexity", evaluation->perplexity);
}

static double rate_of(const struct tfr_evaluation *evaluation) {
    return evaluation->elapsed_ns > 0 ? (double)evaluation->n_tokens * 1e9 / (double)evaluation->elapsed_ns : 0;
}

static enum tfr_status evaluation_json(const struct tfr_engine *engine, const struct tfr_evaluation *evaluation, char **text) {
    struct tfr_json_out out = {0};
    put_head(&out, engine, "tfrun-eval-1");
    put_totals(&out, evaluation);
    tfr_json_put_number(&out, "accuracy", (double)evaluation->n_greedy / (double)evaluation->n_tokens);
    tfr_put_real(&out, "perplexity_error", evaluation->perplexity_error);
    tfr_put_real(&out, "nll", evaluation->nll);
    tfr_put_real(&out, "nll_error", evaluation->nll_error);
    tfr_put_real(&out, "nll_error_windows", evaluation->nll_error_windows);
    tfr_put_real(&out, "bits_per_token", evaluation->bits_per_token);
    tfr_put_real(&out, "bits_per_byte", evaluation->bits_per_byte);
    tfr_json_put_number(&out, "elapsed_s", (double)evaluation->elapsed_ns / 1e9);
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

static enum tfr_status evaluation_text(const struct tfr_evaluation *evaluation, char **text) {
    *text = tfr_format("perplexity      %.6f +- %.6f\n"
                       "nll             %.8f nats per token +- %.8f (tokens taken as independent; %.8f from windows)\n"
                       "bits per token  %.8f\n"
                       "bits per byte   %.8f\n"
                       "best token      %.2f %%\n"
                       "counted         %zu tokens, %zu bytes, in %zu windows of %lld tokens, stride %lld%s\n"
                       "time            %.2f s (%.0f tok/s)\n",
                       evaluation->perplexity, evaluation->perplexity_error, evaluation->nll, evaluation->nll_error,
                       evaluation->nll_error_windows, evaluation->bits_per_token, evaluation->bits_per_byte,
                       100.0 * (double)evaluation->n_greedy / (double)evaluation->n_tokens, evaluation->n_tokens,
                       evaluation->n_bytes, evaluation->n_windows, (long long)evaluation->ctx, (long long)evaluation->stride,
                       evaluation->bos ? ", with bos" : "", (double)evaluation->elapsed_ns / 1e9, rate_of(evaluation));
    return *text != NULL ? TFR_OK : TFR_RESOURCE;
}

enum tfr_status tfr_report_evaluation(struct tfr_engine *engine, const struct tfr_evaluation *evaluation, enum tfr_report_form form,
                                      char **text) {
    return form == TFR_REPORT_JSON ? evaluation_json(engine, evaluation, text) : evaluation_text(evaluation, text);
}

void tfr_put_piece(struct tfr_json_out *out, const struct tfr_tokenizer *tokenizer, const char *key, int32_t id) {
    size_t size = 0;
    const char *bytes = tfr_tokenizer_bytes(tokenizer, id, &size);
    tfr_json_put_string(out, key, bytes != NULL ? bytes : "", size);
}

static enum tfr_status score_json(const struct tfr_engine *engine, const struct tfr_tokenizer *tokenizer,
                                  const struct tfr_evaluation *evaluation, bool per_token, char **text) {
    struct tfr_json_out out = {0};
    put_head(&out, engine, "tfrun-score-1");
    put_totals(&out, evaluation);
    tfr_json_put_bool(&out, "is_greedy", evaluation->n_greedy == evaluation->n_tokens);
    if (per_token) {
        tfr_json_begin(&out, "tokens", '[');
        for (size_t i = 0; i < evaluation->n_tokens; i++) {
            const struct tfr_token_score *token = &evaluation->tokens[i];
            tfr_json_begin(&out, NULL, '{');
            tfr_json_put_int(&out, "id", token->id);
            tfr_put_piece(&out, tokenizer, "text", token->id);
            tfr_put_real(&out, "logprob", token->logprob);
            tfr_json_put_bool(&out, "is_greedy", token->id == token->best_id);
            tfr_json_put_int(&out, "best_id", token->best_id);
            tfr_put_piece(&out, tokenizer, "best_text", token->best_id);
            tfr_put_real(&out, "best_logprob", token->best_logprob);
            tfr_json_end(&out, '}');
        }
        tfr_json_end(&out, ']');
    }
    tfr_json_end(&out, '}');
    return tfr_json_take(&out, text);
}

void tfr_print_piece(FILE *stream, const struct tfr_tokenizer *tokenizer, int32_t id) {
    size_t size = 0;
    const char *bytes = tfr_tokenizer_bytes(tokenizer, id, &size);
    fputc('"', stream);
    for (size_t i = 0; bytes != NULL && i < size; i++) {
        const unsigned char byte = (unsigned char)bytes[i];
        if (byte == '"' || byte == '\\') {
            fputc('\\', stream);
        }
        if (byte >= 0x20 && byte < 0x7f) {
            fputc(byte, stream);
        } else {
            fprintf(stream, "\\x%02x", byte);
        }
    }
    fputc('"', stream);
}

static void print_tokens(FILE *stream, const struct tfr_tokenizer *tokenizer, const struct tfr_evaluation *evaluation) {
    fputs("#      id       logprob  best     logprob of best  token, best\n", stream);
    for (size_t i = 0; i < evaluation->n_tokens; i++) {
        const struct tfr_token_score *token = &evaluation->tokens[i];
        fprintf(stream, "%-6zu %-8d %-8.4f %-8d %-16.4f ", i + 1, token->id, token->logprob, token->best_id, token->best_logprob);
        tfr_print_piece(stream, tokenizer, token->id);
        if (token->id != token->best_id) {
            fputc(' ', stream);
            tfr_print_piece(stream, tokenizer, token->best_id);
        }
        fputc('\n', stream);
    }
}

static enum tfr_status score_text(const struct tfr_tokenizer *tokenizer, const struct tfr_evaluation *evaluation, bool per_token,
                                  char **text) {
    size_t size;
    FILE *stream;
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    if (per_token) {
        print_tokens(stream, tokenizer, evaluation);
    }
    fprintf(stream, "logprob %.6f of %zu tokens, %.6f each, perplexity %.6f%s\n", evaluation->logprob, evaluation->n_tokens,
            -evaluation->nll, evaluation->perplexity,
            evaluation->n_greedy == evaluation->n_tokens ? ", every token the model's first choice" : "");
    return tfr_memtext_close(stream, text);
}

enum tfr_status tfr_report_score(struct tfr_engine *engine, const struct tfr_evaluation *evaluation, bool per_token,
                                 enum tfr_report_form form, char **text) {
    const struct tfr_tokenizer *tokenizer;
    TFR_TRY(tfr_engine_tokenizer(engine, &tokenizer));
    per_token &= evaluation->tokens != NULL;
    return form == TFR_REPORT_JSON ? score_json(engine, tokenizer, evaluation, per_token, text)
                                   : score_text(tokenizer, evaluation, per_token, text);
}
