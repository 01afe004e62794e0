/* quantize_folder.c - `tfrun quantize` as a function: opens the model, writes the folder. */
#include <tfrun/tfrun.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "config/config.h"
#include "model/quantize_parts.h"

static const char generation_name[] = "generation_config.json";

/* Without --finer: the head and the ends of the model, whose errors all blocks, or the answer itself, would meet. A rule of thumb,
 * not measured tensor by tensor: --data tells what a choice is worth. */
enum { N_FINER = 3, MAX_GLOB = 32 };
struct usual_finer {
    char text[N_FINER][MAX_GLOB];
    char *items[N_FINER];
    struct tfr_string_list list;
};

static void make_usual(struct usual_finer *usual, const struct tfr_hparams *model) {
    snprintf(usual->text[0], MAX_GLOB, "lm_head.weight");
    snprintf(usual->text[1], MAX_GLOB, "h.0.*");
    snprintf(usual->text[2], MAX_GLOB, "h.%lld.*", (long long)model->n_layer - 1);
    for (int i = 0; i < N_FINER; i++) {
        usual->items[i] = usual->text[i];
    }
    usual->list = (struct tfr_string_list){.items = usual->items, .n = N_FINER};
}

static enum tfr_status read_fours(const struct tfr_config *config, const struct tfr_quantized_type *to,
                                  struct tfr_quantize_form *form, struct usual_finer *usual) {
    const struct tfr_options *options = &config->options;
    const bool is_wide = options->runtime_int4_group == TFR_GROUP_64, is_mixed = strcmp(to->name, "mixed") == 0;
    make_usual(usual, &config->model);
    *form = (struct tfr_quantize_form){.to = to->name, .runtime = to->runtime, .finer = &options->runtime_int4_finer};
    form->dtype = options->runtime_int4_zero_point ? (is_wide ? TFR_DTYPE_I4_ZERO64 : TFR_DTYPE_I4_ZERO)
                                                   : (is_wide ? TFR_DTYPE_I4_GROUP64 : TFR_DTYPE_I4_GROUP);
    if (is_mixed && options->runtime_int4_finer.n == 0) {
        form->finer = &usual->list;
        return TFR_OK;
    }
    return tfr_model_check_finer(config);
}

static enum tfr_status refuse_type(const char *to) {
    static const char *const names[] = {
#define TFR_QUANTIZED(name, runtime, bits, told) name,
#include <tfrun/quantized.def>
    };
    const char *known = tfr_quantized_names, *instead = tfr_choice_instead("quantize --to", to),
               *near = tfr_choice_nearest(to, names, TFR_COUNT_OF(names));
    if (instead != NULL) {
        return tfr_raise(TFR_USAGE, "--to: \"%s\" is none of %s; %s", to, known, instead);
    }
    if (near != NULL) {
        return tfr_raise(TFR_USAGE, "--to: \"%s\" is none of %s; did you mean \"%s\"?", to, known, near);
    }
    return tfr_raise(TFR_USAGE, "--to: \"%s\" is none of %s", to, known);
}

static enum tfr_status read_form(const struct tfr_config *config, const char *to, struct tfr_quantize_form *form,
                                 struct usual_finer *usual) {
    static const char *const of_fours[] = {"runtime.int4_group", "runtime.int4_zero_point", "runtime.int4_finer"};
    const struct tfr_quantized_type *type = tfr_quantized_find(to);
    if (type == NULL) {
        return refuse_type(to);
    }
    if (type->bits == 4) {
        return read_fours(config, type, form, usual);
    }
    for (size_t i = 0; i < TFR_COUNT_OF(of_fours); i++) {
        if (tfr_config_is_overridden(config, of_fours[i])) {
            return tfr_raise(TFR_USAGE, "%s has one scale for each output; %s is of int4 and mixed, leave it out", to, of_fours[i]);
        }
    }
    *form = (struct tfr_quantize_form){.to = type->name, .runtime = type->runtime, .dtype = TFR_DTYPE_I8_CHANNEL};
    return TFR_OK;
}

static enum tfr_status refuse_existing(const struct tfr_config *config, const char *directory) {
    char *from;
    TFR_TRY(tfr_folder_refuse_existing(config, directory));
    TFR_TRY(tfr_folder_find(config->directory, generation_name, &from));
    const enum tfr_status status = from != NULL ? tfr_folder_refuse(directory, generation_name) : TFR_OK;
    tfr_free(from);
    return status;
}

static enum tfr_status check_source(const struct tfr_config *config) {
    const struct tfr_options *options = &config->options;
    if (options->output_file == NULL) {
        return tfr_raise(TFR_USAGE, "quantize needs -o DIR, the folder to write");
    }
    if (config->quantization.given) {
        return tfr_raise(TFR_MODEL, "%s: these weights are coarse already; quantise the model that they were made from",
                         config->path);
    }
    if (options->model_prefix != NULL) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: a prefix is no weight and stays as it is: quantise the model without model.prefix, then run "
                         "it with --prefix %s",
                         config->path, options->model_prefix);
    }
    if (tfr_path_is_same(options->output_file, config->directory)) { /* without memory, which must not look like another one */
        return tfr_raise(TFR_USAGE, "%s: is the folder of the model itself; choose another one for -o", options->output_file);
    }
    return options->output_force ? TFR_OK : refuse_existing(config, options->output_file);
}

/* One more file of the folder, to be written by the caller. */
static enum tfr_status add_file(struct tfr_small_files *files, const char *directory, const char *name, struct tfr_outfile **out) {
    char *path = tfr_path_join(directory, name);
    const enum tfr_status status = path != NULL ? tfr_small_files_add(files, path, out) : TFR_RESOURCE;
    tfr_free(path);
    return status;
}

static enum tfr_status copy_generation(const struct tfr_config *config, const char *directory, struct tfr_small_files *files) {
    char *from = NULL, *to = tfr_path_join(directory, generation_name);
    enum tfr_status status = to != NULL ? tfr_folder_find(config->directory, generation_name, &from) : TFR_RESOURCE;
    if (from != NULL) {
        status = tfr_small_files_copy(files, from, to);
    }
    tfr_free(from);
    tfr_free(to);
    return status;
}

/* All under names of the moment; the config is the last, so that it comes last into its place. */
static enum tfr_status write_files(const struct tfr_model *model, const struct tfr_quantize_form *form,
                                   const struct tfr_quantize_request *request, struct tfr_quantized *quantized,
                                   struct tfr_small_files *files) {
    const char *directory = quantized->directory;
    struct tfr_outfile *out;
    TFR_TRY(add_file(files, directory, "model.safetensors", &out));
    TFR_TRY(tfr_quantize_weights(model, form, out, request, quantized));
    TFR_TRY(tfr_small_files_tokenizer(model->config, directory, files));
    TFR_TRY(copy_generation(model->config, directory, files));
    TFR_TRY(add_file(files, directory, "config.json", &out));
    return tfr_quantize_config(model->config, form, out);
}

/* Weights never stand beside a config that is not theirs: an old one goes before them, the new one comes after. */
static enum tfr_status put_in_place(const char *directory, struct tfr_small_files *files) {
    char *path = tfr_path_join(directory, "config.json");
    if (path == NULL) {
        return TFR_RESOURCE;
    }
    const bool is_gone = unlink(path) == 0 || errno == ENOENT;
    const enum tfr_status status =
        is_gone ? tfr_small_files_commit(files)
                : tfr_raise(TFR_RESOURCE, "%s: this config of an older model can't be removed: %s", path, strerror(errno));
    tfr_free(path);
    return status;
}

static enum tfr_status write_folder(const struct tfr_model *model, const struct tfr_quantize_form *form,
                                    const struct tfr_quantize_request *request, struct tfr_quantized *quantized) {
    struct tfr_small_files files = {0};
    TFR_TRY(tfr_path_make_folders(quantized->directory));
    enum tfr_status status = write_files(model, form, request, quantized, &files);
    if (status == TFR_OK) {
        status = put_in_place(quantized->directory, &files);
    }
    tfr_small_files_abandon(&files);
    return status;
}

/* All that can be refused without weights. */
static enum tfr_status read_request(const struct tfr_config *config, const struct tfr_quantize_request *request,
                                    struct tfr_quantize_form *form, struct usual_finer *usual) {
    TFR_TRY(check_source(config));
    TFR_TRY(read_form(config, request->to, form, usual));
    if (!(request->smooth >= 0 && request->smooth <= 1)) {
        return tfr_raise(TFR_USAGE, "a smoothing of %g is not in 0..1; 0.5 is usual", request->smooth);
    }
    form->smooth = request->smooth;
    return TFR_OK;
}

static enum tfr_status quantize(const struct tfr_config *config, const struct tfr_quantize_request *request,
                                struct tfr_quantized *quantized) {
    struct tfr_model *model;
    struct tfr_quantize_form form;
    struct usual_finer usual;
    TFR_TRY(read_request(config, request, &form, &usual));
    quantized->directory = tfr_strdup(config->options.output_file);
    if (quantized->directory == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_model_open(&model, config, TFR_MODEL_WEIGHTS));
    const enum tfr_status status = write_folder(model, &form, request, quantized);
    tfr_model_close(model);
    return status;
}

enum tfr_status tfr_quantize(const char *config_path, const struct tfr_override *overrides, size_t n_overrides,
                             const struct tfr_quantize_request *request, struct tfr_quantized **quantized) {
    struct tfr_config *config;
    *quantized = NULL;
    TFR_TRY(tfr_config_load_to_quantize(&config, config_path, overrides, n_overrides));
    struct tfr_quantized *made = tfr_alloc(1, sizeof *made);
    const enum tfr_status status = made != NULL ? quantize(config, request, made) : TFR_RESOURCE;
    tfr_config_free(config);
    if (status != TFR_OK) {
        tfr_quantized_free(made);
        return status;
    }
    *quantized = made;
    return TFR_OK;
}

enum tfr_status tfr_quantize_check(const char *config_path, const struct tfr_override *overrides, size_t n_overrides,
                                   const struct tfr_quantize_request *request) {
    struct tfr_config *config;
    struct tfr_quantize_form form;
    struct usual_finer usual;
    TFR_TRY(tfr_config_load_to_quantize(&config, config_path, overrides, n_overrides));
    const enum tfr_status status = read_request(config, request, &form, &usual);
    tfr_config_free(config);
    return status;
}

void tfr_quantized_free(struct tfr_quantized *quantized) {
    if (quantized != NULL) {
        tfr_free(quantized->directory);
        tfr_free(quantized->tensors);
        tfr_free(quantized);
    }
}
