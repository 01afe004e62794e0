/* test_session.c - `test_session CASE copy|reorder|saved`: what was done to a session's cache changes no bit
 * of what follows. The reference is always the same tokens fed at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "golden_case.h"

/* After a copy, or a cut and new tokens, a session goes on as one that was fed from the start. */
static void law_copy(const struct golden_case *golden) {
    const int64_t n = golden->n, half = n / 2, v = golden->vocab_size;
    struct tfr_engine *engine = golden_engine(golden, NULL);
    float *whole = golden_run_ids(engine, golden->ids, n), *got = golden_room(n * v);
    struct tfr_session *from = golden_session(engine, n), *to = golden_session(engine, n > 2 ? n + 1 : n);
    golden_feed(engine, from, golden->ids, n, 0, NULL);
    for (int64_t at = 1; at < n; at++) {
        golden_check(tfr_session_copy(to, from, at), "copy");
        golden_feed(engine, to, golden->ids + at, n - at, n - at, got);
        golden_same_bits(got, whole + at * v, (n - at) * v, "after a copy");
    }
    golden_check(tfr_session_crop(from, half), "crop");
    if (tfr_session_length(from) != half || tfr_session_crop(from, half + 1) == TFR_OK ||
        tfr_session_copy(from, from, 1) == TFR_OK || tfr_session_copy(to, from, half + 1) == TFR_OK) {
        golden_fail("a wrong cut or copy was allowed");
    }
    golden_feed(engine, from, golden->ids + half, n - half, n - half, got);
    golden_same_bits(got, whole + half * v, (n - half) * v, "after a cut");
    tfr_session_close(from);
    tfr_session_close(to);
    free(whole);
    free(got);
    tfr_engine_close(engine);
}

enum { SEQUENCES = 4 };

/* Sequences of their own tokens and lengths. */
static void open_sequences(struct tfr_engine *engine, const struct golden_case *golden, struct tfr_session **session,
                           int32_t (*ids)[MAX_GOLDEN_TOKENS], int64_t *length) {
    for (int i = 0; i < SEQUENCES; i++) {
        length[i] = 1 + (golden->n - 2) * (i + 1) / SEQUENCES;
        for (int64_t t = 0; t < golden->n; t++) {
            ids[i][t] = golden->ids[(t * (i + 1) + i) % golden->n];
        }
        session[i] = golden_session(engine, golden->n);
        golden_feed(engine, session[i], ids[i], length[i], 0, NULL);
    }
}

/* After a reorder, session i goes on as one that was fed what session source[i] was. */
static void check_order(struct tfr_engine *engine, const struct golden_case *golden, const int32_t *source) {
    const int64_t v = golden->vocab_size;
    struct tfr_session *session[SEQUENCES];
    int32_t ids[SEQUENCES][MAX_GOLDEN_TOKENS];
    int64_t length[SEQUENCES];
    float *got = golden_room(golden->n * v);
    open_sequences(engine, golden, session, ids, length);
    golden_check(tfr_session_reorder(session, SEQUENCES, source), "reorder");
    for (int i = 0; i < SEQUENCES; i++) {
        const int64_t known = length[source[i]], n = golden->n - known;
        if (tfr_session_length(session[i]) != known) {
            golden_fail("session %d has %lld positions", i, (long long)tfr_session_length(session[i]));
        }
        float *whole = golden_run_ids(engine, ids[source[i]], golden->n);
        golden_feed(engine, session[i], ids[source[i]] + known, n, n, got);
        golden_same_bits(got, whole + known * v, n * v, "after a reorder");
        free(whole);
    }
    for (int i = 0; i < SEQUENCES; i++) {
        tfr_session_close(session[i]);
    }
    free(got);
}

static void law_reorder(const struct golden_case *golden) {
    static const int32_t orders[][SEQUENCES] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 2, 3, 0}, {2, 2, 2, 2}, {0, 0, 3, 3},
                                                {3, 3, 0, 1}, {1, 1, 0, 0}, {0, 0, 0, 1}, {2, 0, 2, 1}};
    static const int32_t outside[] = {0, 2};
    struct tfr_engine *engine = golden_engine(golden, NULL);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        check_order(engine, golden, orders[i]);
    }
    struct tfr_session *pair[] = {golden_session(engine, 2), golden_session(engine, 2)};
    struct tfr_session *unlike[] = {pair[0], golden_session(engine, 1)}, *twice[] = {pair[0], pair[0]};
    if (tfr_session_reorder(pair, 2, outside) == TFR_OK || tfr_session_reorder(unlike, 2, orders[0]) == TFR_OK ||
        tfr_session_reorder(twice, 2, orders[0]) == TFR_OK || tfr_session_reorder(pair, 0, orders[0]) != TFR_OK) {
        golden_fail("a wrong order was allowed, or none refused");
    }
    tfr_session_close(pair[0]);
    tfr_session_close(pair[1]);
    tfr_session_close(unlike[1]);
    tfr_engine_close(engine);
}

/* Of a value of the last block. */
static void change_a_byte(const char *path) {
    FILE *file = fopen(path, "r+b");
    int byte = EOF;
    if (file != NULL && fseek(file, -100, SEEK_END) == 0) {
        byte = fgetc(file);
    }
    if (byte == EOF || fseek(file, -100, SEEK_END) != 0 || fputc(byte ^ 1, file) == EOF || fclose(file) != 0) {
        golden_fail("%s cannot be changed", path);
    }
}

/* A session saved and loaded goes on to the same bits, in an engine of its own and from any shared beginning.
 */
static void law_saved(const struct golden_case *golden) {
    const int64_t n = golden->n, v = golden->vocab_size;
    char path[] = "saved-XXXXXX";
    const int fd = mkstemp(path);
    struct tfr_engine *engine = golden_engine(golden, NULL);
    struct tfr_session *from = golden_session(engine, n), *to;
    float *whole = golden_run_ids(engine, golden->ids, n), *got = golden_room(n * v);
    if (fd < 0 || tfr_session_save(from, golden->ids, path, true) == TFR_OK) {
        golden_fail("an empty session was saved");
    }
    golden_feed(engine, from, golden->ids, n - 1, 0, NULL);
    if (tfr_session_save(from, golden->ids, path, false) == TFR_OK) {
        golden_fail("a file was overwritten");
    }
    golden_check(tfr_session_save(from, golden->ids, path, true), "save");
    tfr_session_close(from);
    tfr_engine_close(engine);
    engine = golden_engine(golden, NULL);
    to = golden_session(engine, n);
    for (int64_t shared = 0; shared < n; shared++) {
        golden_check(tfr_session_load(to, path, golden->ids, shared), "load");
        if (tfr_session_length(to) != shared) {
            golden_fail("%lld positions instead of %lld", (long long)tfr_session_length(to), (long long)shared);
        }
        golden_feed(engine, to, golden->ids + shared, n - shared, n - shared, got);
        golden_same_bits(got, whole + shared * v, (n - shared) * v, "after loading");
    }
    change_a_byte(path);
    if (tfr_session_load(to, path, golden->ids, n) == TFR_OK || tfr_session_length(to) != 0) {
        golden_fail("a damaged file was loaded");
    }
    tfr_session_close(to);
    tfr_engine_close(engine);
    close(fd);
    unlink(path);
    free(whole);
    free(got);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*check)(const struct golden_case *golden);
    } laws[] = {{"copy", law_copy}, {"reorder", law_reorder}, {"saved", law_saved}};
    struct golden_case golden;
    bool known = false;
    if (argc != 3) {
        golden_fail("usage: test_session CASE copy|reorder|saved");
    }
    golden_read(&golden, argv[1]);
    for (size_t i = 0; i < sizeof laws / sizeof laws[0]; i++) {
        if (strcmp(argv[2], laws[i].name) == 0) {
            laws[i].check(&golden);
            known = true;
        }
    }
    golden_free(&golden);
    return known ? 0 : 2;
}
