/* cmd_forward.c - `tfrun forward`: one forward pass, tensors in, tensors out, under Hugging Face's names. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/measure.h"

static const struct tfr_flag flags[] = {
    {"in", "FILE", "safetensors file with the inputs: input_ids, attention_mask, past_key_values.0.key, ...", 0},
    {"out", "FILE", "safetensors file for the results: logits, loss, hidden_states.0, ...", 0},
    {"use-cache", "", "give past_key_values too, or not [what the config says]", 0},
    {"output-attentions", "", "give attentions (and cross_attentions) too, or not [what the config says]", 0},
    {"output-hidden-states", "", "give hidden_states too, or not [what the config says]", 0},
    {"logits-to-keep", "K", "logits of the last K positions only [0: all]", 0},
    {"auto-positions", NULL, "positions count the visible tokens of attention_mask, as generation does", 0},
    {"packed", "", "position_ids that do not go on by one begin another sequence of the row [where nothing is cached]", 0},
    {"ragged", NULL, "masked tokens are not computed: zeros in all results", 0},
    {"out-dtype", "TYPE", "type of the results (f32|f16|bf16), rounded to nearest even [f32]; --dtype is the weights'", 0},
};

static bool read_out_dtype(const struct tfr_args *args, enum tfr_dtype *dtype) {
    static const struct {
        const char *name;
        enum tfr_dtype dtype;
    } types[] = {{"f32", TFR_DTYPE_F32}, {"f16", TFR_DTYPE_F16}, {"bf16", TFR_DTYPE_BF16}};
    const char *name = tfr_args_flag(args, "out-dtype");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (name == NULL || strcmp(name, types[i].name) == 0) {
            *dtype = types[i].dtype;
            return true;
        }
    }
    tfr_cli_usage("--out-dtype: \"%.40s\" is not one of f32, f16, bf16", name);
    return false;
}

static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    const char *in = tfr_args_flag(args, "in"), *out = tfr_args_flag(args, "out");
    struct tfr_forward_options options = {
        .use_cache = tfr_args_switch(args, "use-cache"),
        .output_attentions = tfr_args_switch(args, "output-attentions"),
        .output_hidden_states = tfr_args_switch(args, "output-hidden-states"),
        .auto_positions = tfr_args_flag(args, "auto-positions") != NULL,
        .packed = tfr_args_switch(args, "packed"),
        .ragged = tfr_args_flag(args, "ragged") != NULL,
    };
    if (!tfr_cli_int(args, "logits-to-keep", 0, INT64_C(1) << 40, &options.logits_to_keep) ||
        !read_out_dtype(args, &options.out_dtype)) {
        return tfr_exit_code(TFR_USAGE);
    }
    enum tfr_status status = tfr_forward_file(engine, in, out, &options);
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

static int run(struct tfr_args *args) {
    if (tfr_args_flag(args, "in") == NULL || tfr_args_flag(args, "out") == NULL) {
        return tfr_cli_usage("forward needs --in FILE and --out FILE");
    }
    return tfr_measure_run(args, drive);
}

static const char *const reads[] = {"trust",   "!model.aliases", "model.",   "runtime.", "parallel.",
                                    "plugins", "output.force",   "observe.", NULL};

const struct tfr_command tfr_cmd_forward = {
    .name = "forward",
    .operands = "CONFIG --in FILE --out FILE",
    .help = "one forward pass: tensors in, tensors out",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};
