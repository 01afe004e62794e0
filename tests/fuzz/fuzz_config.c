/* fuzz_config.c - configs, what they say of ranks, and the settings that one request says of its own.
 *
 * config: config.json, generation_config.json, and "flags", a line KEY=VALUE for each --set. What loads has no refused finding and
 * is reported as JSON that reads; its copy for `tfrun init` loads too. device_map: the input stands for that field. request: the
 * input is a JSON object of settings, or, after a line "=== flags", lines of overrides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "config/config.h"
#include "config/findings.h"
#include "generation/params.h"
#include "harness.h"
#include "model/init_config.h"

enum { MOST_FLAGS = 16 };

struct flags {
    struct tfr_override list[MOST_FLAGS];
    size_t n;
    char *text;
};

/* "KEY=VALUE" lines; those without '=' are left out. */
static struct flags read_flags(const uint8_t *data, size_t size) {
    struct flags flags = {.text = tfr_fuzz_text(data, size)};
    char *rest = flags.text;
    for (char *line; flags.n < MOST_FLAGS && (line = strsep(&rest, "\n")) != NULL;) {
        char *equals = strchr(line, '=');
        if (equals != NULL) {
            *equals = '\0';
            flags.list[flags.n++] = (struct tfr_override){.key = line, .value = equals + 1, .origin = "--set"};
        }
    }
    return flags;
}

static void check_json(const char *text) {
    tfr_fuzz_require(tfr_json_scan("report", text, strlen(text), TFR_RUNTIME) == TFR_OK, "a report in JSON is JSON");
}

/* What `tfrun init` would put beside the weights: the same config, up to the names of files. */
static void check_copy(const char *path) {
    struct tfr_outfile out;
    struct tfr_config *config;
    const char *copy = tfr_fuzz_path("copy.json");
    if (tfr_outfile_open(&out, copy) != TFR_OK || tfr_init_copy_config(path, &out) != TFR_OK ||
        tfr_outfile_commit(&out) != TFR_OK) {
        tfr_fuzz_require(false, "a config that loads can be copied");
    }
    tfr_fuzz_require(tfr_config_load(&config, copy, NULL, 0) == TFR_OK, "the copy of a config loads");
    tfr_config_free(config);
}

static void use(const char *folder, const struct tfr_config *config, const struct flags *flags) {
    char *text;
    struct tfr_params *params;
    const struct tfr_hparams *model = &config->model;
    tfr_fuzz_require(model->n_layer >= 1 && model->n_embd >= 1 && model->n_head >= 1 && model->n_embd % model->n_head == 0 &&
                         model->vocab_size >= 1 && model->n_positions >= 1,
                     "sizes of a config are sizes");
    if (tfr_fuzz_accepted(tfr_report_config(folder, flags->list, flags->n, &text))) {
        check_json(text);
        tfr_string_free(text);
    }
    if (tfr_fuzz_accepted(tfr_params_make(&params, &config->options, model))) {
        tfr_params_free(params);
    }
    tfr_config_warn_of_idle(config);
    tfr_config_log_sampling(config);
    (void)tfr_config_is_finer(&config->options.runtime_int4_finer, "transformer.h.0.mlp.c_fc.weight");
    tfr_fuzz_require(tfr_head_find(tfr_head_word(model->head)) == model->head && tfr_head_class(model->head)[0] != '\0',
                     "a head is found by its word");
}

int tfr_fuzz_config(const uint8_t *data, size_t size) {
    static const char *const names[] = {"config.json", "generation_config.json", "adapter_config.json"};
    const char *folder = tfr_fuzz_unpack(names, TFR_COUNT_OF(names), data, size);
    size_t flags_size = 0;
    const uint8_t *said = tfr_fuzz_part("flags", data, size, &flags_size);
    struct flags flags = read_flags(said, flags_size);
    struct tfr_config *config = NULL, *surveyed = NULL;
    struct tfr_findings findings = {0};
    const bool loads = tfr_fuzz_accepted(tfr_config_load(&config, folder, flags.list, flags.n));
    tfr_fuzz_require(loads == (config != NULL), "a config that is refused is NULL");
    if (tfr_fuzz_accepted(tfr_config_survey(&surveyed, folder, flags.list, flags.n, &findings))) {
        tfr_fuzz_require((tfr_findings_status(&findings) == TFR_OK) == loads, "a config loads where nothing of it is refused");
        tfr_config_free(surveyed);
    } else {
        tfr_fuzz_require(!loads, "a config that loads can be looked at");
    }
    if (loads) {
        use(folder, config, &flags);
        if (flags.n == 0) {
            char path[1024];
            snprintf(path, sizeof path, "%s/config.json", folder);
            check_copy(path);
        }
        tfr_config_free(config);
    }
    tfr_findings_clear(&findings);
    free(flags.text);
    return 0;
}

int tfr_fuzz_device_map(const uint8_t *data, size_t size) {
    static const char head[] = "{\"n_layer\": 6, \"n_embd\": 8, \"n_head\": 2, \"tfrun\": {\"parallel\": {\"device_map\": ",
                      tail[] = "}}}";
    const size_t n_head = sizeof head - 1, n_tail = sizeof tail - 1;
    struct tfr_config *config;
    char *text = malloc(n_head + size + n_tail);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, head, n_head);
    if (size > 0) {
        memcpy(text + n_head, data, size);
    }
    memcpy(text + n_head + size, tail, n_tail);
    const char *path = tfr_fuzz_write("device_map.json", text, n_head + size + n_tail);
    if (tfr_fuzz_accepted(tfr_config_load(&config, path, NULL, 0))) {
        const struct tfr_device_map *map = &config->device_map;
        tfr_fuzz_require(map->n_blocks == 0 || map->n_blocks == config->model.n_layer, "a map names every block");
        for (int64_t i = 0; i < map->n_blocks; i++) {
            tfr_fuzz_require(map->rank_of_block[i] >= 0 && map->rank_of_block[i] < map->n_ranks, "a block is on a rank");
        }
        tfr_config_free(config);
    }
    free(text);
    return 0;
}

static const struct tfr_config *request_config(void) {
    static struct tfr_config *config;
    if (config == NULL) {
        const struct tfr_override trust = {"trust", TFR_SOURCE_DIR, "fuzz"};
        tfr_fuzz_require(tfr_config_load(&config, tfr_fuzz_model("lm"), &trust, 1) == TFR_OK, "the config of a small model loads");
    }
    return config;
}

/* How much stands before the line of the flags, which may be the last one and have no end. */
static size_t before_flags(const uint8_t *data, const uint8_t *flags) {
    const size_t end = (size_t)(flags - data);
    return end - (data[end - 1] == '\n') - strlen("=== flags");
}

int tfr_fuzz_request(const uint8_t *data, size_t size) {
    size_t flags_size = 0;
    const uint8_t *said = tfr_fuzz_part("flags", data, size, &flags_size);
    struct flags flags = read_flags(said, flags_size);
    const size_t json_size = said != NULL ? before_flags(data, said) : size;
    char *json = malloc(json_size + 1); /* as long as it is */
    if (json == NULL) {
        return 0;
    }
    if (json_size > 0) {
        memcpy(json, data, json_size);
    }
    const struct tfr_request_text text = {
        .overrides = flags.list, .n_overrides = flags.n, .json = json_size > 0 ? json : NULL, .json_size = json_size};
    const struct tfr_config *config = request_config();
    struct tfr_options options;
    struct tfr_params *params;
    if (tfr_fuzz_accepted(tfr_config_request(config, &text, &options)) &&
        tfr_fuzz_accepted(tfr_params_make(&params, &options, &config->model))) {
        tfr_fuzz_require(params->n >= 1 && params->num_beams >= 1, "a request has a text at least");
        tfr_params_free(params);
    }
    tfr_config_request_free(&options);
    if (size > 0 && tfr_fuzz_accepted(json_size > 0 ? tfr_params_parse_json(tfr_fuzz_engine("lm"), json, json_size, &params)
                                                    : tfr_params_parse(tfr_fuzz_engine("lm"), flags.list, flags.n, &params))) {
        struct tfr_params *shared = tfr_params_share(params);
        tfr_fuzz_require(shared->n == params->n, "a request that is shared is the same");
        tfr_params_free(shared);
        tfr_params_free(params);
    }
    free(json);
    free(flags.text);
    return 0;
}
