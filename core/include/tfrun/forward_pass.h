/* forward_pass.h - one forward pass: tensors in and out under Hugging Face's names.
 *
 * A part of tfrun.h, whose conventions hold here; include that one. */
#ifndef TFRUN_FORWARD_PASS_H
#define TFRUN_FORWARD_PASS_H

#ifndef TFRUN_TFRUN_H
#error "include <tfrun/tfrun.h>, which has this part"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Tensors in and out under Hugging Face's names (docs/semantics.md): input_ids or inputs_embeds, attention_mask, token_type_ids,
 * position_ids, head_mask, encoder_hidden_states, encoder_attention_mask, past_key_values.{i}.key, .value, .cross_key,
 * .cross_value, labels, mc_token_ids, mc_labels, start_positions, end_positions, logits_to_keep. Integers are I64 or I32, masks
 * also BOOL, U8 or F32, floats F32, F16, BF16 or F64; data are dense and may be unaligned. Results are
 * F32 unless asked otherwise. */
struct tfr_named_tensor {
    const char *name;
    struct tfr_tensor tensor;
};

enum tfr_attention { TFR_ATTN_AUTO, TFR_ATTN_EAGER, TFR_ATTN_FUSED };

/* Of an option that the config has a default for. */
enum tfr_switch { TFR_SWITCH_OFF = -1, TFR_SWITCH_CONFIG, TFR_SWITCH_ON };

struct tfr_forward_options {
    int use_cache, output_attentions, output_hidden_states; /* enum tfr_switch; the config's fields have these names */
    bool auto_positions;      /* positions count the visible tokens of attention_mask, as generation does */
    int packed;               /* enum tfr_switch: position_ids that do not go on by one begin another sequence of the row;
                                 CONFIG: as in Hugging Face's classes, where nothing is cached, masked or given */
    bool ragged;              /* masked tokens are not computed (zeros in all results) and are no row's last token */
    int64_t logits_to_keep;   /* logits of the last so many positions; 0 all */
    int attn;                 /* enum tfr_attention; AUTO leaves the choice to the config (runtime.attn) */
    enum tfr_dtype out_dtype; /* F32, F16 or BF16 (to the nearest, ties to even) */
};

struct tfr_forward_reply; /* owns its tensors */

/* Rank 0 calls; the head is the one that the config's architectures name. */
TFR_API enum tfr_status tfr_forward(struct tfr_engine *engine, const struct tfr_named_tensor *inputs, size_t n_inputs,
                                    const struct tfr_forward_options *options, struct tfr_forward_reply **reply);
TFR_API size_t tfr_forward_reply_count(const struct tfr_forward_reply *reply);
TFR_API const struct tfr_named_tensor *tfr_forward_reply_at(const struct tfr_forward_reply *reply, size_t index);
TFR_API void tfr_forward_reply_close(struct tfr_forward_reply *reply);
/* The same from a safetensors file to a safetensors file, which appears complete or not at all. */
TFR_API enum tfr_status tfr_forward_file(struct tfr_engine *engine, const char *in_path, const char *out_path,
                                         const struct tfr_forward_options *options);

#ifdef __cplusplus
}
#endif
#endif
