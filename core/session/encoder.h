/* encoder.h - encoder states of a sequence: from a file or a caller to keys and values on all ranks, computed once.
 * Rank 0 only. Thread rule: the engine's thread. */
#ifndef TFR_SESSION_ENCODER_H
#define TFR_SESSION_ENCODER_H

#include <tfrun/tfrun.h>

struct tfr_engine;

/* The positions kept[n] of states [.., C] into a slot that has room for them (tfr_engine_open_cross). */
enum tfr_status tfr_encoder_run(struct tfr_engine *engine, int32_t slot, const float *states, const int32_t *kept, int64_t n);
/* Room and states, for the positions that the mask leaves. */
enum tfr_status tfr_encoder_fill(struct tfr_engine *engine, int32_t slot, const struct tfr_encoder_states *encoder);

/* encoder_file.c: a safetensors file with encoder_hidden_states and perhaps encoder_attention_mask. */
struct tfr_encoder_file {
    float *states; /* [rows, n, C]; NULL: no file */
    uint8_t *mask; /* [rows, n], or NULL */
    int64_t rows, n, width;
};
/* Reads input.encoder_states, if it is given, for this many prompts. */
enum tfr_status tfr_encoder_file_open(struct tfr_encoder_file *file, const struct tfr_engine *engine, size_t n_prompts);
void tfr_encoder_file_close(struct tfr_encoder_file *file);
/* Those of one prompt; false without a file. */
bool tfr_encoder_file_at(const struct tfr_encoder_file *file, size_t prompt, struct tfr_encoder_states *states);
/* input.encoder_states is for generation: other work, named, refuses it. */
enum tfr_status tfr_encoder_refuse_file(const struct tfr_engine *engine, const char *work);

#endif
