/* encoder.h - keys and values of encoder states: struct tfr_cross on every rank, and what rank 0 does to fill
 * it. Private to core. Thread rule: the engine's thread. */
#ifndef TFR_SESSION_ENCODER_H
#define TFR_SESSION_ENCODER_H

#include "rank/rank.h"

/* Keys and values of one set of encoder states for the blocks of this rank. */
struct tfr_cross {
    struct tfr_kvcache kv;
    int64_t n; /* positions filled */
    int users; /* slots that read it */
};

/* On every rank. A slot that has one loses it. */
enum tfr_status tfr_cross_open(struct tfr_engine *engine, struct tfr_slot *slot, int64_t capacity);
void tfr_cross_share(struct tfr_slot *to, const struct tfr_slot *from);
void tfr_cross_release(struct tfr_slot *slot);

/* On rank 0, for all ranks: room for n positions, then the positions kept[n] of states [.., C]. */
enum tfr_status tfr_encoder_open(struct tfr_engine *engine, int32_t slot, int64_t n);
enum tfr_status tfr_encoder_run(struct tfr_engine *engine, int32_t slot, const float *states,
                                const int32_t *kept, int64_t n);
/* Both, for the positions that the mask leaves. */
enum tfr_status tfr_encoder_fill(struct tfr_engine *engine, int32_t slot,
                                 const struct tfr_encoder_states *encoder);

/* encoder_file.c: a safetensors file with encoder_hidden_states and perhaps encoder_attention_mask. */
struct tfr_encoder_file {
    float *states; /* [rows, n, C]; NULL: no file */
    uint8_t *mask; /* [rows, n], or NULL */
    int64_t rows, n, width;
};
/* Reads input.encoder_states, if it is given, for this many prompts. */
enum tfr_status tfr_encoder_file_open(struct tfr_encoder_file *file, const struct tfr_engine *engine,
                                      size_t n_prompts);
void tfr_encoder_file_close(struct tfr_encoder_file *file);
/* Those of one prompt; false without a file. */
bool tfr_encoder_file_at(const struct tfr_encoder_file *file, size_t prompt,
                         struct tfr_encoder_states *states);
/* input.encoder_states is for generation: other work, named, refuses it. */
enum tfr_status tfr_encoder_refuse_file(const struct tfr_engine *engine, const char *work);

#endif
