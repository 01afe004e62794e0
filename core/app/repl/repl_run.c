/* repl_run.c - `tfrun repl` goes on with its text: once, in several ways, or only as far as the next token's probabilities. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/results.h"
#include "app/repl/repl.h"

enum { MOST_TOP = 100 };

/* What one request gives. */
struct run {
    struct tfr_repl *repl;
    bool streams; /* text goes out as it comes */
    struct choice {
        int32_t *ids;
        size_t n, room;
        enum tfr_finish finish;
        struct tfr_kept text;
    } choices[TFR_REPL_MOST_ALTERNATIVES];
    struct tfr_logprob top[MOST_TOP + 1];
    size_t n_top;
    bool has_no_memory, is_on_a_line; /* text stands on the line where it goes out */
    enum tfr_status status;
};

static volatile sig_atomic_t is_running;

/* Ctrl-C stops what is generated, not the program. */
static void stop_running(int number) {
    (void)number;
    if (is_running != 0) {
        tfr_engine_cancel();
    }
}

static void catch_interrupts(const struct tfr_repl *repl) {
    static bool is_done;
    if (repl->is_interactive && !is_done) {
        const struct sigaction action = {.sa_handler = stop_running}; /* no SA_RESTART: a plain line ends */
        is_done = true;
        sigaction(SIGINT, &action, NULL);
    }
}

static void take_ids(struct run *run, struct choice *choice, const int32_t *ids, size_t n) {
    if (choice->n + n > choice->room) {
        const size_t room = 2 * (choice->n + n);
        int32_t *grown = realloc(choice->ids, room * sizeof *grown);
        if (grown == NULL) {
            run->has_no_memory = true;
            return;
        }
        choice->ids = grown;
        choice->room = room;
    }
    if (n > 0) {
        memcpy(choice->ids + choice->n, ids, n * sizeof *ids);
    }
    choice->n += n;
}

static void take_tokens(struct run *run, const struct tfr_event *event) {
    struct choice *choice = &run->choices[event->index];
    if (event->n_ids > 0) {
        take_ids(run, choice, event->ids, event->n_ids);
    }
    choice->finish = event->finish;
    tfr_kept_put(&choice->text, event->text, event->text_size);
    run->has_no_memory |= choice->text.failed;
    if (run->streams && event->text_size > 0) {
        tfr_results_put(event->text, event->text_size);
        run->is_on_a_line = true;
        tfr_results_flush();
    }
    if (event->logprobs != NULL && run->n_top == 0) {
        run->n_top = event->n_top < MOST_TOP ? event->n_top : MOST_TOP;
        memcpy(run->top, event->logprobs + 1, run->n_top * sizeof *run->top); /* behind the chosen one */
    }
}

/* Until the request has ended. */
static enum tfr_status await(struct run *run, struct tfr_request *request) {
    struct tfr_step_info info;
    struct tfr_event event;
    for (;;) {
        const enum tfr_status status = tfr_engine_step(run->repl->engine, &info);
        if (status != TFR_OK) {
            return status;
        }
        while (tfr_request_poll(request, &event)) {
            if (event.kind == TFR_EVENT_TOKENS) {
                take_tokens(run, &event);
            } else if (event.kind == TFR_EVENT_END) {
                run->status = event.status;
                run->repl->n_read = event.stats.prompt_tokens;
                run->repl->n_cached = event.stats.cached_tokens;
                if (event.status != TFR_OK && event.status != TFR_CANCELLED) {
                    fprintf(stderr, "tfrun: %s\n", event.error);
                }
                return TFR_OK;
            }
        }
    }
}

/* A signal that came too late would stop the next one. */
static void clear_cancel(struct tfr_repl *repl) {
    struct tfr_step_info info;
    tfr_engine_step(repl->engine, &info);
}

/* The settings and what this one wants besides. */
static enum tfr_status make_params(const struct tfr_repl *repl, const struct tfr_override *extra, size_t n_extra,
                                   struct tfr_params **params) {
    struct tfr_override all[TFR_REPL_MOST_SETTINGS + 8];
    memcpy(all, repl->settings, repl->n_settings * sizeof *all);
    memcpy(all + repl->n_settings, extra, n_extra * sizeof *all);
    return tfr_params_parse(repl->engine, all, repl->n_settings + n_extra, params);
}

/* 0 where it ended well or was stopped. */
static int run_on(struct run *run, const struct tfr_override *extra, size_t n_extra) {
    const struct tfr_repl_ids *text = tfr_repl_text(run->repl);
    const struct tfr_prompt prompt =
        text->n > 0 ? (struct tfr_prompt){.ids = text->ids, .n_ids = text->n} : (struct tfr_prompt){.text = "", .size = 0};
    struct tfr_params *params;
    struct tfr_request *request;
    catch_interrupts(run->repl);
    enum tfr_status status = make_params(run->repl, extra, n_extra, &params);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    status = tfr_request_submit_on(run->repl->engine, &prompt, params, NULL, &request);
    tfr_params_free(params);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    is_running = 1;
    status = await(run, request);
    is_running = 0;
    tfr_request_close(request);
    clear_cancel(run->repl);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    if (run->has_no_memory) {
        return tfr_cli_no_memory("the text");
    }
    return run->status == TFR_OK || run->status == TFR_CANCELLED ? 0 : tfr_exit_code(run->status);
}

static struct run *open_run(struct tfr_repl *repl, bool streams) {
    struct run *run = calloc(1, sizeof *run);
    if (run != NULL) {
        run->repl = repl;
        run->streams = streams;
    }
    return run;
}

static void close_run(struct run *run) {
    for (size_t i = 0; i < TFR_REPL_MOST_ALTERNATIVES; i++) {
        free(run->choices[i].ids);
        free(run->choices[i].text.text);
    }
    free(run);
}

/* What of a choice joins the text: without a stop string, and without the end of the text. */
static int to_add(struct run *run, struct choice *choice) {
    int32_t *ids;
    size_t n;
    if (choice->finish == TFR_FINISH_EOS && choice->n > 0) {
        choice->n--;
    } else if (choice->finish == TFR_FINISH_STOP) {
        const char *text = choice->text.text != NULL ? choice->text.text : "";
        const enum tfr_status status = tfr_vocabulary_encode(run->repl->vocabulary, text, choice->text.size, true, &ids, &n);
        if (status != TFR_OK) {
            return tfr_cli_fail(status);
        }
        choice->n = 0;
        take_ids(run, choice, ids, n);
        tfr_string_free(ids);
    }
    return run->has_no_memory ? tfr_cli_no_memory("the text") : 0;
}

bool tfr_repl_number(char **operands, const char *word, int64_t min, int64_t max, int64_t *value) {
    if (operands[0] == NULL) {
        return true;
    }
    char *end;
    const long long number = strtoll(operands[0], &end, 10);
    if (operands[0][0] < '0' || operands[0][0] > '9' || *end != '\0' || number < min || number > max) {
        tfr_cli_usage("/%s: \"%s\" is not a whole number in %lld..%lld", word, operands[0], (long long)min, (long long)max);
        return false;
    }
    *value = number;
    return true;
}

int tfr_repl_go_on(struct tfr_repl *repl, char **operands) {
    int64_t n = 0;
    struct tfr_override extra[2] = {{"sampling.num_return_sequences", "1", "/continue"},
                                    {"sampling.max_tokens", operands[0], "/continue"}};
    if (!tfr_repl_number(operands, "continue", 1, 1000000, &n)) {
        return tfr_exit_code(TFR_USAGE);
    }
    struct run *run = open_run(repl, true);
    if (run == NULL) {
        return tfr_cli_no_memory("the text");
    }
    int code = run_on(run, extra, operands[0] != NULL ? 2 : 1);
    if (run->is_on_a_line) {
        tfr_results_put("\n", 1);
    }
    code = code == 0 ? to_add(run, &run->choices[0]) : code;
    if (code == 0 && run->choices[0].n > 0) {
        code = tfr_repl_push(repl, run->choices[0].ids, run->choices[0].n, false);
    }
    close_run(run);
    return code;
}

/* ---- several ways ------------------------------------------------------------------------------------------------ */

static int keep_alternatives(struct run *run, size_t n) {
    struct tfr_repl *repl = run->repl;
    tfr_repl_forget_alternatives(repl);
    for (size_t i = 0; i < n; i++) {
        struct choice *choice = &run->choices[i];
        tfr_results_print("[%zu]", i + 1);
        tfr_results_put(choice->text.text != NULL ? choice->text.text : "", choice->text.size);
        tfr_results_put("\n", 1);
        const int code = to_add(run, choice);
        if (code != 0) {
            return code;
        }
        repl->alternatives[repl->n_alternatives++] = (struct tfr_repl_ids){.ids = choice->ids, .n = choice->n};
        choice->ids = NULL;
    }
    return 0;
}

int tfr_repl_alternatives(struct tfr_repl *repl, char **operands) {
    int64_t n = 3;
    if (!tfr_repl_number(operands, "alternatives", 1, TFR_REPL_MOST_ALTERNATIVES, &n)) {
        return tfr_exit_code(TFR_USAGE);
    }
    const struct tfr_override extra[] = {
        {"sampling.num_return_sequences", operands[0] != NULL ? operands[0] : "3", "/alternatives"},
        {"sampling.num_beams", "1", "/alternatives"},
        {"sampling.do_sample", "true", "/alternatives"}};
    struct run *run = open_run(repl, false);
    if (run == NULL) {
        return tfr_cli_no_memory("the text");
    }
    int code = run_on(run, extra, sizeof extra / sizeof extra[0]);
    code = code == 0 ? keep_alternatives(run, (size_t)n) : code;
    close_run(run);
    return code;
}

int tfr_repl_choose(struct tfr_repl *repl, char **operands) {
    int64_t k = 0;
    if (repl->n_alternatives == 0) {
        return tfr_cli_usage("/choose takes one of the ways that /alternatives shows; there are none now");
    }
    if (!tfr_repl_number(operands, "choose", 1, (int64_t)repl->n_alternatives, &k)) {
        return tfr_exit_code(TFR_USAGE);
    }
    struct tfr_repl_ids *chosen = &repl->alternatives[k - 1];
    int32_t *ids = chosen->ids; /* the push forgets all of them */
    chosen->ids = NULL;
    const int code = tfr_repl_push(repl, ids, chosen->n, false);
    if (code != 0) { /* it forgot nothing */
        chosen->ids = ids;
    } else {
        free(ids);
    }
    return code;
}

/* ---- the next token ------------------------------------------------------------------------------------------------ */

int tfr_repl_top(struct tfr_repl *repl, char **operands) {
    int64_t k = 10;
    char number[24];
    if (!tfr_repl_number(operands, "top", 1, MOST_TOP, &k)) {
        return tfr_exit_code(TFR_USAGE);
    }
    snprintf(number, sizeof number, "%lld", (long long)k);
    const struct tfr_override extra[] = {{"sampling.max_tokens", "1", "/top"},           {"sampling.logprobs", number, "/top"},
                                         {"sampling.num_return_sequences", "1", "/top"}, {"sampling.num_beams", "1", "/top"},
                                         {"sampling.do_sample", "false", "/top"},        {"sampling.prompt_lookup", "0", "/top"}};
    struct run *run = open_run(repl, false);
    if (run == NULL) {
        return tfr_cli_no_memory("the tokens");
    }
    const int code = run_on(run, extra, sizeof extra / sizeof extra[0]);
    for (size_t i = 0; code == 0 && i < run->n_top; i++) {
        size_t size = 0;
        const char *bytes = tfr_vocabulary_bytes(repl->vocabulary, run->top[i].id, &size);
        tfr_results_print("%8.4f %% %9.4f %7d ", 100 * exp(run->top[i].logprob), run->top[i].logprob, run->top[i].id);
        tfr_results_put_piece(bytes != NULL ? bytes : "", size);
        tfr_results_put("\n", 1);
    }
    close_run(run);
    return code;
}
