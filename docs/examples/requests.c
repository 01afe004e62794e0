/* requests.c - three prompts with settings of their own in one batch, over the C interface.
 *
 *   cc -o requests requests.c $(pkg-config --cflags --libs tfrun) && ./requests configs/demo
 *
 * Installed where the loader does not look: add -Wl,-rpath,$(pkg-config --variable=libdir tfrun) to the first command.
 *
 * One thread does everything here. In a server other threads submit and poll, and the engine's thread calls tfr_engine_step, with
 * tfr_engine_wait when nothing runs. */
#include <stdio.h>
#include <string.h>

#include <tfrun/tfrun.h>

enum { N = 3 };

static const char *const prompts[N] = {"Once upon a time", "The king said", "In the garden"};
static const char *const settings[N] = {"{\"max_tokens\": 12}", "{\"num_beams\": 3, \"max_tokens\": 8}",
                                        "{\"temperature\": 0.8, \"seed\": 1, \"max_tokens\": 10, \"logprobs\": 0}"};

static enum tfr_status submit(struct tfr_engine *engine, int i, struct tfr_request **request) {
    const struct tfr_prompt prompt = {.text = prompts[i], .size = strlen(prompts[i])};
    struct tfr_params *params;
    enum tfr_status status = tfr_params_parse_json(engine, settings[i], strlen(settings[i]), &params);
    if (status == TFR_OK) {
        status = tfr_request_submit(engine, &prompt, params, request);
        tfr_params_free(params); /* the request keeps what it needs */
    }
    return status;
}

/* True once the request has ended. */
static int print_events(int i, struct tfr_request *request) {
    struct tfr_event event;
    while (tfr_request_poll(request, &event)) {
        if (event.kind == TFR_EVENT_TOKENS) {
            printf("%d: \"%.*s\"%s\n", i, (int)event.text_size, event.text, event.finish != TFR_FINISH_NONE ? " (end)" : "");
        } else if (event.kind == TFR_EVENT_END) {
            printf("%d: %zu tokens%s%s\n", i, event.stats.output_tokens, event.status != TFR_OK ? ", " : "", event.error);
            return 1;
        }
    }
    return 0;
}

static enum tfr_status run(struct tfr_engine *engine, struct tfr_request **requests) {
    int n_ended = 0, ended[N] = {0};
    for (int i = 0; i < N; i++) {
        const enum tfr_status status = submit(engine, i, &requests[i]);
        if (status != TFR_OK) {
            return status;
        }
    }
    while (n_ended < N) {
        struct tfr_step_info info;
        const enum tfr_status status = tfr_engine_step(engine, &info);
        if (status != TFR_OK) {
            return status;
        }
        for (int i = 0; i < N; i++) {
            if (!ended[i] && print_events(i, requests[i])) {
                ended[i] = 1;
                n_ended++;
            }
        }
    }
    return TFR_OK;
}

int main(int argc, char **argv) {
    struct tfr_engine *engine;
    struct tfr_request *requests[N] = {NULL};
    if (argc != 2) {
        fprintf(stderr, "usage: requests CONFIG\n");
        return 2;
    }
    enum tfr_status status = tfr_engine_open(&engine, argv[1], NULL, 0);
    if (status == TFR_OK) {
        /* Under a launcher every rank opens the engine, rank 0 has the requests and the others do what it says. */
        status = tfr_engine_rank(engine) == 0 ? run(engine, requests) : tfr_engine_follow(engine);
        for (int i = 0; i < N; i++) {
            tfr_request_close(requests[i]); /* before the engine */
        }
        tfr_engine_close(engine);
    }
    if (status != TFR_OK) {
        fprintf(stderr, "requests: %s\n", tfr_last_error());
    }
    return tfr_exit_code(status);
}
