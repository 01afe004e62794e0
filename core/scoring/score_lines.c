/* score_lines.c - JSON lines of pairs and of choices to log-probabilities.
 *
 * Tokens are cut as lm-evaluation-harness cuts them: a continuation is what the whole text has after as many
 * tokens as the context alone has (without its trailing white space, which so belongs to the continuation).
 * All lines are read before the first is scored.
 */
#include <tfrun/tfrun.h>

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "scoring/score.h"
#include "session/prefix.h"

/* One continuation with its context. */
struct candidate {
    struct tfr_ids ids;
    size_t n_context, bytes, n_tokens;
    double logprob;
    bool truncated, is_greedy;
};

/* One input line: candidates [first, first + n). */
struct request {
    size_t line, first, n;
    int64_t answer;
};

struct lines {
    struct tfr_engine *engine;
    const struct tfr_tokenizer *tokenizer;
    enum tfr_score_lines form;
    const char *name;
    struct request *requests;
    struct candidate *candidates;
    size_t n_requests, requests_room, n_candidates, candidates_room;
    size_t done, n_correct, n_correct_by_bytes;
    tfr_line_fn on_line;
    tfr_progress_fn progress;
    void *user;
    uint64_t start_ns;
};

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r') || (byte >= 0x1c && byte <= 0x1f);
}

static enum tfr_status grow(void **array, size_t n, size_t *room, size_t size) {
    if (n < *room) {
        return TFR_OK;
    }
    const size_t wanted = *room > 0 ? 2 * *room : 64;
    void *grown = tfr_realloc(*array, wanted, size);
    if (grown == NULL) {
        return TFR_RESOURCE;
    }
    *array = grown;
    *room = wanted;
    return TFR_OK;
}

/* Drops the oldest tokens of what the model cannot see at once. */
static enum tfr_status fit(const struct lines *lines, struct candidate *candidate) {
    const size_t limit = (size_t)tfr_engine_n_positions(lines->engine) + 1;
    if (candidate->ids.n <= limit) {
        return TFR_OK;
    }
    const size_t drop = candidate->ids.n - limit;
    if (candidate->n_context <= drop) {
        return tfr_raise(TFR_MODEL, "the continuation has %zu tokens, %s is %zu; shorten it",
                         candidate->ids.n - candidate->n_context, tfr_engine_positions_name(lines->engine), limit - 1);
    }
    memmove(candidate->ids.data, candidate->ids.data + drop, limit * sizeof *candidate->ids.data);
    candidate->ids.n = limit;
    candidate->n_context -= drop;
    candidate->truncated = true;
    return TFR_OK;
}

static enum tfr_status append_text(const struct lines *lines, const char *text, size_t size, struct tfr_ids *ids) {
    return tfr_tokenizer_encode(lines->tokenizer, text, size, TFR_SPECIAL_PARSE, ids);
}

/* Appends the tokens of `text` but the first `skip`. */
static enum tfr_status append_rest(const struct lines *lines, const char *text, size_t skip, struct tfr_ids *ids) {
    struct tfr_ids all = {0};
    enum tfr_status status = append_text(lines, text, strlen(text), &all);
    for (size_t i = skip; status == TFR_OK && i < all.n; i++) {
        status = tfr_ids_append(ids, all.data[i]);
    }
    tfr_ids_free(&all);
    return status;
}

/* The context's own tokens, then what the whole text has after as many. */
static enum tfr_status encode(const struct lines *lines, const char *context, const char *continuation,
                              struct candidate *candidate) {
    size_t length = strlen(context);
    while (length > 0 && is_space(context[length - 1])) {
        length--;
    }
    if (length == 0 || lines->engine->config->options.eval_bos) {
        TFR_TRY(tfr_append_bos(lines->engine, &candidate->ids));
    }
    const size_t before = candidate->ids.n;
    TFR_TRY(append_text(lines, context, length, &candidate->ids));
    candidate->n_context = candidate->ids.n;
    char *whole = tfr_format("%s%s", context, continuation);
    if (whole == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = append_rest(lines, whole, candidate->n_context - before, &candidate->ids);
    tfr_free(whole);
    return status;
}

static enum tfr_status add_candidate(struct lines *lines, const char *context, const char *continuation) {
    TFR_TRY(grow((void **)&lines->candidates, lines->n_candidates, &lines->candidates_room, sizeof *lines->candidates));
    struct candidate *candidate = &lines->candidates[lines->n_candidates++];
    *candidate = (struct candidate){.bytes = strlen(continuation), .is_greedy = true};
    TFR_TRY(encode(lines, context, continuation, candidate));
    if (candidate->ids.n <= candidate->n_context) {
        return tfr_raise(TFR_MODEL,
                         "the continuation \"%.40s\" adds no token to its context; it is empty or melts into "
                         "the last word",
                         continuation);
    }
    return fit(lines, candidate);
}

static enum tfr_status member_text(const tfr_json *object, const char *key, const char **text) {
    *text = tfr_json_string(tfr_json_member(object, key));
    return *text != NULL ? TFR_OK : tfr_raise(TFR_MODEL, "\"%s\" is missing or not a text", key);
}

static enum tfr_status read_pair(struct lines *lines, const tfr_json *root) {
    const char *context, *continuation;
    TFR_TRY(member_text(root, "context", &context));
    TFR_TRY(member_text(root, "continuation", &continuation));
    return add_candidate(lines, context, continuation);
}

static enum tfr_status read_choices(struct lines *lines, const struct tfr_json_doc *doc, int64_t *answer) {
    const tfr_json *root = tfr_json_root(doc), *choices = tfr_json_member(root, "choices");
    const tfr_json *right = tfr_json_member(root, "answer");
    const char *context;
    TFR_TRY(member_text(root, "context", &context));
    if (choices == NULL || tfr_json_kind(choices) != TFR_JSON_ARRAY || tfr_json_size(choices) == 0) {
        return tfr_raise(TFR_MODEL, "\"choices\" is missing or not a list of at least one text");
    }
    for (const tfr_json *node = tfr_json_first(choices); node != NULL; node = tfr_json_next(node)) {
        if (tfr_json_string(node) == NULL) {
            return tfr_raise(TFR_MODEL, "\"choices\" holds %s where a text is expected", tfr_json_kind_name(tfr_json_kind(node)));
        }
        TFR_TRY(add_candidate(lines, context, tfr_json_string(node)));
    }
    if (right == NULL || !tfr_json_int64(doc, right, answer) || *answer < 0 || *answer >= (int64_t)tfr_json_size(choices)) {
        return tfr_raise(TFR_MODEL, "\"answer\" is missing or not an index in 0..%zu", tfr_json_size(choices) - 1);
    }
    return TFR_OK;
}

static enum tfr_status read_record(struct lines *lines, const struct tfr_json_doc *doc, int64_t *answer) {
    const tfr_json *root = tfr_json_root(doc);
    if (tfr_json_kind(root) != TFR_JSON_OBJECT) {
        return tfr_raise(TFR_MODEL, "a line is an object, not %s", tfr_json_kind_name(tfr_json_kind(root)));
    }
    return lines->form == TFR_SCORE_PAIRS ? read_pair(lines, root) : read_choices(lines, doc, answer);
}

static enum tfr_status read_line(struct lines *lines, size_t number, const char *text, size_t size) {
    TFR_TRY(grow((void **)&lines->requests, lines->n_requests, &lines->requests_room, sizeof *lines->requests));
    struct request request = {.line = number, .first = lines->n_candidates};
    char *name = tfr_format("%s line %zu", lines->name, number);
    if (name == NULL) {
        return TFR_RESOURCE;
    }
    struct tfr_json_doc *doc;
    enum tfr_status status = tfr_json_open(&doc, name, text, size, TFR_MODEL);
    if (status == TFR_OK) {
        status = read_record(lines, doc, &request.answer);
        if (status != TFR_OK) {
            tfr_raise_prefix(status, "%s", name);
        }
        tfr_json_close(doc);
    }
    tfr_free(name);
    request.n = lines->n_candidates - request.first;
    lines->requests[lines->n_requests++] = request;
    return status;
}

static enum tfr_status read_all(struct lines *lines, const char *text, size_t size) {
    size_t number = 1;
    for (const char *at = text, *end = text + size; at < end; number++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const size_t length = (size_t)((stop != NULL ? stop : end) - at);
        size_t blank = 0;
        while (blank < length && is_space(at[blank])) {
            blank++;
        }
        if (blank < length) {
            TFR_TRY(read_line(lines, number, at, length));
        }
        at += length + 1;
    }
    return lines->n_requests > 0 ? TFR_OK : tfr_raise(TFR_MODEL, "%s holds no line; give one JSON object a line", lines->name);
}

static void put_pair(struct tfr_json_out *out, const struct candidate *candidate) {
    tfr_put_real(out, "logprob", candidate->logprob);
    tfr_json_put_int(out, "n_tokens", (int64_t)candidate->n_tokens);
    tfr_json_put_bool(out, "is_greedy", candidate->is_greedy);
}

/* Largest log-probability, of the whole or for each byte; the first among equals. */
static size_t best_choice(const struct candidate *choices, size_t n, bool by_bytes) {
    size_t best = 0;
    double most = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        const double value = by_bytes ? choices[i].logprob / (double)choices[i].bytes : choices[i].logprob;
        if (value > most) {
            most = value;
            best = i;
        }
    }
    return best;
}

static void put_choices(struct lines *lines, struct tfr_json_out *out, const struct request *request) {
    const struct candidate *choices = &lines->candidates[request->first];
    const size_t best = best_choice(choices, request->n, false), best_by_bytes = best_choice(choices, request->n, true);
    const bool correct = (int64_t)best == request->answer, correct_by_bytes = (int64_t)best_by_bytes == request->answer;
    lines->n_correct += correct;
    lines->n_correct_by_bytes += correct_by_bytes;
    tfr_json_begin(out, "choices", '[');
    for (size_t i = 0; i < request->n; i++) {
        tfr_json_begin(out, NULL, '{');
        put_pair(out, &choices[i]);
        tfr_json_put_int(out, "n_bytes", (int64_t)choices[i].bytes);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_put_int(out, "answer", request->answer);
    tfr_json_put_int(out, "best", (int64_t)best);
    tfr_json_put_int(out, "best_by_bytes", (int64_t)best_by_bytes);
    tfr_json_put_bool(out, "correct", correct);
    tfr_json_put_bool(out, "correct_by_bytes", correct_by_bytes);
}

static enum tfr_status emit(const struct lines *lines, struct tfr_json_out *out) {
    enum tfr_status status = out->failed ? TFR_RESOURCE : TFR_OK;
    if (status == TFR_OK && !lines->on_line(lines->user, out->text, out->size)) {
        status = tfr_raise(TFR_CANCELLED, "stopped on request");
    }
    tfr_free(out->text);
    return status;
}

static double share(size_t part, size_t n) {
    return (double)part / (double)n;
}

/* Standard error of a share of n independent lines. */
static double error_of_share(double p, size_t n) {
    return n > 1 ? sqrt(p * (1 - p) / (double)(n - 1)) : 0;
}

static void report_progress(const struct lines *lines) {
    if (lines->progress == NULL) {
        return;
    }
    const bool choices = lines->form == TFR_SCORE_CHOICES;
    const double acc = share(lines->n_correct, lines->done);
    const struct tfr_progress progress = {.what = "score",
                                          .unit = "lines",
                                          .value_name = choices ? "acc" : NULL,
                                          .done = lines->done,
                                          .total = lines->n_requests,
                                          .value = acc,
                                          .error = error_of_share(acc, lines->done),
                                          .elapsed_ns = tfr_clock_ns() - lines->start_ns};
    lines->progress(lines->user, &progress);
}

static enum tfr_status answer_request(struct lines *lines) {
    const struct request *request = &lines->requests[lines->done++];
    struct tfr_json_out out = {0};
    bool truncated = false;
    tfr_json_begin(&out, NULL, '{');
    if (lines->form == TFR_SCORE_PAIRS) {
        put_pair(&out, &lines->candidates[request->first]);
    } else {
        put_choices(lines, &out, request);
    }
    for (size_t i = 0; i < request->n; i++) {
        truncated |= lines->candidates[request->first + i].truncated;
    }
    if (truncated) {
        tfr_json_put_bool(&out, "truncated", true);
    }
    tfr_json_end(&out, '}');
    TFR_TRY(emit(lines, &out));
    report_progress(lines);
    return TFR_OK;
}

static enum tfr_status take_scores(void *user, size_t item, size_t first, const struct tfr_token_score *scores, size_t n) {
    (void)first;
    struct lines *lines = user;
    struct candidate *candidate = &lines->candidates[item];
    for (size_t i = 0; i < n; i++) {
        candidate->logprob += scores[i].logprob;
        candidate->is_greedy &= scores[i].best_id == scores[i].id;
    }
    candidate->n_tokens += n;
    const struct request *request = &lines->requests[lines->done];
    const bool complete = candidate->n_tokens == candidate->ids.n - candidate->n_context;
    return complete && item + 1 == request->first + request->n ? answer_request(lines) : TFR_OK;
}

static enum tfr_status emit_summary(const struct lines *lines) {
    const double acc = share(lines->n_correct, lines->done), by_bytes = share(lines->n_correct_by_bytes, lines->done);
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_begin(&out, "summary", '{');
    tfr_json_put_int(&out, "n", (int64_t)lines->done);
    tfr_json_put_number(&out, "acc", acc);
    tfr_json_put_number(&out, "acc_stderr", error_of_share(acc, lines->done));
    tfr_json_put_number(&out, "acc_norm", by_bytes);
    tfr_json_put_number(&out, "acc_norm_stderr", error_of_share(by_bytes, lines->done));
    tfr_json_end(&out, '}');
    tfr_json_end(&out, '}');
    return emit(lines, &out);
}

static enum tfr_status score_all(struct lines *lines) {
    struct tfr_score_item *items = tfr_alloc(lines->n_candidates, sizeof *items);
    if (items == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < lines->n_candidates; i++) {
        const struct candidate *candidate = &lines->candidates[i];
        items[i] = (struct tfr_score_item){.ids = candidate->ids.data, .n = candidate->ids.n, .n_context = candidate->n_context};
    }
    lines->start_ns = tfr_clock_ns();
    enum tfr_status status = tfr_score_stream(lines->engine, items, lines->n_candidates, take_scores, lines);
    tfr_free(items);
    return status == TFR_OK && lines->form == TFR_SCORE_CHOICES ? emit_summary(lines) : status;
}

enum tfr_status tfr_score_jsonl(struct tfr_engine *engine, enum tfr_score_lines form, const char *name, const char *text,
                                size_t size, tfr_line_fn on_line, tfr_progress_fn progress, void *user) {
    struct lines lines = {.engine = engine, .form = form, .name = name, .on_line = on_line, .progress = progress, .user = user};
    TFR_TRY(tfr_engine_tokenizer(engine, &lines.tokenizer));
    enum tfr_status status = read_all(&lines, text, size);
    if (status == TFR_OK) {
        status = score_all(&lines);
    }
    for (size_t i = 0; i < lines.n_candidates; i++) {
        tfr_ids_free(&lines.candidates[i].ids);
    }
    tfr_free(lines.candidates);
    tfr_free(lines.requests);
    return status;
}
