/* pickle.h - reads the pickle of a state dict as data: numbers, texts, tuples, dicts and tensors. Runs
 * nothing.
 *
 * A pickle is a program for a stack machine that may call any function of Python. This machine knows the
 * opcodes of pickle_ops.def and the names of pickle_globals.def; whatever else a file asks for is refused by
 * its name. No call of ours goes deeper for nested values, and sizes, stack and memo are bounded. Values are
 * numbers into one table; texts point into the bytes. Thread rule: one pickle, one thread.
 */
#ifndef TFR_MODEL_PICKLE_H
#define TFR_MODEL_PICKLE_H

#include <tfrun/types.h>

enum tfr_pickle_kind {
    TFR_PICKLE_NONE,
    TFR_PICKLE_BOOL,
    TFR_PICKLE_INT,
    TFR_PICKLE_REAL,
    TFR_PICKLE_LONG, /* an integer of more than 64 bits: its bytes */
    TFR_PICKLE_TEXT,
    TFR_PICKLE_TUPLE,
    TFR_PICKLE_LIST,
    TFR_PICKLE_DICT, /* items: key, value, key, value, ... */
    TFR_PICKLE_GLOBAL,
    TFR_PICKLE_STORAGE,
    TFR_PICKLE_TENSOR
};

/* Names that a state dict may ask for. */
enum tfr_pickle_global {
#define TFR_PICKLE_GLOBAL(name, module_, name_, kind, dtype) TFR_GLOBAL_##name,
#include "model/pickle_globals.def"
#undef TFR_PICKLE_GLOBAL
    TFR_GLOBAL_COUNT
};

struct tfr_pickle_value {
    enum tfr_pickle_kind kind;
    union {
        int64_t integer; /* BOOL, INT */
        double real;
        struct {
            const char *bytes; /* no NUL behind them */
            size_t size;
        } text; /* TEXT, LONG */
        struct {
            uint32_t *at;
            uint32_t n, capacity;
        } items; /* TUPLE, LIST, DICT */
        enum tfr_pickle_global global;
        struct {
            enum tfr_dtype dtype;
            uint32_t key; /* a TEXT */
            int64_t n;    /* elements */
        } storage;
        struct {
            uint32_t storage, sizes, strides; /* a STORAGE, two TUPLEs of INT of one length */
            int64_t offset;                   /* elements */
        } tensor;
    } as;
};

struct tfr_pickle {
    struct tfr_pickle_value *values;
    uint32_t n, capacity;
    uint32_t root;
    size_t end; /* bytes up to and with STOP */
};

/* One pickle from the first byte on; more may follow it. `file` is the name for messages. On failure *pickle
 * is empty. */
enum tfr_status tfr_pickle_parse(struct tfr_pickle *pickle, const char *file, const uint8_t *data, size_t size);
void tfr_pickle_clear(struct tfr_pickle *pickle);
/* The value of a text key of a dict, NULL if it has none. */
const struct tfr_pickle_value *tfr_pickle_member(const struct tfr_pickle *pickle, const struct tfr_pickle_value *dict,
                                                 const char *key);
bool tfr_pickle_is_text(const struct tfr_pickle_value *value, const char *text);

#endif
