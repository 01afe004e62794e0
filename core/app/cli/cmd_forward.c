/* cmd_forward.c - `tfrun forward`: one forward pass, tensors in, tensors out, under Hugging Face's names. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/measure.h"

static const struct tfr_flag flags[] = {
    {"in", "FILE", "safetensors file with the inputs: input_ids, attention_mask, past_key_values.0.key, ...",
     0},
    {"out", "FILE", "safetensors file for the results: logits, loss, hidden_states.0, ...", 0},
    {"use-cache", NULL, "also give past_key_values", 0},
    {"output-attentions", NULL, "also give attentions (and cross_attentions)", 0},
    {"output-hidden-states", NULL, "also give hidden_states", 0},
    {"logits-to-keep", "K", "logits of the last K positions only [0: all]", 0},
    {"auto-positions", NULL, "positions count the visible tokens of attention_mask, as generation does", 0},
};

static int drive(struct tfr_engine *engine, const struct tfr_args *args) {
    const char *in = tfr_args_flag(args, "in"), *out = tfr_args_flag(args, "out");
    struct tfr_forward_options options = {
        .use_cache = tfr_args_flag(args, "use-cache") != NULL,
        .output_attentions = tfr_args_flag(args, "output-attentions") != NULL,
        .output_hidden_states = tfr_args_flag(args, "output-hidden-states") != NULL,
        .auto_positions = tfr_args_flag(args, "auto-positions") != NULL,
    };
    if (!tfr_cli_int(args, "logits-to-keep", 0, INT64_C(1) << 40, &options.logits_to_keep)) {
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

static const char *const reads[] = {"model.", "runtime.", "parallel.", "plugins", "observe.", NULL};

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
