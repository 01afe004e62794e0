/* kernel_case.c - case lines to problems. Data are pseudo-random from the case's name: the same on every
 * machine. */
#include "kernel_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/dtype.h"
#include "kernel_cache.h"

static const char *const op_names[] = {
#define TFR_OP(NAME, name, n_in, n_out, args, flops, read, written, text) name,
#include <tfrun/ops.def>
};
static const int op_inputs[] = {
#define TFR_OP(NAME, name, n_in, n_out, args, flops, read, written, text) n_in,
#include <tfrun/ops.def>
};
static const char *const act_names[TFR_ACT_COUNT] = {"none",   "gelu_tanh", "gelu_erf",   "gelu_clip10", "quick_gelu",  "relu",
                                                     "relu2",  "relu6",     "leaky_relu", "silu",        "tanh",        "sigmoid",
                                                     "linear", "mish",      "laplace",    "hardswish",   "sqrtsoftplus"};
static const char *const dtype_names[] = {"f32", "bf16", "f16", "f64"};
static const char *const packed_names[] = {"f32", "bf16", "f16", "int8", "int4", "int4_64", "int4_zero", "int4_zero64", "int8w"};
static const int packed_dtypes[] = {TFR_DTYPE_F32,        TFR_DTYPE_BF16,      TFR_DTYPE_F16,
                                    TFR_DTYPE_I8_CHANNEL, TFR_DTYPE_I4_GROUP,  TFR_DTYPE_I4_GROUP64,
                                    TFR_DTYPE_I4_ZERO,    TFR_DTYPE_I4_ZERO64, TFR_DTYPE_I8_CHANNEL};
static const char *const cache_names[] = {"f32", "i8", "bf16", "f16"};
static const int cache_dtypes[] = {TFR_DTYPE_F32, TFR_DTYPE_I8, TFR_DTYPE_BF16, TFR_DTYPE_F16};

static _Noreturn void bad_line(const char *what, const char *text) {
    fprintf(stderr, "case file: %s: \"%s\"\n", what, text);
    exit(2);
}

static int find_name(const char *what, const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    bad_line(what, name);
}

const char *op_name(int op) {
    return op_names[op];
}

void *must_alloc(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (memory == NULL) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(2);
    }
    memset(memory, 0, (bytes + 127) / 64 * 64);
    return memory;
}

static void parse_seqs(char *text, struct kernel_case *out) {
    char *rest = NULL;
    for (char *part = strtok_r(text, ",", &rest); part != NULL; part = strtok_r(NULL, ",", &rest)) {
        char *plus = strchr(part, '+');
        if (plus == NULL || out->n_seqs == CASE_MAX_SEQS) {
            bad_line("seqs needs PAST+N, at most 16", part);
        }
        out->past[out->n_seqs] = atoll(part);
        out->n_rows[out->n_seqs] = atoll(plus + 1);
        out->rows += out->n_rows[out->n_seqs++];
    }
}

static void parse_pair(const char *key, char *value, struct kernel_case *out) {
    const struct {
        const char *key;
        int64_t *at;
    } numbers[] = {{"rows", &out->rows}, {"max", &out->max},     {"k", &out->k},
                   {"n", &out->n},       {"heads", &out->heads}, {"dim", &out->dim},
                   {"from", &out->from}, {"cross", &out->cross}, {"blocks", &out->blocks}};
    const struct {
        const char *key;
        int32_t *at;
    } flags[] = {{"bias", &out->bias},           {"residual", &out->residual},     {"transposed", &out->transposed},
                 {"causal", &out->causal},       {"query_only", &out->query_only}, {"mask", &out->mask},
                 {"head_mask", &out->head_mask}, {"weights", &out->weights},       {"start", &out->start}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(key, numbers[i].key) == 0) {
            *numbers[i].at = atoll(value);
            return;
        }
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(key, flags[i].key) == 0) {
            *flags[i].at = atoi(value);
            return;
        }
    }
    if (strcmp(key, "act") == 0) {
        out->act = find_name("unknown activation", value, act_names, TFR_ACT_COUNT);
    } else if (strcmp(key, "dtype") == 0) {
        const int at = find_name("unknown dtype", value, packed_names, (int)(sizeof packed_names / sizeof *packed_names));
        out->dtype = packed_dtypes[at];
        const bool rounds_x = strncmp(packed_names[at], "int", 3) == 0 && strcmp(packed_names[at], "int8w") != 0;
        out->x_dtype = rounds_x ? TFR_DTYPE_I8 : TFR_DTYPE_F32;
    } else if (strcmp(key, "stored") == 0) {
        out->stored = find_name("unknown dtype", value, dtype_names, 4);
    } else if (strcmp(key, "kv") == 0) {
        out->kv = cache_dtypes[find_name("unknown dtype", value, cache_names, 4)];
    } else if (strcmp(key, "products") == 0) { /* of attention */
        out->x_dtype = find_name("unknown dtype", value, dtype_names, 2);
    } else if (strcmp(key, "scale") == 0) {
        out->scale = atof(value);
    } else if (strcmp(key, "spread") == 0) {
        out->spread = atof(value);
    } else if (strcmp(key, "offset") == 0) {
        out->offset = atof(value);
    } else if (strcmp(key, "seqs") == 0) {
        parse_seqs(value, out);
    } else {
        bad_line("unknown key", key);
    }
}

/* TFRUN_CASE_ROWS, for emulators: no case has more rows, and of each sequence the last ones are computed. */
static void cut_rows(struct kernel_case *out) {
    const char *text = getenv("TFRUN_CASE_ROWS");
    const int64_t most = text != NULL ? atoll(text) : 0;
    if (most < 1 || out->rows <= most) {
        return;
    }
    out->rows = out->n_seqs > 0 ? 0 : most;
    for (int b = 0; b < out->n_seqs; b++) {
        const int64_t cut = out->n_rows[b] > most ? out->n_rows[b] - most : 0;
        out->past[b] += cut;
        out->n_rows[b] -= cut;
        out->rows += out->n_rows[b];
    }
}

bool case_parse(const char *line, struct kernel_case *out) {
    char text[512];
    snprintf(text, sizeof text, "%s", line);
    text[strcspn(text, "#\r\n")] = 0;
    char *rest = NULL;
    const char *name = strtok_r(text, " \t", &rest);
    if (name == NULL) {
        return false;
    }
    const char *op = strtok_r(NULL, " \t", &rest);
    if (op == NULL) {
        bad_line("no op", line);
    }
    *out = (struct kernel_case){.bias = 1, .causal = 1, .spread = 1, .from = 64, .blocks = 1};
    snprintf(out->name, sizeof out->name, "%s", name);
    out->op = find_name("unknown op", op, op_names, TFR_OP_COUNT);
    for (char *pair = strtok_r(NULL, " \t", &rest); pair != NULL; pair = strtok_r(NULL, " \t", &rest)) {
        char *equals = strchr(pair, '=');
        if (equals == NULL) {
            bad_line("no '=' in", pair);
        }
        *equals = 0;
        parse_pair(pair, equals + 1, out);
    }
    cut_rows(out);
    if (out->heads > 0) {
        out->n = out->heads * out->dim;
    }
    if (out->rows < 1 || out->n < 1 || (out->op == TFR_OP_LINEAR && out->k < 1)) {
        bad_line("needs rows, n (and k for linear)", line);
    }
    out->max = out->max > out->rows ? out->max : out->rows + 3;
    return true;
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

static uint64_t seed_of(const char *name) {
    uint64_t seed = 14695981039346656037U;
    for (; *name != 0; name++) {
        seed = (seed ^ (uint8_t)*name) * 1099511628211U;
    }
    return seed;
}

static void store_as(void *data, int dtype, int64_t i, double value) {
    if (dtype == TFR_DTYPE_F32) {
        ((float *)data)[i] = (float)value;
    } else if (dtype == TFR_DTYPE_F64) {
        ((double *)data)[i] = value;
    } else if (dtype == TFR_DTYPE_BF16) {
        ((uint16_t *)data)[i] = bf16_from_f32((float)value);
    } else { /* f16 of a multiple of 1/64 below 16: exact, so that no rounding is needed here */
        const int64_t n = llabs(llround(value * 64));
        int shift = 0;
        while (n >> (shift + 1) > 0) {
            shift++;
        }
        const uint16_t sign = value < 0 ? 0x8000 : 0;
        ((uint16_t *)data)[i] = n == 0 ? sign : (uint16_t)(sign | (shift + 9) << 10 | ((n << (10 - shift)) & 0x3ff));
    }
}

void *random_floats(uint64_t *state, int dtype, int64_t n, double spread, double offset) {
    void *data = must_alloc((size_t)n * float_bytes(dtype));
    for (int64_t i = 0; i < n; i++) {
        const double unit = (double)(next_random(state) >> 11) * 0x1p-53;
        store_as(data, dtype, i, offset + spread * (2 * unit - 1));
    }
    return data;
}

static int32_t *random_ids(uint64_t *state, int64_t n, int64_t below) {
    int32_t *ids = must_alloc((size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++) {
        ids[i] = (int32_t)(next_random(state) % (uint64_t)below);
    }
    ids[0] = (int32_t)(below - 1);
    return ids;
}

static struct tfr_arg_desc describe(int dtype, int64_t rows, int64_t width, uint32_t flags) {
    struct tfr_arg_desc desc = {.dtype = dtype, .rank = width > 0 ? 2 : 1, .flags = flags};
    desc.dim[0] = rows;
    desc.dim[1] = width;
    return desc;
}

static void build_linear(const struct kernel_case *kase, struct kernel_data *data, uint64_t *state) {
    struct tfr_arg_desc *arg = data->problem.arg;
    const int64_t outer = kase->transposed ? kase->n : kase->k, inner = kase->transposed ? kase->k : kase->n;
    arg[0] = describe(TFR_DTYPE_F32, kase->max, kase->k, TFR_ARG_VAR_ROWS);
    arg[1] = describe(kase->dtype, outer, inner, TFR_ARG_CONST);
    arg[2] = describe(TFR_DTYPE_F32, kase->n, 0, TFR_ARG_CONST | (kase->bias ? 0 : TFR_ARG_ABSENT));
    arg[3] = describe(TFR_DTYPE_F32, kase->max, kase->n, TFR_ARG_VAR_ROWS | (kase->residual ? 0 : TFR_ARG_ABSENT));
    data->in[0] = random_floats(state, TFR_DTYPE_F32, kase->max * kase->k, kase->spread, kase->offset);
    data->weight = (struct tfr_tensor){.data = random_floats(state, kase->stored, kase->k * kase->n, 1, 0),
                                       .dtype = (enum tfr_dtype)kase->stored,
                                       .rank = 2,
                                       .dim = {outer, inner},
                                       .stride = {inner, 1}};
    data->in[2] = kase->bias ? random_floats(state, TFR_DTYPE_F32, kase->n, 1, 0) : NULL;
    data->in[3] = kase->residual ? random_floats(state, TFR_DTYPE_F32, kase->max * kase->n, 1, 0) : NULL;
}

/* qkv, or with cross-attention q alone, and k and v alone. */
static int64_t input_width(const struct kernel_case *kase) {
    if (kase->op == TFR_OP_SUM_BLOCKS) {
        return kase->blocks * kase->n;
    }
    if (kase->op == TFR_OP_BEST_ROWS) {
        return kase->k;
    }
    const int64_t parts = kase->n_seqs == 0 ? 1 : kase->cross == 0 ? 3 : kase->op == TFR_OP_KV_APPEND ? 2 : 1;
    return parts * kase->n;
}

/* Rows that may be absent. */
static void build_rows(struct kernel_data *data, uint64_t *state, int arg, int64_t max, int64_t n, bool is_there) {
    data->problem.arg[arg] = describe(TFR_DTYPE_F32, max, n, TFR_ARG_VAR_ROWS | (is_there ? 0 : TFR_ARG_ABSENT));
    data->in[arg] = is_there ? random_floats(state, TFR_DTYPE_F32, max * n, 1, 0) : NULL;
}

static void build_inputs(const struct kernel_case *kase, struct kernel_data *data, uint64_t *state) {
    struct tfr_arg_desc *arg = data->problem.arg;
    const int64_t max = kase->max, n = kase->n;
    switch (kase->op) {
    case TFR_OP_LINEAR:
        build_linear(kase, data, state);
        break;
    case TFR_OP_EMBED:
        for (int i = 0; i < 2; i++) {
            arg[i] = describe(TFR_DTYPE_I32, max, 0, TFR_ARG_VAR_ROWS);
            arg[i + 2] = describe(kase->stored, kase->from, n, TFR_ARG_CONST);
            data->in[i] = random_ids(state, max, kase->from);
            data->in[i + 2] = random_floats(state, kase->stored, kase->from * n, kase->spread, kase->offset);
        }
        break;
    case TFR_OP_LAYER_NORM:
        arg[1] = arg[2] = describe(TFR_DTYPE_F32, n, 0, TFR_ARG_CONST);
        data->in[1] = random_floats(state, TFR_DTYPE_F32, n, 1, 0);
        data->in[2] = random_floats(state, TFR_DTYPE_F32, n, 1, 0);
        break;
    case TFR_OP_ADD:
        arg[1] = describe(TFR_DTYPE_F32, max, n, TFR_ARG_VAR_ROWS);
        data->in[1] = random_floats(state, TFR_DTYPE_F32, max * n, kase->spread, kase->offset);
        break;
    case TFR_OP_SUM_BLOCKS:
        build_rows(data, state, 1, max, n, kase->start);
        arg[2] = describe(TFR_DTYPE_F32, n, 0, TFR_ARG_CONST | (kase->bias ? 0 : TFR_ARG_ABSENT));
        data->in[2] = kase->bias ? random_floats(state, TFR_DTYPE_F32, n, 1, 0) : NULL;
        build_rows(data, state, 3, max, n, kase->residual);
        break;
    case TFR_OP_LOOKUP_ADD:
        arg[1] = describe(TFR_DTYPE_I32, max, 0, TFR_ARG_VAR_ROWS);
        arg[2] = describe(kase->stored, kase->from, n, TFR_ARG_CONST);
        data->in[1] = random_ids(state, max, kase->from);
        data->in[2] = random_floats(state, kase->stored, kase->from * n, kase->spread, kase->offset);
        break;
    case TFR_OP_GATHER_ROWS:
        arg[1] = describe(TFR_DTYPE_I32, max, 0, TFR_ARG_VAR_ROWS);
        data->in[1] = random_ids(state, max, kase->from);
        break;
    case TFR_OP_KV_APPEND:
    case TFR_OP_ATTENTION:
        cache_build(kase, data, state);
        break;
    default:
        break;
    }
    if (data->in[0] == NULL) {
        const int64_t width = input_width(kase), rows = kase->op == TFR_OP_GATHER_ROWS ? kase->from : max;
        arg[0] = describe(TFR_DTYPE_F32, rows, width, TFR_ARG_VAR_ROWS);
        data->in[0] = random_floats(state, TFR_DTYPE_F32, rows * width, kase->spread, kase->offset);
    }
}

void data_build(const struct kernel_case *kase, struct kernel_data *data) {
    uint64_t state = seed_of(kase->name);
    *data = (struct kernel_data){.n_in = op_inputs[kase->op], .rows = kase->rows};
    struct tfr_problem *problem = &data->problem;
    problem->struct_size = sizeof *problem;
    problem->op = kase->op;
    problem->n_threads = 1;
    problem->rows_min = 1;
    problem->rows_max = kase->max;
    problem->deterministic = 1;
    problem->attrs = (struct tfr_attrs){.struct_size = sizeof problem->attrs,
                                        .epsilon = 1e-5f,
                                        .scale = (float)(kase->scale != 0 ? kase->scale
                                                         : kase->dim > 0  ? 1 / sqrt((double)kase->dim)
                                                                          : 1),
                                        .activation = kase->act,
                                        .transposed = kase->transposed,
                                        .x_dtype = kase->x_dtype,
                                        .n_heads = (int32_t)kase->heads,
                                        .head_dim = (int32_t)kase->dim,
                                        .n_blocks = kase->op == TFR_OP_SUM_BLOCKS ? (int32_t)kase->blocks : 0,
                                        .causal = kase->causal};
    build_inputs(kase, data, &state);
    const bool has_output = kase->op != TFR_OP_KV_APPEND;
    problem->n_args = data->n_in + has_output;
    if (has_output) {
        problem->arg[data->n_in] = describe(TFR_DTYPE_F32, kase->max, kase->n, TFR_ARG_VAR_ROWS);
        data->out_bytes_max = (data->weights_floats + kase->max * kase->n) * (int64_t)sizeof(float);
        data->out_bytes = (data->weights_floats + kase->rows * kase->n) * (int64_t)sizeof(float);
    }
    for (int b = 0; !has_output && b < kase->n_seqs; b++) {
        data->out_bytes = data->out_bytes_max += (int64_t)data->kv_bytes[b];
    }
}

void data_free(struct kernel_data *data) {
    for (int i = 0; i < TFR_MAX_ARGS; i++) {
        free(data->in[i]);
    }
    cache_free(data);
    free(data->weight.data);
}

/* Where each bound comes from.
 *
 * linear f32: n roundings of 2^-24 grow like sqrt(K) when their signs are random; 8 more for luck, times sum |x w|.
 *
 * linear bf16: x rounded to bf16 (relative error uniform in +-2^-9): 6 standard deviations of the sum.
 *
 * attention: the error of a score moves its weight by that factor; the output is a mean of values of at most `spread`. With
 * products in bf16 a probability is rounded to within 2^-9 on both sides, perhaps by other maxima, or to the other neighbour:
 * 2^-8 of a mean of |values|.
 *
 * layer_norm: mean and variance each within a few 2^-24 of |offset| + spread, relative to the deviation spread/sqrt(3).
 *
 * activation: act.h.
 *
 * The others: no arithmetic, or one rounding that both do. */
double case_tolerance(const struct kernel_case *kase, double want) {
    const double ulp = 0x1p-24, k = (double)kase->k, large = kase->spread + fabs(kase->offset);
    const double size = fmax(fabs(want), 1);
    switch (kase->op) {
    case TFR_OP_LINEAR: {
        const double gain = kase->act == TFR_ACT_RELU2 ? 2 * sqrt(fabs(want) + 1) + 1 : 1.2; /* slope of the activation */
        const double f32 = ulp * (8 + sqrt(k)) * k * large * 0.5;
        const bool is_bf16 = kase->dtype == TFR_DTYPE_BF16 || kase->dtype == TFR_DTYPE_I8_CHANNEL; /* x is, where the CPU has it */
        const double bf16 = is_bf16 ? 6 * 0x1p-9 / sqrt(3) * sqrt(k) * large / sqrt(3) : 0;
        return gain * (f32 + bf16) + 1e-6 * size;
    }
    case TFR_OP_ATTENTION: {
        const double score = sqrt((double)kase->dim) * kase->spread * kase->spread;
        const double rounded = kase->x_dtype == TFR_DTYPE_BF16 ? 0x1p-8 : 0;
        return kase->spread * (2e-6 + rounded + 4 * ulp * score * sqrt((double)kase->dim));
    }
    case TFR_OP_LAYER_NORM:
        return 16 * ulp * size * (1 + large / (kase->spread / sqrt(3) + 1e-5));
    case TFR_OP_ACTIVATION:
        return 1e-6 * size;
    default:
        return 0;
    }
}
