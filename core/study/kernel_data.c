/* kernel_data.c - see kernel_data.h: problems and their inputs. */
#include "study/kernel_data.h"

#include <string.h>

#include <tfrun/half.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"

enum { LINE_BYTES = 64 };

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15U);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

static uint64_t seed_of(const char *name) {
    uint64_t seed = 14695981039346656037U;
    for (; *name != '\0'; name++) {
        seed = (seed ^ (uint8_t)*name) * 1099511628211U;
    }
    return seed;
}

static void store_as(void *data, enum tfr_dtype dtype, int64_t i, double value) {
    if (dtype == TFR_DTYPE_F64) {
        ((double *)data)[i] = value;
    } else if (dtype == TFR_DTYPE_F32) {
        ((float *)data)[i] = (float)value;
    } else {
        ((uint16_t *)data)[i] = dtype == TFR_DTYPE_BF16 ? tfr_half_to_bf16((float)value) : tfr_half_to_f16((float)value);
    }
}

void tfr_kernel_fill(uint64_t *state, enum tfr_dtype dtype, void *to, int64_t n, double spread, double offset) {
    for (int64_t i = 0; i < n; i++) {
        const double unit = (double)(next_random(state) >> 11) * 0x1p-53;
        store_as(to, dtype, i, offset + spread * (2 * unit - 1));
    }
}

void *tfr_kernel_data_take(struct tfr_kernel_data *data, size_t bytes) {
    uint8_t *memory = data->n_owned < TFR_DATA_OWNED ? tfr_alloc(bytes + 2 * LINE_BYTES, 1) : NULL;
    if (memory == NULL) {
        return NULL;
    }
    data->owned[data->n_owned++] = memory;
    return memory + (LINE_BYTES - (uintptr_t)memory % LINE_BYTES) % LINE_BYTES;
}

void *tfr_kernel_data_random(struct tfr_kernel_data *data, uint64_t *state, enum tfr_dtype dtype, int64_t n, double spread,
                             double offset) {
    void *values = tfr_kernel_data_take(data, (size_t)n * tfr_dtype_size(dtype));
    if (values != NULL) {
        tfr_kernel_fill(state, dtype, values, n, spread, offset);
    }
    return values;
}

static struct tfr_arg_desc describe(int dtype, int64_t rows, int64_t width, uint32_t flags) {
    struct tfr_arg_desc desc = {.dtype = dtype, .rank = width > 0 ? 2 : 1, .flags = flags};
    desc.dim[0] = rows;
    desc.dim[1] = width;
    return desc;
}

/* What is built: the status of the first piece that found no memory. */
struct build {
    const struct tfr_kernel_case *of;
    struct tfr_kernel_data *data;
    uint64_t state;
    enum tfr_status status;
};

static void *fill(struct build *build, enum tfr_dtype dtype, int64_t n, double spread, double offset) {
    void *values = build->status == TFR_OK ? tfr_kernel_data_random(build->data, &build->state, dtype, n, spread, offset) : NULL;
    build->status = values != NULL ? build->status : TFR_RESOURCE;
    return values;
}

/* The last row of the table comes first, others as they come. */
static void put_ids(struct build *build, int arg) {
    const int64_t n = build->of->max, below = build->of->from;
    int32_t *ids = build->status == TFR_OK ? tfr_kernel_data_take(build->data, (size_t)n * sizeof *ids) : NULL;
    build->data->problem.arg[arg] = describe(TFR_DTYPE_I32, n, 0, TFR_ARG_VAR_ROWS);
    build->data->in[arg] = ids;
    build->status = ids != NULL ? build->status : TFR_RESOURCE;
    for (int64_t i = 0; i < n && ids != NULL; i++) {
        ids[i] = (int32_t)(next_random(&build->state) % (uint64_t)below);
    }
    if (ids != NULL) {
        ids[0] = (int32_t)(below - 1);
    }
}

static void put_table(struct build *build, int arg) {
    const struct tfr_kernel_case *of = build->of;
    build->data->problem.arg[arg] = describe(of->stored, of->from, of->n, TFR_ARG_CONST);
    build->data->in[arg] = fill(build, (enum tfr_dtype)of->stored, of->from * of->n, of->spread, of->offset);
}

/* Rows or a vector of n that may be absent. */
static void put_rows(struct build *build, int arg, int64_t n, bool is_there) {
    build->data->problem.arg[arg] =
        describe(TFR_DTYPE_F32, build->of->max, n, TFR_ARG_VAR_ROWS | (is_there ? 0 : (uint32_t)TFR_ARG_ABSENT));
    build->data->in[arg] = is_there ? fill(build, TFR_DTYPE_F32, build->of->max * n, 1, 0) : NULL;
}

static void put_vector(struct build *build, int arg, bool is_there) {
    const int64_t n = build->of->n;
    build->data->problem.arg[arg] = describe(TFR_DTYPE_F32, n, 0, TFR_ARG_CONST | (is_there ? 0 : (uint32_t)TFR_ARG_ABSENT));
    build->data->in[arg] = is_there ? fill(build, TFR_DTYPE_F32, n, 1, 0) : NULL;
}

/* The first argument: rows of the case, or of a gather the rows that it takes from. */
static void put_x(struct build *build) {
    const struct tfr_kernel_case *of = build->of;
    const int64_t width = tfr_kernel_case_width(of), rows = of->op == TFR_OP_GATHER_ROWS ? of->from : of->max;
    build->data->problem.arg[0] = describe(TFR_DTYPE_F32, rows, width, TFR_ARG_VAR_ROWS);
    build->data->in[0] = fill(build, TFR_DTYPE_F32, rows * width, of->spread, of->offset);
}

static void build_linear(struct build *build) {
    const struct tfr_kernel_case *of = build->of;
    const int64_t outer = of->transposed ? of->n : of->k, inner = of->transposed ? of->k : of->n;
    put_x(build);
    build->data->problem.arg[1] = describe(of->dtype, outer, inner, TFR_ARG_CONST);
    build->data->weight = (struct tfr_tensor){.data = fill(build, (enum tfr_dtype)of->stored, of->k * of->n, 1, 0),
                                              .dtype = (enum tfr_dtype)of->stored,
                                              .rank = 2,
                                              .dim = {outer, inner},
                                              .stride = {inner, 1}};
    put_vector(build, 2, of->bias);
    put_rows(build, 3, of->n, of->residual);
}

static void build_embed(struct build *build) {
    for (int i = 0; i < 2; i++) {
        put_ids(build, i);
        put_table(build, i + 2);
    }
}

/* Arguments behind the first. */
static void build_others(struct build *build) {
    const struct tfr_kernel_case *of = build->of;
    switch ((enum tfr_op)of->op) {
    case TFR_OP_LAYER_NORM:
        put_vector(build, 1, true);
        put_vector(build, 2, true);
        break;
    case TFR_OP_ADD:
        build->data->problem.arg[1] = describe(TFR_DTYPE_F32, of->max, of->n, TFR_ARG_VAR_ROWS);
        build->data->in[1] = fill(build, TFR_DTYPE_F32, of->max * of->n, of->spread, of->offset);
        break;
    case TFR_OP_SUM_BLOCKS:
        put_rows(build, 1, of->n, of->start);
        put_vector(build, 2, of->bias);
        put_rows(build, 3, of->n, of->residual);
        break;
    case TFR_OP_LOOKUP_ADD:
        put_ids(build, 1);
        put_table(build, 2);
        break;
    case TFR_OP_GATHER_ROWS:
        put_ids(build, 1);
        break;
    case TFR_OP_KV_APPEND:
    case TFR_OP_ATTENTION:
        build->status = tfr_kernel_caches_open(build->data, of, &build->state);
        break;
    default:
        break;
    }
}

static struct tfr_problem problem_of(const struct tfr_kernel_case *of) {
    struct tfr_problem problem = {
        .struct_size = sizeof problem, .op = of->op, .n_threads = 1, .rows_min = 1, .rows_max = of->max, .deterministic = 1};
    problem.attrs = (struct tfr_attrs){
        .struct_size = sizeof problem.attrs,
        .epsilon = 1e-5f,
        .scale = (float)of->scale,
        .activation = of->act,
        .transposed = of->transposed,
        .x_dtype = of->x_dtype,
        .n_heads = (int32_t)of->heads,
        .head_dim = (int32_t)of->dim,
        .n_blocks = of->op == TFR_OP_SUM_BLOCKS ? (int32_t)of->blocks : 0,
        .causal = of->causal,
    };
    return problem;
}

static void describe_output(struct tfr_kernel_data *data, const struct tfr_kernel_case *of) {
    const bool has_output = of->op != TFR_OP_KV_APPEND;
    data->problem.n_args = data->n_in + has_output;
    if (has_output) {
        data->problem.arg[data->n_in] = describe(TFR_DTYPE_F32, of->max, of->n, TFR_ARG_VAR_ROWS);
        data->out_bytes_max = (data->weights_floats + of->max * of->n) * (int64_t)sizeof(float);
        data->out_bytes = (data->weights_floats + of->rows * of->n) * (int64_t)sizeof(float);
    }
    for (int b = 0; !has_output && b < of->n_seqs; b++) {
        data->out_bytes = data->out_bytes_max += (int64_t)data->kv_bytes[b];
    }
}

enum tfr_status tfr_kernel_data_open(struct tfr_kernel_data *data, const struct tfr_kernel_case *of) {
    struct build build = {.of = of, .data = data, .state = seed_of(of->name), .status = TFR_OK};
    *data = (struct tfr_kernel_data){.n_in = tfr_op_info((enum tfr_op)of->op)->n_in, .rows = of->rows, .problem = problem_of(of)};
    if (of->op == TFR_OP_LINEAR) {
        build_linear(&build);
    } else if (of->op == TFR_OP_EMBED) {
        build_embed(&build);
    } else {
        build_others(&build);
        put_x(&build);
    }
    describe_output(data, of);
    if (build.status != TFR_OK) {
        tfr_kernel_data_close(data);
    }
    return build.status;
}

void tfr_kernel_data_close(struct tfr_kernel_data *data) {
    for (int i = 0; i < data->n_owned; i++) {
        tfr_free(data->owned[i]);
    }
    *data = (struct tfr_kernel_data){0};
}
