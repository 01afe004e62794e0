/* logits_tool.c - `logits_tool CONFIG OUT ID,ID,... [KEY=VALUE ...]`: feeds the ids at once and writes the
 * logits of all of them to OUT as raw little-endian f32 [n, vocab_size]. For comparisons with other programs
 * (scripts/compare_hf.py). */
#include <tfrun/tfrun.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETTINGS = 16 };

static int fail(const char *what) {
    fprintf(stderr, "logits_tool: %s: %s\n", what, tfr_last_error());
    return 1;
}

static int64_t parse_ids(const char *text, int32_t *ids) {
    int64_t n = 0;
    for (char *end; *text != '\0'; text = *end == ',' ? end + 1 : end) {
        ids[n++] = (int32_t)strtol(text, &end, 10);
        if (end == text) {
            return -1;
        }
    }
    return n;
}

static int write_logits(const char *path, const float *logits, size_t n) {
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    const bool wrote = fwrite(logits, sizeof *logits, n, file) == n;
    return fclose(file) == 0 && wrote ? 0 : 1;
}

static int run(struct tfr_engine *engine, const char *path, const int32_t *ids, int64_t n) {
    struct tfr_session *session;
    const float *logits;
    if (tfr_session_open(&session, engine, n) != TFR_OK) {
        return fail("session");
    }
    const struct tfr_feed feed = {.session = session, .ids = ids, .n = n, .keep = n};
    const enum tfr_status status = tfr_engine_feed(engine, &feed, 1, &logits);
    const int code = status == TFR_OK ? write_logits(path, logits, (size_t)(n * tfr_engine_vocab_size(engine))) : fail("feed");
    tfr_session_close(session);
    return code;
}

int main(int argc, char **argv) {
    struct tfr_override overrides[MAX_SETTINGS];
    size_t n_overrides = 0;
    if (argc < 4 || argc - 4 > MAX_SETTINGS) {
        fprintf(stderr, "usage: logits_tool CONFIG OUT ID,ID,... [KEY=VALUE ...]\n");
        return 2;
    }
    for (int i = 4; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL) {
            fprintf(stderr, "logits_tool: %s is not KEY=VALUE\n", argv[i]);
            return 2;
        }
        *equals = '\0';
        overrides[n_overrides++] = (struct tfr_override){.key = argv[i], .value = equals + 1, .origin = "logits_tool"};
    }
    int32_t *ids = malloc((strlen(argv[3]) + 1) * sizeof *ids);
    const int64_t n = ids != NULL ? parse_ids(argv[3], ids) : -1;
    struct tfr_engine *engine = NULL;
    int code = 2;
    if (n < 1) {
        fprintf(stderr, "logits_tool: \"%s\" is not a list of ids\n", argv[3]);
    } else if (tfr_engine_open(&engine, argv[1], overrides, n_overrides) != TFR_OK) {
        code = fail("open");
    } else {
        code = run(engine, argv[2], ids, n);
    }
    tfr_engine_close(engine);
    free(ids);
    return code;
}
