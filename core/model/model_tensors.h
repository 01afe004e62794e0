/* model_tensors.h - the tensor table, and names of checkpoints read back. For the files of core/model. */
#ifndef TFR_MODEL_MODEL_TENSORS_H
#define TFR_MODEL_MODEL_TENSORS_H

#include "model/model.h"

enum tfr_param_init { TFR_INIT_NORMAL, TFR_INIT_RESIDUAL, TFR_INIT_ONE, TFR_INIT_ZERO };

enum tfr_param_init tfr_model_param_init(enum tfr_param param);

enum tfr_name_kind {
    TFR_NAME_PARAM,  /* param and layer are set */
    TFR_NAME_BUFFER, /* a mask that old versions of transformers saved: to be skipped */
    TFR_NAME_OTHER
};

struct tfr_parsed_name {
    enum tfr_name_kind kind;
    bool has_prefix; /* begins with "transformer." */
    enum tfr_param param;
    int64_t layer; /* 0 outside blocks */
};

struct tfr_parsed_name tfr_model_parse_name(const char *name);

#endif
