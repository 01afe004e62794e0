/* engine_io.c - what a config itself asks for: prompts, and where output goes. */
#include <tfrun/tfrun.h>

#include "config/choices.h"
#include "rank/rank.h"

struct tfr_engine_io tfr_engine_io(const struct tfr_engine *engine) {
    const struct tfr_options *options = &engine->config->options;
    return (struct tfr_engine_io){
        .prompt = options->input_prompt,
        .prompts = options->input_prompts.items,
        .n_prompts = options->input_prompts.n,
        .input_file = options->input_file,
        .output_file = options->output_file,
        .eval_data = options->eval_data,
        .json = options->output_format == TFR_FORMAT_JSON,
        .force = options->output_force,
        .stats = options->output_stats != TFR_STATS_OFF,
        .echo = options->output_echo,
    };
}
