/* pickle_calls.c - what a state dict calls: an empty OrderedDict, tensors and parameters over storages.
 * Everything else that a pickle names or calls is refused with its name. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "model/pickle_machine.h"

enum { MAX_SHOWN = 64 };

typedef struct tfr_pickle_machine machine_t;

enum kind { STORAGE, CALL };

static const struct {
    const char *module, *name;
    enum kind kind;
    enum tfr_dtype dtype;
} globals[TFR_GLOBAL_COUNT] = {
#define TFR_PICKLE_GLOBAL(enum_name, module_, name_, kind_, dtype_)                                                                \
    [TFR_GLOBAL_##enum_name] = {module_, name_, kind_, TFR_DTYPE_##dtype_},
#include "model/pickle_globals.def"
#undef TFR_PICKLE_GLOBAL
};

static bool is_name(const char *text, size_t size, const char *name) {
    return size == strlen(name) && memcmp(text, name, size) == 0;
}

/* A name from the file as it may be shown: nothing in it reaches a terminal raw. */
static const char *shown(const char *text, size_t size, char *to) {
    const size_t n = size < MAX_SHOWN ? size : MAX_SHOWN;
    for (size_t i = 0; i < n; i++) {
        to[i] = text[i] > ' ' && text[i] < 0x7f ? text[i] : '?';
    }
    to[n] = '\0';
    return to;
}

enum tfr_status tfr_pickle_find_global(machine_t *m, const char *module, size_t module_size, const char *name, size_t name_size) {
    for (int i = 0; i < TFR_GLOBAL_COUNT; i++) {
        if (is_name(module, module_size, globals[i].module) && is_name(name, name_size, globals[i].name)) {
            return tfr_pickle_push(m, &(struct tfr_pickle_value){.kind = TFR_PICKLE_GLOBAL, .as.global = i});
        }
    }
    char module_text[MAX_SHOWN + 1], name_text[MAX_SHOWN + 1];
    return tfr_raise(TFR_UNSUPPORTED,
                     "%s: the pickle asks for %s.%s, which no state dict of GPT-2 needs, and which could run code; "
                     "convert the file where you trust it: model.save_pretrained(DIR, safe_serialization=True)",
                     m->file, shown(module, module_size, module_text), shown(name, name_size, name_text));
}

static const struct tfr_pickle_value *item(const machine_t *m, uint32_t of, uint32_t i) {
    return &m->pickle->values[m->pickle->values[of].as.items.at[i]];
}

/* Looks at no more items than a tensor may have dimensions: whose tuple has more is refused by its name, in torch_state.c. A
 * stranger's file could name one long tuple in many tensors. */
static bool is_tuple_of_ints(const machine_t *m, uint32_t value) {
    if (m->pickle->values[value].kind != TFR_PICKLE_TUPLE) {
        return false;
    }
    const uint32_t n = m->pickle->values[value].as.items.n;
    for (uint32_t i = 0; i < n && i < TFR_MAX_RANK; i++) {
        if (item(m, value, i)->kind != TFR_PICKLE_INT) {
            return false;
        }
    }
    return true;
}

/* (storage, offset, sizes, strides, ...): what follows says how the tensor was trained. */
static enum tfr_status push_tensor(machine_t *m, uint32_t args) {
    const uint32_t *at = m->pickle->values[args].as.items.at;
    if (item(m, args, 0)->kind != TFR_PICKLE_STORAGE || item(m, args, 1)->kind != TFR_PICKLE_INT || !is_tuple_of_ints(m, at[2]) ||
        !is_tuple_of_ints(m, at[3]) || m->pickle->values[at[2]].as.items.n != m->pickle->values[at[3]].as.items.n) {
        return tfr_pickle_damaged(m, "a tensor is not made of storage, offset, sizes and strides");
    }
    struct tfr_pickle_value value = {.kind = TFR_PICKLE_TENSOR};
    value.as.tensor.storage = at[0];
    value.as.tensor.offset = item(m, args, 1)->as.integer;
    value.as.tensor.sizes = at[2];
    value.as.tensor.strides = at[3];
    return tfr_pickle_push(m, &value);
}

enum tfr_status tfr_pickle_reduce(machine_t *m, int unused) {
    uint32_t args = 0, called = 0;
    TFR_TRY(tfr_pickle_pop(m, &args));
    TFR_TRY(tfr_pickle_pop(m, &called));
    const struct tfr_pickle_value *callee = &m->pickle->values[called];
    if (callee->kind != TFR_PICKLE_GLOBAL || m->pickle->values[args].kind != TFR_PICKLE_TUPLE) {
        return tfr_pickle_damaged(m, "what is called is no name, or its arguments are no tuple");
    }
    const uint32_t n = m->pickle->values[args].as.items.n;
    if (callee->as.global == TFR_GLOBAL_ORDERED_DICT && n == 0) {
        return tfr_pickle_push(m, &(struct tfr_pickle_value){.kind = TFR_PICKLE_DICT});
    }
    if ((callee->as.global == TFR_GLOBAL_REBUILD_TENSOR && n == 4) ||
        (callee->as.global == TFR_GLOBAL_REBUILD_TENSOR_V2 && (n == 6 || n == 7))) {
        return push_tensor(m, args);
    }
    if (callee->as.global == TFR_GLOBAL_REBUILD_PARAMETER && n == 3 && item(m, args, 0)->kind == TFR_PICKLE_TENSOR) {
        const struct tfr_pickle_value tensor = *item(m, args, 0);
        return tfr_pickle_push(m, &tensor);
    }
    return tfr_raise(TFR_UNSUPPORTED, "%s: the pickle calls %s.%s with %u arguments of other kinds than torch.save writes", m->file,
                     globals[callee->as.global].module, globals[callee->as.global].name, n);
}

/* The only attribute of a state dict is _metadata, versions of modules. */
enum tfr_status tfr_pickle_build(machine_t *m, int unused) {
    uint32_t state = 0, object = 0;
    TFR_TRY(tfr_pickle_pop(m, &state));
    TFR_TRY(tfr_pickle_pop(m, &object));
    if (m->pickle->values[object].kind != TFR_PICKLE_DICT || m->pickle->values[state].kind != TFR_PICKLE_DICT) {
        return tfr_pickle_damaged(m, "attributes are set on something that is no dict");
    }
    m->stack.at[m->stack.n++] = object; /* two were taken: there is room */
    return TFR_OK;
}

/* ("storage", type, key, device, elements), and in old files None or a view as a sixth. */
enum tfr_status tfr_pickle_persistent(machine_t *m, int unused) {
    uint32_t id = 0;
    TFR_TRY(tfr_pickle_pop(m, &id));
    const struct tfr_pickle_value *tuple = &m->pickle->values[id];
    const uint32_t n = tuple->kind == TFR_PICKLE_TUPLE ? tuple->as.items.n : 0;
    if ((n != 5 && n != 6) || !tfr_pickle_is_text(item(m, id, 0), "storage") || item(m, id, 1)->kind != TFR_PICKLE_GLOBAL ||
        globals[item(m, id, 1)->as.global].kind != STORAGE || item(m, id, 2)->kind != TFR_PICKLE_TEXT ||
        item(m, id, 3)->kind != TFR_PICKLE_TEXT || item(m, id, 4)->kind != TFR_PICKLE_INT || item(m, id, 4)->as.integer < 0) {
        return tfr_pickle_damaged(m, "a storage is not described by type, key, device and size");
    }
    if (n == 6 && item(m, id, 5)->kind != TFR_PICKLE_NONE) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: a storage is a view into another one, as torch before 0.4 wrote it; save the "
                         "model again",
                         m->file);
    }
    struct tfr_pickle_value value = {.kind = TFR_PICKLE_STORAGE};
    value.as.storage.dtype = globals[item(m, id, 1)->as.global].dtype;
    value.as.storage.key = tuple->as.items.at[2];
    value.as.storage.n = item(m, id, 4)->as.integer;
    return tfr_pickle_push(m, &value);
}

bool tfr_pickle_is_text(const struct tfr_pickle_value *value, const char *text) {
    return value->kind == TFR_PICKLE_TEXT && is_name(value->as.text.bytes, value->as.text.size, text);
}

const struct tfr_pickle_value *tfr_pickle_member(const struct tfr_pickle *pickle, const struct tfr_pickle_value *dict,
                                                 const char *key) {
    for (uint32_t i = 0; dict->kind == TFR_PICKLE_DICT && i < dict->as.items.n; i += 2) {
        if (tfr_pickle_is_text(&pickle->values[dict->as.items.at[i]], key)) {
            return &pickle->values[dict->as.items.at[i + 1]];
        }
    }
    return NULL;
}
