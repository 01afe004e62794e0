/* kernel_room.c - a law of plugin.h: a buffer has the room that is promised, and not one element more.
 *
 * Inputs and output end where a page begins that nobody may touch, so a read or a write behind them is a crash in every build.
 * That also puts them at addresses aligned to their elements only.
 */
#include "kernel_check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/dtype.h"

struct room {
    void *pages, *data;
    size_t size;
};

/* `bytes` up to the page that is out of bounds, but for a rest that `align` (a power of two) asks for. */
static struct room room_open(size_t bytes, size_t align) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (bytes + align - 1) / align * align;
    const size_t whole = (used + page - 1) / page * page;
    struct room room = {.size = whole + page};
    room.pages = mmap(NULL, room.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room.pages == MAP_FAILED || mprotect((char *)room.pages + whole, page, PROT_NONE) != 0) {
        fprintf(stderr, "no memory for a guarded buffer of %zu bytes\n", bytes);
        exit(2);
    }
    room.data = (char *)room.pages + whole - used;
    memset(room.data, 0xff, used);
    return room;
}

static void room_close(struct room *room) {
    if (room->pages != NULL) {
        munmap(room->pages, room->size);
    }
}

static size_t arg_bytes(const struct tfr_arg_desc *arg) {
    size_t bytes = arg->dtype == TFR_DTYPE_I32 ? sizeof(int32_t) : float_bytes(arg->dtype);
    for (int d = 0; d < arg->rank; d++) {
        bytes *= (size_t)arg->dim[d];
    }
    return bytes;
}

/* Vectors are promised whole lines; activations, indices and tables only their elements. */
static struct room copy_input(const struct tfr_arg_desc *arg, const void *data) {
    const size_t bytes = arg_bytes(arg);
    struct room room = room_open(bytes, arg->rank == 1 && (arg->flags & TFR_ARG_CONST) ? 64 : 1);
    memcpy(room.data, data, bytes);
    return room;
}

void check_room(struct context *context, struct kernel_setup *setup, const float *want) {
    const struct tfr_kernel_data *data = context->data;
    if (data->problem.op == TFR_OP_KV_APPEND || data->weights_floats > 0) {
        return; /* caches and weights are the caller's: other laws look at them */
    }
    struct room in[TFR_MAX_ARGS] = {{0}};
    void *arg[TFR_MAX_ARGS] = {0};
    for (int i = 0; i < data->n_in; i++) {
        if (data->in[i] != NULL) {
            in[i] = copy_input(&data->problem.arg[i], data->in[i]);
            arg[i] = in[i].data;
        }
    }
    struct room out = room_open((size_t)data->out_bytes_max, 1);
    setup_run(setup, arg, data->rows, &data->batch, out.data);
    if (memcmp(out.data, want, (size_t)data->out_bytes) != 0) {
        report(context, setup, "other bits in buffers that are aligned to their elements only");
    }
    for (int i = 0; i < data->n_in; i++) {
        room_close(&in[i]);
    }
    room_close(&out);
}
