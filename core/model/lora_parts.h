/* lora_parts.h - what lora.c (which tensors) and lora_merge.c (the arithmetic) share. */
#ifndef TFR_MODEL_LORA_PARTS_H
#define TFR_MODEL_LORA_PARTS_H

#include "model/lora.h"
#include "model/lora_config.h"

enum { TFR_LORA_NAME = 128 };

/* What an adapter has for one parameter. */
struct tfr_lora_slot {
    const struct tfr_weight *replacement; /* stands for the checkpoint's tensor */
    const struct tfr_weight *a, *b;       /* of a weight: their product is added */
    const struct tfr_weight *bias;        /* of a bias: is added */
    bool is_own;                          /* the replacement is of a module in modules_to_save: a tied twin keeps its own */
    double scaling;
    char name[TFR_LORA_NAME];
    struct tfr_weight merged; /* name NULL until there is one */
    void *memory;             /* owned; NULL: a view of the adapter's file or of the checkpoint */
};

/* True for weights stored [inputs, outputs] and for embeddings: the product is transposed before it is added.
 */
bool tfr_lora_is_transposed(enum tfr_param param);
/* slot->merged = base + what the slot adds, in the type `dtype`. */
enum tfr_status tfr_lora_merge_slot(struct tfr_lora_slot *slot, enum tfr_param param, const struct tfr_weight *base,
                                    enum tfr_dtype dtype);

#endif
