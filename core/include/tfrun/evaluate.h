/* evaluate.h - scores, evaluation and classification: numbers about given texts.
 *
 * A part of tfrun.h, whose conventions hold here; include that one. */
#ifndef TFRUN_EVALUATE_H
#define TFRUN_EVALUATE_H

#ifndef TFRUN_TFRUN_H
#error "include <tfrun/tfrun.h>, which has this part"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- scores and evaluation ------------------------------------------------------------------------------ */

/* A sequence to score: the tokens from n_context (at least 1: nothing predicts the first) on, each given all
 * before it. At most n_positions + 1 tokens, as the last is predicted but not fed. */
struct tfr_score_item {
    const int32_t *ids;
    size_t n, n_context;
};
struct tfr_token_score {
    double logprob, best_logprob; /* natural logarithms: of this token, and of the model's first choice */
    int32_t id, best_id;          /* equal when the token is the greedy choice */
};
struct tfr_score {
    struct tfr_token_score *tokens; /* [n_tokens] the tokens from n_context on */
    size_t n_tokens;
    double logprob; /* their sum */
    bool is_greedy; /* every one is the first choice */
};
/* Scores in ragged batches of at most runtime.max_batch sequences and runtime.max_rows rows; the logits of
 * one step are all that ever exists. results[n] are filled; free with tfr_score_free. A result depends on its
 * item alone. */
TFR_API enum tfr_status tfr_score(struct tfr_engine *engine, const struct tfr_score_item *items, size_t n,
                                  struct tfr_score *results);
TFR_API void tfr_score_free(struct tfr_score *score);

/* How far long work is; `value` (named, with its standard error) is the running result, not yet there while 0
 * are done. */
struct tfr_progress {
    const char *what, *unit, *value_name;
    size_t done, total;
    double value, error;
    uint64_t elapsed_ns;
};
typedef void (*tfr_progress_fn)(void *user, const struct tfr_progress *progress);

/* Perplexity of a text as the config's eval section says (docs/evaluation.md). Each token counts once. */
struct tfr_evaluation {
    size_t n_tokens, n_bytes; /* counted: all tokens but the first (all with eval.bos), and their bytes */
    size_t n_greedy, n_windows;
    int64_t ctx, stride;
    bool bos;
    double logprob;                           /* sum over the counted tokens */
    double nll, nll_error, nll_error_windows; /* mean of -log p in nats; its standard error from tokens, and
                                                 from windows (0: one window) */
    double perplexity, perplexity_error;      /* exp(nll); nll_error carried over */
    double bits_per_token, bits_per_byte;
    uint64_t elapsed_ns;
    struct tfr_token_score *tokens; /* [n_tokens] if asked for */
    const char *dtype, *kv_dtype;   /* of the weights ("f32") and of the caches; the thread's that called */
};
/* `progress` may be NULL. After TFR_CANCELLED the result covers what was done. Free with tfr_evaluation_free.
 */
TFR_API enum tfr_status tfr_evaluate(struct tfr_engine *engine, const char *text, size_t size, bool keep_tokens,
                                     tfr_progress_fn progress, void *user, struct tfr_evaluation *evaluation);
TFR_API void tfr_evaluation_free(struct tfr_evaluation *evaluation);

/* JSON lines in, JSON lines out. Pairs: {"context", "continuation"} gives the continuation's log-probability.
 * Choices: {"context", "choices", "answer"} gives the likeliest choice, in all and by bytes. `name` is for
 * messages; on_line gets one line without its end for each input line in order, and last, for choices, a
 * summary. */
enum tfr_score_lines { TFR_SCORE_PAIRS, TFR_SCORE_CHOICES };
typedef bool (*tfr_line_fn)(void *user, const char *line, size_t size);
TFR_API enum tfr_status tfr_score_jsonl(struct tfr_engine *engine, enum tfr_score_lines form, const char *name, const char *text,
                                        size_t size, tfr_line_fn on_line, tfr_progress_fn progress, void *user);
/* Reports of an evaluation; as the score of a text (tfrun score), with a line for each of its tokens if asked. */
TFR_API enum tfr_status tfr_report_evaluation(struct tfr_engine *engine, const struct tfr_evaluation *evaluation,
                                              enum tfr_report_form form, char **text);
TFR_API enum tfr_status tfr_report_score(struct tfr_engine *engine, const struct tfr_evaluation *evaluation, bool per_token,
                                         enum tfr_report_form form, char **text);

/* ---- classification ------------------------------------------------------------------------------------- */

struct tfr_label_score {
    const char *name; /* by id2label; borrowed from the engine */
    int32_t label;
    float logit;
    double score; /* softmax of the logits for one label of several, sigmoid for labels apart (problem_type
                     multi_label_classification), the logit itself for regression */
};
struct tfr_classification {
    int32_t *ids; /* [n_ids] tokens of the text */
    size_t n_ids;
    struct tfr_label_score *scores; /* [n_rows, n_labels], each row best first */
    size_t n_rows, n_labels;        /* one row, or one for each token (is_per_token) */
    bool is_per_token;
};
/* Labels of texts by a GPT2ForSequenceClassification or GPT2ForTokenClassification, as ragged batches of
 * runtime.max_batch; another head is refused. A result depends on its text alone, to the bit. results[n] are filled;
 * free with tfr_classification_free. Prompts' encoder states are refused. */
TFR_API enum tfr_status tfr_classify(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n,
                                     struct tfr_classification *results);
TFR_API void tfr_classification_free(struct tfr_classification *classification);
/* As text, or as one line of JSON ("schema": "tfrun-classify-1"), with the best `n_labels` labels of each row (0: all). */
TFR_API enum tfr_status tfr_report_classification(struct tfr_engine *engine, const struct tfr_prompt *prompt,
                                                  const struct tfr_classification *classification, size_t n_labels,
                                                  enum tfr_report_form form, char **text);

#ifdef __cplusplus
}
#endif
#endif
