/* config.h - stage 1: a Hugging Face config.json plus the key "tfrun", as plain validated values.
 *
 * Three sources, in rising order: defaults of config.def, the file, overrides (command-line flags and
 * --set a.b=c, which are the same thing: every flag is a key). All problems are reported at once, one line
 * each, as "file:line:column: key = value: what is wrong; the fix".
 * Thread rule: built on one thread, read-only afterwards.
 */
#ifndef TFR_CONFIG_CONFIG_H
#define TFR_CONFIG_CONFIG_H

#include <tfrun/tfrun.h>

#include "config/choices.h"

/* The activation registry of Hugging Face that has no parameters.
 * X(enum name, config name, its module as PyTorch prints it, passes, reads); several names may mean one function. Passes
 * and reads: elements that the module writes and reads per element when PyTorch runs it one elementwise kernel after the other. */
/* clang-format off */
#define TFR_ACTIVATION_LIST(X)                                          \
    X(GELU_TANH, "gelu_new", "NewGELUActivation()", 8, 10)              \
    X(GELU_TANH, "gelu_accurate", "AccurateGELUActivation()", 8, 10)    \
    X(GELU_TANH, "gelu_pytorch_tanh", "GELUTanh()", 1, 1)               \
    X(GELU_TANH, "gelu_python_tanh", "GELUTanh()", 8, 10)               \
    X(GELU_TANH, "gelu_fast", "FastGELUActivation()", 9, 12)            \
    X(GELU_ERF, "gelu", "GELUActivation()", 1, 1)                       \
    X(GELU_ERF, "gelu_python", "GELUActivation()", 5, 6)                \
    X(GELU_CLIP10, "gelu_10", "ClippedGELUActivation()", 2, 2)          \
    X(QUICK_GELU, "quick_gelu", "QuickGELUActivation()", 3, 4)          \
    X(RELU, "relu", "ReLU()", 1, 1)                                     \
    X(RELU2, "relu2", "ReLUSquaredActivation()", 2, 2)                  \
    X(RELU6, "relu6", "ReLU6()", 1, 1)                                  \
    X(LEAKY_RELU, "leaky_relu", "LeakyReLU(negative_slope=0.01)", 1, 1) \
    X(SILU, "silu", "SiLUActivation()", 1, 1)                           \
    X(SILU, "swish", "SiLU()", 1, 1)                                    \
    X(TANH, "tanh", "Tanh()", 1, 1)                                     \
    X(SIGMOID, "sigmoid", "Sigmoid()", 1, 1)                            \
    X(LINEAR, "linear", "LinearActivation()", 0, 0)                     \
    X(MISH, "mish", "MishActivation()", 1, 1)                           \
    X(LAPLACE, "laplace", "LaplaceActivation()", 5, 5)                  \
    X(HARDSWISH, "hardswish", "Hardswish()", 1, 1)                      \
    X(SQRTSOFTPLUS, "sqrtsoftplus", "SqrtSoftplusActivation()", 2, 2)
/* clang-format on */

/* What stands on the trunk: GPT2LMHeadModel, GPT2Model, GPT2DoubleHeadsModel, GPT2ForSequenceClassification, ... */
enum tfr_head { TFR_HEAD_LM, TFR_HEAD_NONE, TFR_HEAD_DOUBLE, TFR_HEAD_SEQUENCE, TFR_HEAD_TOKEN, TFR_HEAD_QA };
/* Whether it makes logits of the vocabulary; others have a few columns, or none. */
static inline bool tfr_head_has_vocabulary(int head) {
    return head == TFR_HEAD_LM || head == TFR_HEAD_DOUBLE;
}
enum tfr_problem_type { TFR_PROBLEM_INFERRED, TFR_PROBLEM_REGRESSION, TFR_PROBLEM_SINGLE_LABEL, TFR_PROBLEM_MULTI_LABEL };
enum tfr_summary_type { TFR_SUMMARY_CLS_INDEX, TFR_SUMMARY_LAST, TFR_SUMMARY_FIRST, TFR_SUMMARY_MEAN };

/* Model fields of config.json, under Hugging Face's names (aliases accepted: hidden_size, ...). */
struct tfr_hparams {
    int64_t vocab_size, n_positions, n_embd, n_layer, n_head;
    int64_t n_inner;                                       /* never 0: 4 * n_embd where the file says null */
    int activation;                                        /* enum tfr_activation of tfrun/plugin.h */
    const char *activation_name, *summary_activation_name; /* the second NULL for null */
    double layer_norm_epsilon, initializer_range;
    bool scale_attn_weights, scale_attn_by_inverse_layer_idx, reorder_and_upcast_attn;
    bool tie_word_embeddings;
    int32_t bos_token_id, eos_token_id, pad_token_id; /* -1 where null */
    bool add_cross_attention, is_causal;
    int head;           /* enum tfr_head, from "architectures" */
    int64_t num_labels; /* at least 1; 1 for DoubleHeads, whatever the file says */
    int problem_type;   /* enum tfr_problem_type */
    int summary_type;   /* enum tfr_summary_type */
    bool summary_use_proj, summary_proj_to_labels;
    int summary_activation;                                  /* enum tfr_activation, TFR_ACT_NONE for null */
    bool use_cache, output_attentions, output_hidden_states; /* defaults of the forward flags */
    bool allow_missing_head;                                 /* model.allow_missing_head: a head without tensors is left out */
};

struct tfr_findings;

struct tfr_string_list {
    char **items;
    size_t n;
};

/* A number of the file that is only printed: Python keeps 0, 0.0 and none apart. */
struct tfr_shown_number {
    enum { TFR_SHOWN_NONE, TFR_SHOWN_WHOLE, TFR_SHOWN_REAL, TFR_SHOWN_WRONG } kind; /* WRONG: no number stands there */
    double value;
    const char *field; /* that it stands in */
};
/* What no forward pass needs, but a print of the modules shows (config_shown.c). */
struct tfr_shown {
    struct tfr_shown_number embd_pdrop, attn_pdrop, resid_pdrop, layer_norm_epsilon;
    struct tfr_shown_number classifier_dropout; /* or hidden_dropout, or 0.1 */
    struct tfr_shown_number summary_first_dropout, summary_last_dropout;
};

/* "device_map" in Hugging Face's parallelize form: device -> blocks. Empty (n_blocks 0) when not given. */
struct tfr_device_map {
    int *rank_of_block; /* [n_blocks] */
    int64_t n_blocks;
    int n_ranks; /* highest device named in the map + 1 */
};

/* One member per line of config.def: key "sampling.top_p" is member sampling_top_p.
 * Types there: BOOL bool, INT int64_t, REAL double, TEXT char * (NULL where null), PATH char * (made absolute
 * against the config's folder; NULL where null), CHOICE int (index into its choices), COUNT int64_t (0 = "auto"),
 * SEED (int64_t, value -1 = null), LIST struct tfr_string_list, JSON char * (checked JSON text, NULL where null). */
struct tfr_options {
#define TFR_CTYPE_BOOL                                                                                bool
#define TFR_CTYPE_INT                                                                                 int64_t
#define TFR_CTYPE_REAL                                                                                double
#define TFR_CTYPE_TEXT                                                                                char *
#define TFR_CTYPE_PATH                                                                                char *
#define TFR_CTYPE_CHOICE                                                                              int
#define TFR_CTYPE_COUNT                                                                               int64_t
#define TFR_CTYPE_SEED                                                                                int64_t
#define TFR_CTYPE_LIST                                                                                struct tfr_string_list
#define TFR_CTYPE_JSON                                                                                char *
#define TFR_OPTION(member, key, type, trust, def, min, max, choices, flag, short_flag, operand, help) TFR_CTYPE_##type member;
#include "config/config.def"
#undef TFR_OPTION
};

/* Where the value of an option comes from, weakest first. */
enum tfr_origin {
    TFR_ORIGIN_DEFAULT,
    TFR_ORIGIN_TASK_PARAMS, /* task_specific_params.text-generation of the config */
    TFR_ORIGIN_GENERATION,  /* generation_config.json beside the config */
    TFR_ORIGIN_FILE,        /* "tfrun" of the config */
    TFR_ORIGIN_OVERRIDE,    /* flags and --set */
    TFR_ORIGIN_REQUEST      /* what one request of an open engine says of its own (config_request.c) */
};

/* "quantization_config" of what `tfrun quantize` wrote. */
struct tfr_quantization {
    bool given;
    bool has_fours; /* weights int4 or mixed, not int8 or int8w */
    int64_t group;  /* of the tensors of 4 bits: 32 or 64 */
    bool has_zero;
};

/* A row of tfrun/quantized.def. */
struct tfr_quantized_type {
    const char *name, *runtime;
    int bits;
};

struct tfr_config {
    char *path;      /* as given: "gpt2.json", "DIR/config.json" */
    char *directory; /* folder that relative paths start from */
    struct tfr_hparams model;
    struct tfr_options options;
    struct tfr_device_map device_map;
    struct tfr_string_list labels; /* [num_labels] names by id2label, of a classification head */
    int64_t n_labels;              /* as the file says, whatever the head */
    struct tfr_shown shown;
    struct tfr_quantization quantization;
    uint8_t *origin; /* enum tfr_origin of each option, in the order of the table */
};

/* `path` is a file or a model folder (its config.json is taken). On failure *config is NULL and the raised text
 * holds all problems, one per line. */
enum tfr_status tfr_config_load(struct tfr_config **config, const char *path, const struct tfr_override *overrides,
                                size_t n_overrides);
/* The same for `tfrun quantize`: how int4 rounds may be said beside any runtime.dtype. */
enum tfr_status tfr_config_load_to_quantize(struct tfr_config **config, const char *path, const struct tfr_override *overrides,
                                            size_t n_overrides);
/* The same, for reporting: what is wrong with the values becomes findings and is no failure; *config has
 * defaults in their place. Fails only where there is nothing to report on: no file, no JSON, no object. */
enum tfr_status tfr_config_survey(struct tfr_config **config, const char *path, const struct tfr_override *overrides,
                                  size_t n_overrides, struct tfr_findings *findings);
/* The options alone, as the overrides set them: there is no file and no model, whose members stay 0. */
enum tfr_status tfr_config_alone(struct tfr_config **config, const struct tfr_override *overrides, size_t n_overrides);
void tfr_config_free(struct tfr_config *config);
/* The model under another head, as that class of the reference takes the same file. Not for an engine: names of labels stay. */
void tfr_config_choose_head(struct tfr_config *config, int head);
/* config_names.c: a head's class ("GPT2LMHeadModel") and short name ("lm"); the head of a short name, -1 if none has it. */
const char *tfr_head_class(int head);
const char *tfr_head_word(int head);
int tfr_head_find(const char *word);
/* config_quantization.c: whether runtime.int4_finer names a tensor ("transformer.h.0.mlp.c_fc.weight", with or without its front).
 */
bool tfr_config_is_finer(const struct tfr_string_list *finer, const char *name);
/* config_trust.c: whether a file that came with the config may have `path` read: it lies in the config's
 * folder, or the user trusts its folder or that of the config. */
bool tfr_config_may_read(const struct tfr_config *config, const char *path);
/* The options of one request: those of the config, then what the request says as overrides ("sampling.top_p") and as one
 * JSON object of names under sampling ("top_p", and "truncate"); `json` NULL: none. Other sections are refused, and so is
 * what does not go together. Any thread; free with tfr_config_request_free, after a failure too. */
struct tfr_request_text {
    const struct tfr_override *overrides;
    size_t n_overrides;
    const char *json;
    size_t json_size;
};
enum tfr_status tfr_config_request(const struct tfr_config *config, const struct tfr_request_text *text,
                                   struct tfr_options *options);
void tfr_config_request_free(struct tfr_options *options);
/* "--tensor 3" where a flag says so, else "config.json: tfrun.parallel.tensor = 3". */
const char *tfr_option_said(const struct tfr_config *config, const char *key, const char *value, char *text, size_t size);
/* The status of a failure about a value of this config: TFR_CONFIG becomes TFR_USAGE where the command line gave the value.
 * `key` is its key, or a section ("sampling.") where the raised sentence begins with it. */
enum tfr_status tfr_config_blame(const struct tfr_config *config, const char *key, enum tfr_status status);
/* The command line gave the option a value. */
bool tfr_config_is_overridden(const struct tfr_config *config, const char *key);
/* Nobody gave the option a value. */
bool tfr_config_is_default(const struct tfr_config *config, const char *key);
/* Logs where each sampling option that is not the default comes from. */
void tfr_config_log_sampling(const struct tfr_config *config);
/* config_quantization.c: the names of tfrun/quantized.def with commas. */
extern const char *const tfr_quantized_names;
/* NULL: there is no type of that name. */
const struct tfr_quantized_type *tfr_quantized_find(const char *name);
/* config_quantization.c: warns of what the file says of int4 where its own runtime.dtype is another type. */
void tfr_config_warn_of_idle(const struct tfr_config *config);

/* The table itself is offered by tfr_option_table of tfrun.h, defined in config_options.c. */
const char *tfr_choice_name(const char *key, int index);
/* The key of an override, which may have "tfrun." before it, as the table has it. */
const char *tfr_option_plain(const char *key);
/* What a word of other programs is called here, by choice_words.def; NULL: not known. */
const char *tfr_choice_instead(const char *key, const char *value);
/* The name that a value differs from by large letters alone, else tfr_nearest_name. */
const char *tfr_choice_nearest(const char *value, const char *const *names, size_t n);
/* runtime.dtype: weights of whole numbers, of which shards and sums by head can make no parts. */
bool tfr_has_one_sum(const struct tfr_options *options);

#endif
