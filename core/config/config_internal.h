/* config_internal.h - what the files of core/config share; nobody else includes it. */
#ifndef TFR_CONFIG_CONFIG_INTERNAL_H
#define TFR_CONFIG_CONFIG_INTERNAL_H

#include "base/json.h"
#include "config/complaints.h"
#include "config/config.h"
#include "config/findings.h"

/* One loading: the config being filled, the file it comes from and what is wrong so far. */
struct tfr_config_reader {
    struct tfr_config *config;
    const struct tfr_json_doc *doc;
    bool to_quantize; /* its weights are to be rounded to what runtime.dtype does not say */
    struct tfr_complaints complaints;
};

/* Adds "file:line:column: text" with the place of `node`'s value. */
void tfr_config_complain(struct tfr_config_reader *reader, const tfr_json *node, enum tfr_status status, const char *format, ...)
    TFR_PRINTF(4, 5);

/* config_options.c: the table. Options are named by their index in it; -1 is "not found". */
enum tfr_option_type {
    TFR_OPTION_BOOL,
    TFR_OPTION_INT,
    TFR_OPTION_REAL,
    TFR_OPTION_TEXT,
    TFR_OPTION_PATH,
    TFR_OPTION_CHOICE,
    TFR_OPTION_COUNT,
    TFR_OPTION_SEED,
    TFR_OPTION_LIST,
    TFR_OPTION_JSON
};
/* What somebody else's config may do with an option: config.def tells. */
enum tfr_option_trust {
    TFR_TRUST_FREE,
    TFR_TRUST_READS,
    TFR_TRUST_WRITES,
    TFR_TRUST_LOADS,
    TFR_TRUST_ADMITS,
    TFR_TRUST_COUNTS,
    TFR_TRUST_USER
};
enum tfr_option_trust tfr_option_trust(int option);
int tfr_option_find(const char *key);
enum tfr_option_type tfr_option_type(int option);
/* Whether "-" is stdin or stdout for it, and no file of that name. */
bool tfr_option_takes_dash(int option);
/* Address of the option's member, to be cast by its type. */
void *tfr_option_member(struct tfr_options *options, int option);
/* Who is at fault for a value of this option: TFR_USAGE if the command line gave it, else TFR_CONFIG. */
enum tfr_status tfr_option_fault(const struct tfr_config *config, const char *key);
/* True if `key` is the first part of some "key.rest". */
bool tfr_option_is_section(const char *key);
/* The known name that an unknown key under `prefix` ("" or "runtime.") probably means, into `text`; false if
 * none. */
bool tfr_option_nearest(const char *prefix, const char *name, char *text, size_t size);

/* config_values.c: values into members. False after writing into `why` what is wrong, as in "1.4 is outside
 * 0..1". */
enum tfr_status tfr_option_from_text(struct tfr_options *options, int option, const char *value, char *why, size_t size);
enum tfr_status tfr_option_from_json(struct tfr_config_reader *reader, int option, const tfr_json *node, char *why, size_t size);

/* config_parse.c: true if the whole text is such a value and it fits. */
bool tfr_parse_integer(const char *text, int64_t *value);
bool tfr_parse_real(const char *text, double *value);
bool tfr_parse_bool(const char *text, bool *value);

/* config_storage.c: all options at once, and what an option owns. */
void tfr_options_set_defaults(struct tfr_options *options);
void tfr_option_clear(struct tfr_options *options, int option);
/* Gives it the value that it has where nobody says anything. */
void tfr_option_reset(struct tfr_options *options, int option);
void tfr_options_free(struct tfr_options *options);
/* `to` is all of `from` and shares nothing with it; on failure it is to be freed all the same. */
enum tfr_status tfr_options_copy(struct tfr_options *to, const struct tfr_options *from);

/* config_show.c: an option's value as it may stand in a message. */
void tfr_option_value_text(struct tfr_options *options, int option, char *text, size_t size);
/* So a JSON value: 1.4, "high", {...}. */
const char *tfr_json_value_text(const tfr_json *node, char *text, size_t size);
/* A node as JSON text; NULL without memory. */
char *tfr_config_json_text(const struct tfr_json_doc *doc, const tfr_json *node);

/* config_model.c: the fields of Hugging Face, a line each in model_fields.def. */
struct tfr_model_field {
    const char *name, *alias;
    enum tfr_field_kind {
        TFR_FIELD_INT,
        TFR_FIELD_SIZE_OR_NULL,
        TFR_FIELD_TOKEN,
        TFR_FIELD_REAL,
        TFR_FIELD_BOOL,
        TFR_FIELD_OTHER
    } kind;
    size_t offset; /* in struct tfr_hparams, or TFR_NO_MEMBER */
    double min, max;
    const char *default_text; /* JSON; NULL: none */
    enum tfr_field_effect { TFR_FIELD_NO_EFFECT, TFR_FIELD_HONOURED } effect;
    enum tfr_field_refusal { TFR_FIELD_NEVER, TFR_FIELD_IF_TRUE, TFR_FIELD_IF_FALSE, TFR_FIELD_IF_NOT_EMPTY } refused_if;
    const char *why_refused, *meaning;
};
#define TFR_NO_MEMBER SIZE_MAX
const struct tfr_model_field *tfr_config_model_fields(size_t *n);
void tfr_config_read_model(struct tfr_config_reader *reader, const tfr_json *root);
bool tfr_config_is_model_field(const char *key);
/* Complains that the field `name` "is not" what `words` say. */
void tfr_config_wrong_type(struct tfr_config_reader *reader, const tfr_json *node, const char *name, const char *words);
/* config_names.c: model_type and architectures, before the table's fields; then those fields that hold a name. */
void tfr_config_read_classes(struct tfr_config_reader *reader, const tfr_json *root);
void tfr_config_read_names(struct tfr_config_reader *reader, const tfr_json *root);
/* config_shown.c: the numbers that only a print of the modules shows. */
void tfr_config_read_shown(struct tfr_config_reader *reader, const tfr_json *root);
/* config_quantization.c: how the weights were rounded. */
void tfr_config_read_quantization(struct tfr_config_reader *reader, const tfr_json *root);
/* Complains where runtime.dtype is of another kind than the weights. */
void tfr_config_check_quantization(struct tfr_config_reader *reader);
/* Complains about flags of rounding and packing that no weight would follow; a file may hold settings for several types. */
void tfr_config_check_rounding(struct tfr_config_reader *reader);
/* Why an option of rounding or packing changes nothing here, for `tfrun check`; NULL where it may. */
const char *tfr_config_idle_rounding(const struct tfr_config *config, const char *key);
/* config_labels.c: id2label, where given, decides the number of labels, as in Hugging Face's config class. */
void tfr_config_read_labels(struct tfr_config_reader *reader, const tfr_json *root);
void tfr_config_free_labels(struct tfr_string_list *labels);

/* config_trust.c: refuses what the file says and only the user may say. After the overrides; `tfrun` may be NULL. */
void tfr_config_check_trust(struct tfr_config_reader *reader, const tfr_json *tfrun);

/* config_check.c: "runtime.threads" below the object of "tfrun"; NULL if the file does not say it. */
const tfr_json *tfr_config_find_option(const tfr_json *tfrun, const char *key);
/* Fields, options and complaints as findings. */
enum tfr_status tfr_config_collect(struct tfr_config_reader *reader, const struct tfr_override *overrides, size_t n_overrides,
                                   struct tfr_findings *findings);

/* config_generation.c: generation settings under Hugging Face's names, weakest source first. */
void tfr_config_read_task_params(struct tfr_config_reader *reader, const tfr_json *root);
void tfr_config_read_generation_file(struct tfr_config_reader *reader);
/* eos_token_id of the model where it is a list. */
void tfr_config_read_eos_list(struct tfr_config_reader *reader, const tfr_json *list);
/* Who gave a value, for messages: "the command line". */
const char *tfr_config_origin_name(enum tfr_origin origin);

/* config_settle.c: what the settings of all sources mean together. */
void tfr_config_settle_sampling(struct tfr_config_reader *reader);
/* config_sums.c: complains where runtime.sums = by-head can not be kept. */
void tfr_config_check_sums(struct tfr_config_reader *reader);
/* The same once more after a request's own settings. Those of them without effect pass: clients send all that they have. */
void tfr_config_settle_request(struct tfr_config_reader *reader);

/* config_leftovers.c: settings that somebody's last call left in a file. */
/* An empty list or object, or a length below 0, which transformers reads as "no such setting"; an empty
 * eos_token_id is "no end". */
bool tfr_config_asks_for_nothing(const tfr_json *node);
/* Of the end tokens and of the suppressed ones only ids that the vocabulary has can come: a list of these, as
 * JSON. NULL in *ids for other settings and for what is no list of ids. TFR_RESOURCE, complained of. */
enum tfr_status tfr_config_ids_that_occur(struct tfr_config_reader *reader, const tfr_json *node, char **ids);

/* config_tfrun.c: the key "tfrun" and the device map. */
void tfr_config_read_tfrun(struct tfr_config_reader *reader, const tfr_json *object);
void tfr_config_read_device_map(struct tfr_config_reader *reader, const tfr_json *object);

#endif
