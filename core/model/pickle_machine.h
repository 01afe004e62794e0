/* pickle_machine.h - the stack machine that pickle.c and pickle_calls.c share. */
#ifndef TFR_MODEL_PICKLE_MACHINE_H
#define TFR_MODEL_PICKLE_MACHINE_H

#include "model/pickle.h"

/* A growing array of numbers. */
struct tfr_pickle_pile {
    uint32_t *at;
    uint32_t n, capacity;
};

struct tfr_pickle_machine {
    struct tfr_pickle *pickle;
    const char *file;
    const uint8_t *data;
    size_t size, at;
    size_t op_at; /* of the opcode under way, for messages */
    const char *op_name;
    struct tfr_pickle_pile stack; /* of values */
    struct tfr_pickle_pile marks; /* heights of the stack */
    struct tfr_pickle_pile memo;  /* value + 1; 0: unset */
    bool stopped;
};

/* Raises that the pickle is damaged where the machine stands. */
enum tfr_status tfr_pickle_damaged(const struct tfr_pickle_machine *machine, const char *what);
/* The value on top of the stack, which leaves it; nothing below the last mark is given. */
enum tfr_status tfr_pickle_pop(struct tfr_pickle_machine *machine, uint32_t *value);
enum tfr_status tfr_pickle_push(struct tfr_pickle_machine *machine, const struct tfr_pickle_value *value);
/* The items of a tuple, list or dict grow by n values. */
enum tfr_status tfr_pickle_append(struct tfr_pickle_machine *machine, uint32_t to, const uint32_t *values, uint32_t n);

/* pickle_calls.c: the opcodes that name something of Python or call it. */
enum tfr_status tfr_pickle_find_global(struct tfr_pickle_machine *machine, const char *module, size_t module_size, const char *name,
                                       size_t name_size);
enum tfr_status tfr_pickle_reduce(struct tfr_pickle_machine *machine, int unused);
enum tfr_status tfr_pickle_build(struct tfr_pickle_machine *machine, int unused);
enum tfr_status tfr_pickle_persistent(struct tfr_pickle_machine *machine, int unused);

#endif
