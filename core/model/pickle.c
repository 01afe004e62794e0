/* pickle.c - the stack machine of a pickle: the opcodes that only move and make values. See pickle.h. */
#include "model/pickle.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "model/pickle_machine.h"

/* The state dict of the largest GPT-2 is a pickle of about 100 kB with some 10,000 values. */
enum { MAX_VALUES = 1 << 20, MAX_STACK = 1 << 20, MAX_MEMO = 1 << 20, MAX_MARKS = 4096 };

typedef struct tfr_pickle_machine machine_t;

enum tfr_status tfr_pickle_damaged(const machine_t *machine, const char *what) {
    return tfr_raise(TFR_MODEL, "%s: %s at byte %zu of the pickle (%s); the file is damaged, fetch it again", machine->file, what,
                     machine->op_at, machine->op_name);
}

static enum tfr_status pile_reserve(machine_t *m, struct tfr_pickle_pile *pile, uint32_t n, uint32_t limit) {
    if (n > limit) {
        return tfr_raise(TFR_UNSUPPORTED, "%s: the pickle is larger than any state dict of a GPT-2 (over %u values)", m->file,
                         limit);
    }
    if (n <= pile->capacity) {
        return TFR_OK;
    }
    uint32_t capacity = pile->capacity == 0 ? 64 : pile->capacity;
    while (capacity < n) {
        capacity *= 2;
    }
    uint32_t *at = tfr_realloc(pile->at, capacity, sizeof *at);
    if (at == NULL) {
        return TFR_RESOURCE;
    }
    memset(at + pile->capacity, 0, (size_t)(capacity - pile->capacity) * sizeof *at);
    pile->at = at;
    pile->capacity = capacity;
    return TFR_OK;
}

static enum tfr_status pile_push(machine_t *m, struct tfr_pickle_pile *pile, uint32_t value, uint32_t limit) {
    TFR_TRY(pile_reserve(m, pile, pile->n + 1, limit));
    pile->at[pile->n++] = value;
    return TFR_OK;
}

static uint32_t fence(const machine_t *m) {
    return m->marks.n > 0 ? m->marks.at[m->marks.n - 1] : 0;
}

enum tfr_status tfr_pickle_pop(machine_t *m, uint32_t *value) {
    if (m->stack.n <= fence(m)) {
        return tfr_pickle_damaged(m, "nothing is on the stack");
    }
    *value = m->stack.at[--m->stack.n];
    return TFR_OK;
}

enum tfr_status tfr_pickle_push(machine_t *m, const struct tfr_pickle_value *value) {
    struct tfr_pickle *pickle = m->pickle;
    if (pickle->n == pickle->capacity) {
        const uint32_t capacity = pickle->capacity == 0 ? 256 : 2 * pickle->capacity;
        if (capacity > MAX_VALUES) {
            return tfr_raise(TFR_UNSUPPORTED, "%s: the pickle has more than %d values; no state dict of a GPT-2 has", m->file,
                             MAX_VALUES);
        }
        struct tfr_pickle_value *values = tfr_realloc(pickle->values, capacity, sizeof *values);
        if (values == NULL) {
            return TFR_RESOURCE;
        }
        pickle->values = values;
        pickle->capacity = capacity;
    }
    TFR_TRY(pile_push(m, &m->stack, pickle->n, MAX_STACK));
    pickle->values[pickle->n++] = *value;
    return TFR_OK;
}

enum tfr_status tfr_pickle_append(machine_t *m, uint32_t to, const uint32_t *values, uint32_t n) {
    struct tfr_pickle_value *value = &m->pickle->values[to];
    struct tfr_pickle_pile pile = {value->as.items.at, value->as.items.n, value->as.items.capacity};
    TFR_TRY(pile_reserve(m, &pile, pile.n + n, MAX_STACK));
    if (n > 0) {
        memcpy(pile.at + pile.n, values, (size_t)n * sizeof *values);
    }
    value->as.items.at = pile.at;
    value->as.items.n = pile.n + n;
    value->as.items.capacity = pile.capacity;
    return TFR_OK;
}

static enum tfr_status take(machine_t *m, size_t n, const uint8_t **bytes) {
    if (n > m->size - m->at) {
        return tfr_pickle_damaged(m, "the file ends within an opcode");
    }
    *bytes = m->data + m->at;
    m->at += n;
    return TFR_OK;
}

/* Little-endian, without a sign. */
static enum tfr_status take_number(machine_t *m, size_t width, uint64_t *number) {
    const uint8_t *bytes = NULL;
    TFR_TRY(take(m, width, &bytes));
    *number = 0;
    for (size_t i = width; i > 0; i--) {
        *number = *number << 8 | bytes[i - 1];
    }
    return TFR_OK;
}

static enum tfr_status push_integer(machine_t *m, enum tfr_pickle_kind kind, int64_t integer) {
    return tfr_pickle_push(m, &(struct tfr_pickle_value){.kind = kind, .as.integer = integer});
}

static enum tfr_status op_mark(machine_t *m, int unused) {
    return pile_push(m, &m->marks, m->stack.n, MAX_MARKS);
}

static enum tfr_status op_stop(machine_t *m, int unused) {
    TFR_TRY(tfr_pickle_pop(m, &m->pickle->root));
    if (m->marks.n > 0 || m->stack.n > 0) {
        return tfr_pickle_damaged(m, "values are left on the stack");
    }
    m->stopped = true;
    return TFR_OK;
}

static enum tfr_status op_bool(machine_t *m, int value) {
    return push_integer(m, TFR_PICKLE_BOOL, value);
}

static enum tfr_status op_unsigned(machine_t *m, int width) {
    uint64_t number = 0;
    TFR_TRY(take_number(m, (size_t)width, &number));
    return push_integer(m, TFR_PICKLE_INT, (int64_t)number);
}

static enum tfr_status op_int(machine_t *m, int width) {
    uint64_t number = 0;
    TFR_TRY(take_number(m, (size_t)width, &number));
    return push_integer(m, TFR_PICKLE_INT, (int32_t)(uint32_t)number);
}

static enum tfr_status op_long1(machine_t *m, int unused) {
    uint64_t size = 0;
    const uint8_t *bytes = NULL;
    TFR_TRY(take_number(m, 1, &size));
    TFR_TRY(take(m, (size_t)size, &bytes));
    if (size > 8) {
        struct tfr_pickle_value value = {.kind = TFR_PICKLE_LONG};
        value.as.text.bytes = (const char *)bytes;
        value.as.text.size = (size_t)size;
        return tfr_pickle_push(m, &value);
    }
    uint64_t number = size > 0 && bytes[size - 1] >= 0x80 ? UINT64_MAX : 0; /* two's complement */
    for (size_t i = (size_t)size; i > 0; i--) {
        number = number << 8 | bytes[i - 1];
    }
    return push_integer(m, TFR_PICKLE_INT, (int64_t)number);
}

static enum tfr_status op_binfloat(machine_t *m, int unused) {
    const uint8_t *bytes = NULL;
    TFR_TRY(take(m, 8, &bytes));
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) { /* the one number that is big-endian */
        bits = bits << 8 | bytes[i];
    }
    struct tfr_pickle_value value = {.kind = TFR_PICKLE_REAL};
    memcpy(&value.as.real, &bits, sizeof bits);
    return tfr_pickle_push(m, &value);
}

static enum tfr_status op_text(machine_t *m, int width) {
    uint64_t size = 0;
    const uint8_t *bytes = NULL;
    TFR_TRY(take_number(m, (size_t)width, &size));
    TFR_TRY(take(m, (size_t)size, &bytes));
    struct tfr_pickle_value value = {.kind = TFR_PICKLE_TEXT};
    value.as.text.bytes = (const char *)bytes;
    value.as.text.size = (size_t)size;
    return tfr_pickle_push(m, &value);
}

static enum tfr_status op_empty(machine_t *m, int kind) {
    return tfr_pickle_push(m, &(struct tfr_pickle_value){.kind = (enum tfr_pickle_kind)kind});
}

/* The top n values become a tuple. */
static enum tfr_status make_tuple(machine_t *m, uint32_t n) {
    if (m->stack.n - fence(m) < n) {
        return tfr_pickle_damaged(m, "too few values are on the stack");
    }
    struct tfr_pickle_value tuple = {.kind = TFR_PICKLE_TUPLE};
    tuple.as.items.at = tfr_alloc((size_t)n + 1, sizeof *tuple.as.items.at);
    if (tuple.as.items.at == NULL) {
        return TFR_RESOURCE;
    }
    m->stack.n -= n;
    tuple.as.items.n = tuple.as.items.capacity = n;
    if (n > 0) {
        memcpy(tuple.as.items.at, m->stack.at + m->stack.n, (size_t)n * sizeof *tuple.as.items.at);
    }
    const enum tfr_status status = tfr_pickle_push(m, &tuple);
    if (status != TFR_OK) {
        tfr_free(tuple.as.items.at);
    }
    return status;
}

/* How many values stand above the last mark, which goes. */
static enum tfr_status pop_mark(machine_t *m, uint32_t *n) {
    if (m->marks.n == 0) {
        return tfr_pickle_damaged(m, "no mark is on the stack");
    }
    *n = m->stack.n - fence(m);
    m->marks.n--;
    return TFR_OK;
}

static enum tfr_status op_tuple(machine_t *m, int unused) {
    uint32_t n = 0;
    TFR_TRY(pop_mark(m, &n));
    return make_tuple(m, n);
}

static enum tfr_status op_tuple_of(machine_t *m, int n) {
    return make_tuple(m, (uint32_t)n);
}

/* The top n values go to the list or dict below them, which stays. */
static enum tfr_status extend(machine_t *m, enum tfr_pickle_kind kind, uint32_t n) {
    if (m->stack.n - fence(m) < n + 1) {
        return tfr_pickle_damaged(m, "too few values are on the stack");
    }
    const uint32_t to = m->stack.at[m->stack.n - n - 1];
    if (m->pickle->values[to].kind != kind || (kind == TFR_PICKLE_DICT && n % 2 != 0)) {
        return tfr_pickle_damaged(m, kind == TFR_PICKLE_DICT ? "no dict takes these items" : "no list takes these items");
    }
    m->stack.n -= n;
    return tfr_pickle_append(m, to, m->stack.at + m->stack.n, n);
}

static enum tfr_status op_extend(machine_t *m, int kind) {
    return extend(m, (enum tfr_pickle_kind)kind, kind == TFR_PICKLE_DICT ? 2 : 1);
}

static enum tfr_status op_extend_marked(machine_t *m, int kind) {
    uint32_t n = 0;
    TFR_TRY(pop_mark(m, &n));
    return extend(m, (enum tfr_pickle_kind)kind, n);
}

static enum tfr_status put(machine_t *m, uint64_t index) {
    if (m->stack.n <= fence(m)) {
        return tfr_pickle_damaged(m, "nothing is on the stack");
    }
    if (index >= MAX_MEMO) {
        return tfr_pickle_damaged(m, "a number of the memo is out of range");
    }
    TFR_TRY(pile_reserve(m, &m->memo, (uint32_t)index + 1, MAX_MEMO));
    m->memo.n = m->memo.n > index ? m->memo.n : (uint32_t)index + 1;
    m->memo.at[index] = m->stack.at[m->stack.n - 1] + 1;
    return TFR_OK;
}

static enum tfr_status op_put(machine_t *m, int width) {
    uint64_t index = 0;
    TFR_TRY(take_number(m, (size_t)width, &index));
    return put(m, index);
}

static enum tfr_status op_memoize(machine_t *m, int unused) {
    return put(m, m->memo.n);
}

static enum tfr_status op_get(machine_t *m, int width) {
    uint64_t index = 0;
    TFR_TRY(take_number(m, (size_t)width, &index));
    if (index >= m->memo.n || m->memo.at[index] == 0) {
        return tfr_pickle_damaged(m, "a number of the memo was never set");
    }
    return pile_push(m, &m->stack, m->memo.at[index] - 1, MAX_STACK);
}

static enum tfr_status take_line(machine_t *m, const char **text, size_t *size) {
    const uint8_t *start = m->data + m->at, *end = memchr(start, '\n', m->size - m->at);
    if (end == NULL) {
        return tfr_pickle_damaged(m, "the file ends within a name");
    }
    *text = (const char *)start;
    *size = (size_t)(end - start);
    m->at += *size + 1;
    return TFR_OK;
}

static enum tfr_status op_global(machine_t *m, int unused) {
    const char *module = NULL, *name = NULL;
    size_t module_size = 0, name_size = 0;
    TFR_TRY(take_line(m, &module, &module_size));
    TFR_TRY(take_line(m, &name, &name_size));
    return tfr_pickle_find_global(m, module, module_size, name, name_size);
}

static enum tfr_status op_stack_global(machine_t *m, int unused) {
    uint32_t name = 0, module = 0;
    TFR_TRY(tfr_pickle_pop(m, &name));
    TFR_TRY(tfr_pickle_pop(m, &module));
    const struct tfr_pickle_value *values = m->pickle->values;
    if (values[name].kind != TFR_PICKLE_TEXT || values[module].kind != TFR_PICKLE_TEXT) {
        return tfr_pickle_damaged(m, "a name is no text");
    }
    return tfr_pickle_find_global(m, values[module].as.text.bytes, values[module].as.text.size, values[name].as.text.bytes,
                                  values[name].as.text.size);
}

static enum tfr_status op_proto(machine_t *m, int unused) {
    uint64_t protocol = 0;
    TFR_TRY(take_number(m, 1, &protocol));
    return protocol >= 2 && protocol <= 5
               ? TFR_OK
               : tfr_raise(TFR_UNSUPPORTED, "%s: pickle protocol %llu; torch.save writes 2, and 3 to 5 on request", m->file,
                           (unsigned long long)protocol);
}

/* Says how many bytes to read ahead; all of them are here. */
static enum tfr_status op_frame(machine_t *m, int unused) {
    uint64_t size = 0;
    return take_number(m, 8, &size);
}

static enum tfr_status op_refused(machine_t *m, int unused) {
    return tfr_raise(TFR_UNSUPPORTED,
                     "%s: the pickle uses %s at byte %zu, which torch.save never writes for a state dict; convert the "
                     "file where you trust it: model.save_pretrained(DIR, safe_serialization=True)",
                     m->file, m->op_name, m->op_at);
}

static const struct {
    const char *name;
    enum tfr_status (*run)(machine_t *m, int argument);
    int argument;
} ops[256] = {
#define TFR_PICKLE_OP(byte, name, function, argument) [byte] = {#name, function, argument},
#include "model/pickle_ops.def"
#undef TFR_PICKLE_OP
};

static enum tfr_status run(machine_t *m) {
    while (!m->stopped) {
        const uint8_t *op = NULL;
        m->op_at = m->at;
        m->op_name = "end";
        TFR_TRY(take(m, 1, &op));
        if (ops[*op].run == NULL) {
            return tfr_raise(TFR_MODEL, "%s: byte %zu of the pickle is 0x%02x, which is no opcode; the file is damaged", m->file,
                             m->op_at, *op);
        }
        m->op_name = ops[*op].name;
        TFR_TRY(ops[*op].run(m, ops[*op].argument));
    }
    m->pickle->end = m->at;
    return TFR_OK;
}

enum tfr_status tfr_pickle_parse(struct tfr_pickle *pickle, const char *file, const uint8_t *data, size_t size) {
    *pickle = (struct tfr_pickle){0};
    struct tfr_pickle_machine machine = {.pickle = pickle, .file = file, .data = data, .size = size};
    const enum tfr_status status = run(&machine);
    tfr_free(machine.stack.at);
    tfr_free(machine.marks.at);
    tfr_free(machine.memo.at);
    if (status != TFR_OK) {
        tfr_pickle_clear(pickle);
    }
    return status;
}

void tfr_pickle_clear(struct tfr_pickle *pickle) {
    for (uint32_t i = 0; i < pickle->n; i++) {
        const enum tfr_pickle_kind kind = pickle->values[i].kind;
        if (kind == TFR_PICKLE_TUPLE || kind == TFR_PICKLE_LIST || kind == TFR_PICKLE_DICT) {
            tfr_free(pickle->values[i].as.items.at);
        }
    }
    tfr_free(pickle->values);
    *pickle = (struct tfr_pickle){0};
}
