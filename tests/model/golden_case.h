/* golden_case.h - a golden case as the tests see it: its ids, its reference logits, and short ways to run an
 * engine on it.
 *
 * Every helper ends the program with a message when something fails: these programs test one thing each.
 */
#ifndef TFR_TESTS_GOLDEN_CASE_H
#define TFR_TESTS_GOLDEN_CASE_H

#include <tfrun/tfrun.h>

enum { MAX_GOLDEN_TOKENS = 128, MAX_SETTINGS = 8 };

struct golden_case {
    const char *folder;
    int64_t n, vocab_size;
    int32_t ids[MAX_GOLDEN_TOKENS];
    float *logits; /* [n, vocab_size], of float64 eager attention; NULL if the folder has no
                      golden.safetensors */
};

/* "runtime.threads=2", ...; NULL-terminated. */
struct golden_settings {
    const char *text[MAX_SETTINGS];
};

/* A folder without golden.safetensors, such as configs/demo, gives made-up ids: good for the laws. */
void golden_read(struct golden_case *golden, const char *folder);
void golden_free(struct golden_case *golden);

/* Whether this CPU has the instructions that "runtime.isa=..." names; such a setting is refused where it has not. */
bool golden_can_run(const char *setting);
struct tfr_engine *golden_engine(const struct golden_case *golden, const struct golden_settings *settings);
struct tfr_session *golden_session(struct tfr_engine *engine, int64_t capacity);
/* Feeds n ids to a session and copies the logits of the last `keep` to `to`. */
void golden_feed(struct tfr_engine *engine, struct tfr_session *session, const int32_t *ids, int64_t n, int64_t keep, float *to);
/* All logits of n ids fed at once to an engine of its own, or to a session of its own in `engine`; free()
 * them. */
float *golden_run(const struct golden_case *golden, const struct golden_settings *settings);
float *golden_run_ids(struct tfr_engine *engine, const int32_t *ids, int64_t n);

float *golden_room(int64_t n_floats);
double golden_distance(const float *a, const float *b, int64_t n); /* largest difference; infinity if one is NaN */
void golden_same_bits(const float *a, const float *b, int64_t n, const char *what);
void golden_within(const float *a, const float *b, int64_t n, double tolerance, const char *what);
void golden_check(enum tfr_status status, const char *what);
void golden_fail(const char *format, ...) TFR_PRINTF(1, 2);

#endif
