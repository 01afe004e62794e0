/* kernel_check.c - every kernel of every plugin against `ref`, case by case.
 *
 *   kernel_check check   PLUGINS FILE [CASE] [KERNEL]   results, sentinels, in place, 1/2/3 threads, same rows, same orders
 *   kernel_check support PLUGINS FILE [CASE] [KERNEL]   which kernel serves which case, and why not
 *
 * FILE is what `tfrun bench --micro` takes (core/study/kernel_case.h). PLUGINS is a folder of shared plugins ("-": only those
 * linked in). KERNEL is a part of kernel names. Exit status 6 when a check failed, 2 on bad usage. TFRUN_CASE_ROWS=N in the
 * environment is for emulators: a case has N rows at most, each of its sequences too (its last ones).
 */
#include "kernel_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cache_copies.h"

void report(struct context *context, const struct kernel_setup *setup, const char *what) {
    printf("FAIL %s: %s, %d threads: %s\n", context->kase->name, setup->kernel->name, setup->problem.n_threads, what);
    context->n_failures++;
}

static _Noreturn void die(void) {
    fprintf(stderr, "%s\n", tfr_failure_text());
    exit(2);
}

bool is_candidate(const struct tfr_kernel *kernel, const struct tfr_kernel_data *data, const char *filter) {
    const int op = data->problem.op;
    const int at = op == TFR_OP_LINEAR ? 1 : op == TFR_OP_EMBED ? 2 : 0;
    return kernel->op == op && (kernel->dtypes >> data->problem.arg[at].dtype & 1U) != 0 &&
           (filter == NULL || strstr(kernel->name, filter) != NULL);
}

bool is_ref(const struct tfr_kernel *kernel) {
    return strstr(kernel->name, ".ref.") != NULL;
}

/* The batch with its caches (kv_append) or weights (attention) in `out`. */
static struct tfr_batch place_results(const struct tfr_kernel_data *data, const struct tfr_batch *batch, float **out,
                                      struct tfr_batch_seq *seq, struct tfr_kv *kv) {
    uint8_t *next = (uint8_t *)*out;
    for (int b = 0; b < batch->n_seqs; b++) {
        seq[b] = batch->seq[b];
        seq[b].self.weights = seq[b].cross.weights = out;
        if (data->problem.op == TFR_OP_KV_APPEND) {
            memcpy(next, data->kv_memory[b], data->kv_bytes[b]);
            kv[b] = tfr_kernel_cache_at(data, b, next);
            seq[b].kv = &kv[b];
            next += data->kv_bytes[b];
        }
    }
    return tfr_kernel_batch(seq, batch->n_seqs);
}

float *run_fresh(struct kernel_setup *setup, void *const *in, int64_t rows, const struct tfr_batch *batch) {
    const struct tfr_kernel_data *data = setup->data;
    const bool is_append = data->problem.op == TFR_OP_KV_APPEND, has_seqs = batch != NULL && batch->n_seqs > 0;
    float *out = guarded_alloc((size_t)data->out_bytes_max);
    struct tfr_kv kv[TFR_CASE_SEQS];
    struct tfr_batch_seq seq[TFR_CASE_SEQS];
    struct tfr_batch placed = {0};
    if (has_seqs) {
        placed = place_results(data, batch, &out, seq, kv);
    }
    setup_run(setup, in, rows, has_seqs ? &placed : batch, is_append ? NULL : out + data->weights_floats);
    return out;
}

static void compare_with_ref(struct context *context, const struct kernel_setup *setup, const float *got, const float *want) {
    const int64_t n = context->data->out_bytes / (int64_t)sizeof(float);
    if (context->kase->op == TFR_OP_KV_APPEND) {
        if (memcmp(got, want, (size_t)context->data->out_bytes) != 0) {
            report(context, setup, "the caches differ from those of ref");
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const double error = fabs((double)got[i] - want[i]), most = case_tolerance(context->kase, want[i]);
        const bool same = (isnan(got[i]) && isnan(want[i])) || got[i] == want[i];
        if (!same && !(error <= most)) {
            char text[160];
            snprintf(text, sizeof text, "element %lld of row %lld is %.9g, ref has %.9g, allowed difference %.2g",
                     (long long)(i % context->kase->n), (long long)(i / context->kase->n), got[i], want[i], most);
            report(context, setup, text);
            return;
        }
    }
}

static void check_guards(struct context *context, const struct kernel_setup *setup, const float *out) {
    if (!guard_holds(out, (size_t)context->data->out_bytes_max)) {
        report(context, setup, "wrote behind its output");
    }
    const char *buffer = setup_overrun(setup);
    if (buffer != NULL) {
        char text[64];
        snprintf(text, sizeof text, "wrote behind its %s", buffer);
        report(context, setup, text);
    }
}

/* The first output in the buffer of the residual (linear), of a (add), of x (others): same bits as apart. */
static void check_in_place(struct context *context, struct kernel_setup *setup, const float *want) {
    const struct tfr_kernel_data *data = context->data;
    const int at = data->problem.op == TFR_OP_LINEAR ? 3 : 0;
    if (!(setup->kernel->flags & TFR_KERNEL_IN_PLACE) || data->in[at] == NULL) {
        return;
    }
    void *in[TFR_MAX_ARGS];
    memcpy(in, data->in, sizeof in);
    float *both = guarded_alloc((size_t)data->out_bytes_max);
    memcpy(both, in[at], (size_t)data->out_bytes_max);
    in[at] = both;
    setup_run(setup, in, data->rows, &data->batch, both);
    if (memcmp(both, want, (size_t)data->out_bytes) != 0) {
        report(context, setup, "in place gives other bits");
    }
    free(both);
}

static void check_kernel(struct context *context, const struct tfr_kernel *kernel, const float *want) {
    float *first = NULL;
    char reason[256];
    for (int nth = 1; nth <= 3; nth++) {
        struct kernel_setup setup;
        if (!setup_open(kernel, context->data, nth, (struct tfr_order){TFR_ORDER_ANY, 0}, &setup, reason, sizeof reason)) {
            printf("  %s: not served: %s\n", kernel->name, reason);
            break;
        }
        float *out = run_fresh(&setup, context->data->in, context->data->rows, &context->data->batch);
        compare_with_ref(context, &setup, out, want);
        check_in_place(context, &setup, out);
        check_room(context, &setup, out);
        if (first != NULL && (kernel->flags & TFR_KERNEL_SAME_BITS_ANY_TEAM) &&
            memcmp(first, out, (size_t)context->data->out_bytes) != 0) {
            report(context, &setup, "other bits than with one thread");
        }
        check_refuses_other_caches(context, &setup);
        check_pack_coarse(context, &setup);
        if (nth < 3) {
            check_same_rows(context, &setup, out);
            check_dequantised(context, &setup, out);
        }
        check_guards(context, &setup, out);
        free(first != NULL ? out : NULL);
        first = first != NULL ? first : out;
        setup_close(&setup);
    }
    free(first);
}

static float *run_ref(struct context *context) {
    char reason[256] = "no ref kernel";
    for (int i = 0; i < context->list.n; i++) {
        struct kernel_setup setup;
        if (is_ref(context->list.kernel[i]) && is_candidate(context->list.kernel[i], context->data, NULL) &&
            setup_open(context->list.kernel[i], context->data, 1, (struct tfr_order){TFR_ORDER_ANY, 0}, &setup, reason,
                       sizeof reason)) {
            float *out = run_fresh(&setup, context->data->in, context->data->rows, &context->data->batch);
            setup_close(&setup);
            return out;
        }
    }
    fprintf(stderr, "%s: no result to compare with: %s\n", context->kase->name, reason);
    exit(2);
}

static void mode_check(struct context *context, const char *filter) {
    float *want = run_ref(context);
    int n_checked = 0;
    for (int i = 0; i < context->list.n; i++) {
        const struct tfr_kernel *kernel = context->list.kernel[i];
        if (is_candidate(kernel, context->data, filter)) {
            check_kernel(context, kernel, want);
            n_checked++;
        }
    }
    check_orders(context, filter);
    printf("%s: %d kernels\n", context->kase->name, n_checked);
    free(want);
}

static void run_case(struct context *context, const char *mode, const struct tfr_kernel_case *kase, const char *filter) {
    struct tfr_kernel_data data;
    if (tfr_kernel_data_open(&data, kase) != TFR_OK) {
        die();
    }
    context->kase = kase;
    context->data = &data;
    if (strcmp(mode, "check") == 0) {
        mode_check(context, filter);
    } else {
        mode_support(context, filter);
    }
    tfr_kernel_data_close(&data);
}

/* For emulators: no case has more rows than TFRUN_CASE_ROWS, and of each sequence the last ones are computed. */
static void cut_rows(struct tfr_kernel_case *kase) {
    const char *text = getenv("TFRUN_CASE_ROWS");
    const int64_t most = text != NULL ? atoll(text) : 0, spare = kase->max - kase->rows;
    if (most < 1 || kase->rows <= most) {
        return;
    }
    kase->rows = kase->n_seqs > 0 ? 0 : most;
    for (int b = 0; b < kase->n_seqs; b++) {
        const int64_t cut = kase->n_rows[b] > most ? kase->n_rows[b] - most : 0;
        kase->past[b] += cut;
        kase->n_rows[b] -= cut;
        kase->rows += kase->n_rows[b];
    }
    kase->max = kase->rows + spare;
}

static bool is_of_some_kernel(const struct kernel_list *list, const char *part) {
    int i = 0;
    while (i < list->n && strstr(list->kernel[i]->name, part) == NULL) {
        i++;
    }
    return i < list->n;
}

/* How many cases were run. */
static int run_cases(struct context *context, const char *mode, const char *path, const char *only, const char *filter) {
    struct tfr_kernel_cases cases;
    int n_cases = 0;
    if (tfr_kernel_cases_read(&cases, path) != TFR_OK) {
        die();
    }
    for (size_t i = 0; i < cases.n; i++) {
        if (only == NULL || strcmp(only, cases.items[i].name) == 0) {
            cut_rows(&cases.items[i]);
            run_case(context, mode, &cases.items[i], filter);
            n_cases++;
        }
    }
    tfr_kernel_cases_free(&cases);
    return n_cases;
}

int main(int argc, char **argv) {
    const char *mode = argc > 3 ? argv[1] : "";
    if (strcmp(mode, "check") != 0 && strcmp(mode, "support") != 0) {
        fprintf(stderr, "usage: kernel_check check|support PLUGINS FILE [CASE] [KERNEL]\n");
        return 2;
    }
    static struct context context;
    kernels_load(strcmp(argv[2], "-") == 0 ? NULL : argv[2], &context.list);
    const char *only = argc > 4 && argv[4][0] != 0 ? argv[4] : NULL, *filter = argc > 5 ? argv[5] : NULL;
    if (filter != NULL && !is_of_some_kernel(&context.list, filter)) {
        fprintf(stderr, "%s: 0 kernels have that in their name\n", filter);
        return 2;
    }
    if (run_cases(&context, mode, argv[3], only, filter) == 0) {
        fprintf(stderr, "no case %s in %s\n", only != NULL ? only : "", argv[3]);
        return 2;
    }
    return context.n_failures > 0 ? 6 : 0;
}
