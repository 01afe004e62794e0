/* count_run.c - `count_run CONFIG KEEP ENCODER_LEN SEQ[,..] CACHE[,..] KEY=VALUE...`: fills caches, then feeds one ragged batch,
 * under whatever kernels the options name; KEEP is all or last. What they count they tell themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/tfrun.h>

enum { MOST = 16, MOST_TOKENS = 1024 };

static int32_t ids[MOST_TOKENS];

static bool check(enum tfr_status status, const char *what) {
    if (status != TFR_OK) {
        fprintf(stderr, "count_run: %s: %s\n", what, tfr_last_error());
    }
    return status == TFR_OK;
}

static int take_list(char *text, int64_t *list) {
    int n = 0;
    for (char *at = strtok(text, ","); at != NULL && n < MOST; at = strtok(NULL, ",")) {
        list[n++] = strtoll(at, NULL, 10);
    }
    return n;
}

static bool feed(struct tfr_engine *engine, struct tfr_session *const *sessions, int n, const int64_t *rows, const char *keep) {
    struct tfr_feed feeds[MOST];
    const float *logits;
    size_t n_feeds = 0;
    for (int i = 0; i < n; i++) {
        if (rows[i] > 0) {
            const int64_t kept = keep[0] == 'a' ? rows[i] : keep[0] == 'l' ? 1 : 0;
            feeds[n_feeds++] = (struct tfr_feed){.session = sessions[i], .ids = ids, .n = rows[i], .keep = kept};
        }
    }
    return n_feeds == 0 || check(tfr_engine_feed(engine, feeds, n_feeds, &logits), "feed");
}

static bool drive(struct tfr_engine *engine, char **argv) {
    struct tfr_session *sessions[MOST];
    int64_t seq[MOST], cache[MOST];
    const int64_t encoder_len = strtoll(argv[3], NULL, 10), width = strtoll(getenv("COUNT_WIDTH"), NULL, 10);
    const int n = take_list(argv[4], seq);
    float *states = calloc((size_t)(encoder_len * width + 1), sizeof *states);
    const struct tfr_encoder_states encoder = {.states = states, .n = encoder_len};
    bool good = take_list(argv[5], cache) == n && states != NULL;
    for (int i = 0; i < n && good; i++) {
        good = check(tfr_session_open(&sessions[i], engine, seq[i] + cache[i]), "session") &&
               (encoder_len == 0 || check(tfr_session_encode(sessions[i], &encoder), "encode"));
    }
    good = good && feed(engine, sessions, n, cache, "none") && feed(engine, sessions, n, seq, argv[2]);
    for (int i = 0; i < n && good; i++) {
        tfr_session_close(sessions[i]);
    }
    free(states);
    return good;
}

int main(int argc, char **argv) {
    struct tfr_override overrides[32];
    struct tfr_engine *engine;
    size_t n = 0;
    if (argc < 6 || argc > 6 + 32) {
        return 2;
    }
    for (int i = 6; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        *value = '\0';
        overrides[n++] = (struct tfr_override){.key = argv[i], .value = value + 1, .origin = argv[i]};
    }
    for (int i = 0; i < MOST_TOKENS; i++) {
        ids[i] = i % 7;
    }
    if (!check(tfr_engine_open(&engine, argv[1], overrides, n), "open")) {
        return 1;
    }
    const bool good = tfr_engine_rank(engine) == 0 ? drive(engine, argv) : check(tfr_engine_follow(engine), "follow");
    tfr_engine_close(engine);
    return good ? 0 : 1;
}
