/* score.h - scoring as a stream: the scores of each step go to a sink, nothing else is kept.
 *
 * Items are taken in order; an item's scores come in order, in one or several calls. Private to core.
 */
#ifndef TFR_SCORING_SCORE_H
#define TFR_SCORING_SCORE_H

#include <stdio.h>

#include "base/json.h"
#include "model/tokenizer.h"
#include "rank/rank.h"

/* Scores [first, first + n) of items[item], counted from its n_context. */
typedef enum tfr_status (*tfr_score_sink)(void *user, size_t item, size_t first, const struct tfr_token_score *scores, size_t n);

/* Checks all items, then runs them. TFR_CANCELLED after tfr_engine_cancel (the request is then forgotten). */
enum tfr_status tfr_score_stream(struct tfr_engine *engine, const struct tfr_score_item *items, size_t n, tfr_score_sink sink,
                                 void *user);

/* Appends the token that stands before everything: bos_token_id. TFR_USAGE if the config has none. */
enum tfr_status tfr_append_bos(const struct tfr_engine *engine, struct tfr_ids *ids);

/* evaluate.c: standard error of the mean of n values with these sums, taken as independent; 0 for one value, else infinity where
 * one of them is; and what it is of exp(mean). */
double tfr_error_of_mean(double sum, double sum_of_squares, double n);
double tfr_perplexity_error(double nll, double nll_error);

/* report_evaluation.c: a token's bytes in quotes, all but printable ASCII escaped, so that columns stay; as a member of JSON; and a
 * number, or the texts "Infinity", "-Infinity" and "NaN", for which JSON has none. */
void tfr_print_piece(FILE *stream, const struct tfr_tokenizer *tokenizer, int32_t id);
void tfr_put_piece(struct tfr_json_out *out, const struct tfr_tokenizer *tokenizer, const char *key, int32_t id);
void tfr_put_real(struct tfr_json_out *out, const char *key, double value);

#endif
