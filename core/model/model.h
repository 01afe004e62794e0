/* model.h - stage 2: hyperparameters plus the checked tensors of a GPT-2 checkpoint.
 *
 * The tensor table (model_tensors.def) lists every parameter once: name, shape in the letters of types.h, initialisation. Opening
 * checks each tensor against it by name; mask buffers of old versions (h.N.attn.bias, .masked_bias) are skipped by exact
 * name; anything else unknown is refused. Both name forms ("h.0..." and "transformer.h.0...") are accepted, a mixture is not.
 * Thread rule: built on one thread, read-only afterwards.
 */
#ifndef TFR_MODEL_MODEL_H
#define TFR_MODEL_MODEL_H

#include "config/config.h"
#include "model/adapter.h"
#include "model/tokenizer.h"
#include "model/weights.h"

/* Parameters of one block, then those outside the blocks. */
enum tfr_param {
    TFR_PARAM_LN_1_WEIGHT,
    TFR_PARAM_LN_1_BIAS,
    TFR_PARAM_C_ATTN_WEIGHT,
    TFR_PARAM_C_ATTN_BIAS,
    TFR_PARAM_ATTN_PROJ_WEIGHT,
    TFR_PARAM_ATTN_PROJ_BIAS,
    TFR_PARAM_LN_2_WEIGHT,
    TFR_PARAM_LN_2_BIAS,
    TFR_PARAM_C_FC_WEIGHT,
    TFR_PARAM_C_FC_BIAS,
    TFR_PARAM_MLP_PROJ_WEIGHT,
    TFR_PARAM_MLP_PROJ_BIAS,
    TFR_PARAM_LN_CROSS_WEIGHT,
    TFR_PARAM_LN_CROSS_BIAS,
    TFR_PARAM_CROSS_ATTN_WEIGHT,
    TFR_PARAM_CROSS_ATTN_BIAS,
    TFR_PARAM_Q_ATTN_WEIGHT,
    TFR_PARAM_Q_ATTN_BIAS,
    TFR_PARAM_CROSS_PROJ_WEIGHT,
    TFR_PARAM_CROSS_PROJ_BIAS,
    TFR_PARAM_PER_BLOCK,
    TFR_PARAM_WTE = TFR_PARAM_PER_BLOCK,
    TFR_PARAM_WPE,
    TFR_PARAM_LN_F_WEIGHT,
    TFR_PARAM_LN_F_BIAS,
    TFR_PARAM_LM_HEAD, /* from here on: heads, never below "transformer." */
    TFR_PARAM_SCORE,
    TFR_PARAM_CLASSIFIER_WEIGHT,
    TFR_PARAM_CLASSIFIER_BIAS,
    TFR_PARAM_QA_WEIGHT,
    TFR_PARAM_QA_BIAS,
    TFR_PARAM_SUMMARY_WEIGHT,
    TFR_PARAM_SUMMARY_BIAS,
    TFR_PARAM_COUNT
};

struct tfr_model {
    const struct tfr_config *config; /* borrowed */
    struct tfr_hparams hparams;      /* copy */
    struct tfr_weights *weights;     /* owned; NULL for a model opened without a checkpoint (plan, cost) */
    struct tfr_adapter *adapter;     /* owned; NULL without model.prefix. Its head, if it has one, replaces the checkpoint's */
    struct tfr_lora *lora;           /* owned; NULL without a LoRA adapter. What it merged stands for the checkpoint's */
    struct tfr_tokenizer *tokenizer; /* owned; NULL if the folder has none */
    bool tied;                       /* lm_head is wte */
};

enum tfr_model_parts { TFR_MODEL_WEIGHTS = 1, TFR_MODEL_TOKENIZER = 2 };

/* `parts` says what must be there; a missing part is an error that names the files looked for. */
enum tfr_status tfr_model_open(struct tfr_model **model, const struct tfr_config *config, int parts);
void tfr_model_close(struct tfr_model *model);

struct tfr_lora;

/* The tensor of a parameter (layer ignored for those outside blocks); NULL without weights. Tied: LM_HEAD gives wte. */
const struct tfr_weight *tfr_model_param(const struct tfr_model *model, enum tfr_param param, int64_t layer);
/* The same without what an adapter changed. */
const struct tfr_weight *tfr_model_stored_param(const struct tfr_model *model, enum tfr_param param, int64_t layer);
/* The types that the embedding tables of a config's model have where nothing of it is opened: as the checkpoint has them (F64 is
 * read as F32), or `otherwise` where none lies there. Reads headers. */
struct tfr_table_types {
    enum tfr_dtype wte, wpe;
    const uint8_t *exact; /* of tfr_model_exact_types, borrowed; NULL: nothing is known */
};
enum tfr_status tfr_model_table_types(const struct tfr_config *config, enum tfr_dtype otherwise, struct tfr_table_types *types);
/* BF16 or F16 for each matrix of a linear whose values that type holds exactly, else F32: [n_layer][TFR_PARAM_COUNT], layer 0 for
 * those outside blocks. By its type; `scans`: also by its f32 values. An adapter is merged in
 * the types of the checkpoint, and may change values. Free with tfr_free. */
enum tfr_status tfr_model_exact_types(const struct tfr_config *config, bool scans, uint8_t **exact);
/* True if a model of this config has the parameter: cross-attention and heads are not in all. */
bool tfr_model_has_param(const struct tfr_hparams *hparams, enum tfr_param param);
/* Width of the pooled output of GPT2DoubleHeadsModel. */
int64_t tfr_model_summary_width(const struct tfr_hparams *hparams);
/* Expected shape and Hugging Face name ("transformer.h.3.attn.c_attn.weight"). */
int tfr_model_param_shape(const struct tfr_hparams *hparams, enum tfr_param param, int64_t *dim);
const char *tfr_model_param_name(enum tfr_param param, int64_t layer, char *text, size_t size);
/* Linears: what coarse types round. */
bool tfr_model_is_linear(const struct tfr_hparams *hparams, enum tfr_param param);
/* The type of a linear's weight where `dtype` is asked for: 8 bits in place of 4 where one of `finer` (NULL: none) names it. */
enum tfr_dtype tfr_model_linear_dtype(const struct tfr_string_list *finer, enum tfr_param param, int64_t layer,
                                      enum tfr_dtype dtype);
/* Refuses a glob of runtime.int4_finer that names no linear of the model; of a file's, no linear under any head. */
enum tfr_status tfr_model_check_finer(const struct tfr_config *config);
int64_t tfr_model_param_count(const struct tfr_hparams *hparams); /* of the whole model, tied matrix once */

/* `tfrun check`: every tensor of the checkpoint, and those that it lacks, as findings; reads no data. No checkpoint is a
 * finding without effect, one that cannot be read a refusal. */
struct tfr_findings;
/* Whether the folder holds the files of a tokenizer. */
bool tfr_model_has_tokenizer(const char *directory);
enum tfr_status tfr_model_survey(const struct tfr_config *config, struct tfr_findings *findings);

/* `tfrun init`: writes DIR/config.json (the source's, as init_config.c says), DIR/model.safetensors and the tokenizer files if the
 * config names a tokenizer. Rules of GPT2Config: normal(0, initializer_range); c_proj.weight normal(0, range / sqrt(2 L));
 * biases 0, layer norms 1 and 0. Random numbers are counter based (seed, tensor, element): same file everywhere. */
enum tfr_status tfr_model_init(const struct tfr_config *config, const char *directory, enum tfr_dtype dtype, uint64_t seed,
                               bool force);

#endif
