/* probe_logits.c - what a step does with one row of logits, on one thread: choosing a token by each kind of settings, and
 * log-probabilities.
 *
 *     probe_logits [vocab_size] [repetitions]
 *
 * Rows are normal numbers: of deviation 3, as trained models have them, and of 0.3, nearly even. CPU time of the thread, medians
 * over rows that differ, since other programs may use the core. Prints one line for each work: microseconds a row.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "generation/sampler.h"
#include "generation/sequence.h"
#include "usage.h"

enum { N_ROWS = 16, N_IDS = 512, N_TOP = 5, MOST = 10000 };

struct place {
    const float *logits;
    int64_t vocab_size;
    struct tfr_sampler sampler;
    struct tfr_score_row row;
    double us[MOST];
};

static void die(const char *what) {
    fprintf(stderr, "probe_logits: %s\n", what);
    exit(1);
}

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void do_choose(struct place *place, const float *logits, int64_t turn) {
    int32_t id;
    if (tfr_sampler_next(&place->sampler, &place->row, logits, (uint64_t)turn, &id) != TFR_OK) {
        die("no token was chosen");
    }
}

static void do_score(struct place *place, const float *logits, int64_t turn) {
    struct tfr_row_score score;
    tfr_score_row(logits, place->vocab_size, (int32_t)(turn % place->vocab_size), &score);
}

static void do_logprobs(struct place *place, const float *logits, int64_t turn) {
    struct tfr_logprob items[N_TOP + 1];
    tfr_logprobs_of(logits, place->vocab_size, (int32_t)(turn % place->vocab_size), N_TOP, items);
}

static void do_normalise(struct place *place, const float *logits, int64_t turn) {
    memcpy(place->sampler.scores, logits, (size_t)place->vocab_size * sizeof *logits);
    tfr_scores_normalise(place->sampler.scores, place->vocab_size);
}

static void measure(struct place *place, const char *name, const struct tfr_pipeline *pipeline, int64_t repetitions,
                    void (*work)(struct place *place, const float *logits, int64_t turn)) {
    tfr_sampler_use(&place->sampler, pipeline, 7);
    for (int64_t i = -N_ROWS; i < repetitions; i++) { /* the first ones warm up */
        const float *logits = place->logits + (i + N_ROWS) % N_ROWS * place->vocab_size;
        const double start = now_us();
        work(place, logits, i + N_ROWS);
        if (i >= 0) {
            place->us[i] = now_us() - start;
        }
    }
    qsort(place->us, (size_t)repetitions, sizeof place->us[0], by_size);
    printf("%-36s %8.1f us (%.0f %%)\n", name, place->us[repetitions / 2],
           100 * (place->us[repetitions * 3 / 4] - place->us[repetitions / 4]) / place->us[repetitions / 2]);
}

static void measure_all(struct place *place, int64_t repetitions) {
    struct tfr_pipeline p = tfr_pipeline_neutral();
    measure(place, "greedy", &p, repetitions, do_choose);
    p.repetition_penalty = 1.2;
    measure(place, "greedy, repetition penalty", &p, repetitions, do_choose);
    p = tfr_pipeline_neutral();
    p.do_sample = true;
    measure(place, "drawn", &p, repetitions, do_choose);
    p.temperature = 0.8;
    measure(place, "temperature", &p, repetitions, do_choose);
    p.top_k = 40;
    measure(place, "temperature, top_k 40", &p, repetitions, do_choose);
    p.top_p = 0.9;
    measure(place, "temperature, top_k 40, top_p 0.9", &p, repetitions, do_choose);
    p.frequency_penalty = 0.1;
    measure(place, "the same, frequency penalty", &p, repetitions, do_choose);
    p = tfr_pipeline_neutral();
    p.do_sample = true;
    p.top_p = 0.9;
    measure(place, "top_p 0.9", &p, repetitions, do_choose);
    p.top_p = 1;
    p.min_p = 0.05;
    measure(place, "min_p 0.05", &p, repetitions, do_choose);
    measure(place, "log-probability", &p, repetitions, do_score);
    measure(place, "log-probability, 5 best, rank", &p, repetitions, do_logprobs);
    measure(place, "log-softmax of a beam", &p, repetitions, do_normalise);
}

static const char usage[] = "usage: probe_logits [vocab_size, 5 at least] [repetitions, 1 to 10000]\n"
                            "microseconds of one thread for a row of logits, by kind of settings\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    bench_words(argc, 0, 2, usage);
    const int64_t vocab_size = bench_number(argc, argv, 1, 50257, N_TOP, 1 << 24, usage);
    const int64_t repetitions = bench_number(argc, argv, 2, 200, 1, MOST, usage);
    const double deviations[] = {3, 0.3};
    float *logits = malloc((size_t)(N_ROWS * vocab_size) * sizeof *logits);
    int32_t ids[N_IDS];
    static struct place place;
    const struct tfr_pipeline neutral = tfr_pipeline_neutral();
    if (logits == NULL || tfr_sampler_open(&place.sampler, &neutral, 7, vocab_size) != TFR_OK) {
        die("no memory");
    }
    for (int i = 0; i < N_IDS; i++) {
        ids[i] = (int32_t)(i * 97 % vocab_size);
    }
    place.logits = logits;
    place.vocab_size = vocab_size;
    place.row = (struct tfr_score_row){.ids = ids, .n = N_IDS, .n_prompt = N_IDS / 2, .max_length = 2 * N_IDS};
    for (int d = 0; d < 2; d++) {
        for (int64_t i = 0; i < N_ROWS * vocab_size; i++) {
            logits[i] = (float)(deviations[d] * tfr_philox_normal(3, (uint64_t)d, (uint64_t)i));
        }
        printf("deviation %g\n", deviations[d]);
        measure_all(&place, repetitions);
    }
    tfr_sampler_close(&place.sampler);
    free(logits);
    return 0;
}
