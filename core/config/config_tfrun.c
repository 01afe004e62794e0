/* config_tfrun.c - the key "tfrun": nested objects to the dotted keys of config.def, and the one key whose
 * value is an object, parallel.device_map. An unknown key is an error: a misspelt option must not pass in
 * silence. */
#include "config/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

/* Behind so many complaints no nearest name is told: to look for each takes its time. */
enum { MAX_KEY = 256, MAX_DEVICES = 65536, MAX_NEAREST = 1000 };

static void unknown_key(struct tfr_config_reader *reader, const tfr_json *node, const char *prefix) {
    char nearest[128];
    if (reader->complaints.n < MAX_NEAREST && tfr_option_nearest(prefix, tfr_json_key(node), nearest, sizeof(nearest))) {
        tfr_config_complain(reader, node, TFR_CONFIG, "unknown key tfrun.%s%s; did you mean \"%s\"?", prefix, tfr_json_key(node),
                            nearest);
    } else {
        tfr_config_complain(reader, node, TFR_CONFIG, "unknown key tfrun.%s%s; docs/config.md lists the known ones", prefix,
                            tfr_json_key(node));
    }
}

static void read_option(struct tfr_config_reader *reader, int option, const tfr_json *node) {
    char why[512];
    size_t n;
    const enum tfr_status status = tfr_option_from_json(reader, option, node, why, sizeof(why));
    if (status != TFR_OK) {
        tfr_config_complain(reader, node, status, "tfrun.%s = %s", tfr_option_table(&n)[option].key, why);
    } else if (tfr_json_kind(node) != TFR_JSON_NULL) {
        reader->config->origin[option] = TFR_ORIGIN_FILE;
    }
}

/* Members of the object at `prefix` ("" or "sampling."). */
static void read_members(struct tfr_config_reader *reader, const tfr_json *object, const char *prefix) {
    for (const tfr_json *node = tfr_json_first(object); node != NULL; node = tfr_json_next(node)) {
        char key[MAX_KEY];
        snprintf(key, sizeof(key) - 1, "%s%s", prefix, tfr_json_key(node));
        const bool dotted = strchr(tfr_json_key(node), '.') != NULL; /* sections are objects, else two spellings could clash */
        const int option = dotted ? -1 : tfr_option_find(key);
        if (option >= 0) {
            read_option(reader, option, node);
        } else if (!dotted && strcmp(key, "parallel.device_map") == 0) {
            tfr_config_read_device_map(reader, node);
        } else if (dotted || !tfr_option_is_section(key)) {
            unknown_key(reader, node, prefix);
        } else if (tfr_json_kind(node) != TFR_JSON_OBJECT) {
            tfr_config_complain(reader, node, TFR_CONFIG, "tfrun.%s is %s; it must be an object", key,
                                tfr_json_kind_name(tfr_json_kind(node)));
        } else {
            char section[MAX_KEY + 1];
            snprintf(section, sizeof(section), "%s.", key);
            read_members(reader, node, section);
        }
    }
}

/* The three sources of a prompt exclude each other. */
static void check_inputs(struct tfr_config_reader *reader, const tfr_json *object) {
    const struct tfr_options *options = &reader->config->options;
    const int n = (options->input_prompt != NULL) + (options->input_prompts.n > 0) + (options->input_file != NULL);
    if (n > 1) {
        tfr_config_complain(reader, tfr_json_member(object, "input"), TFR_CONFIG,
                            "tfrun.input names %d sources; give one of prompt, prompts and file", n);
    }
}

void tfr_config_read_tfrun(struct tfr_config_reader *reader, const tfr_json *object) {
    if (tfr_json_kind(object) != TFR_JSON_OBJECT) {
        tfr_config_complain(reader, object, TFR_CONFIG, "tfrun is %s; it must be an object",
                            tfr_json_kind_name(tfr_json_kind(object)));
        return;
    }
    read_members(reader, object, "");
    check_inputs(reader, object);
}

/* Blocks named while reading a map: how often each one of the model was, and those that it does not have. */
struct map_reading {
    struct tfr_config_reader *reader;
    int *rank_of_block; /* [n_layer], -1 not named yet */
    bool *is_duplicate; /* [n_layer] */
    char unknown[128];  /* list for the message */
    int n_ranks;
    bool failed;
};

/* Appends "3" or ", 3"; a full list ends in "...". */
static void list_number(char *list, size_t size, int64_t number) {
    const size_t used = strlen(list);
    if (used + 28 < size) {
        snprintf(list + used, size - used, "%s%lld", used > 0 ? ", " : "", (long long)number);
    } else if (used + 5 < size && strcmp(list + used - 3, "...") != 0) {
        snprintf(list + used, size - used, ", ...");
    }
}

static bool parse_device(const char *key, int *device) {
    int value = 0;
    for (const char *at = key; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || value >= MAX_DEVICES) {
            return false;
        }
        value = 10 * value + (*at - '0');
    }
    *device = value;
    return key[0] != '\0' && value < MAX_DEVICES && (key[0] != '0' || key[1] == '\0');
}

static void map_problem(struct map_reading *reading, const tfr_json *node, const char *words, const char *detail) {
    tfr_config_complain(reading->reader, node, TFR_CONFIG, "tfrun.parallel.device_map %s%s", words, detail);
    reading->failed = true;
}

static void read_blocks(struct map_reading *reading, int device, const tfr_json *list) {
    const int64_t n_layer = reading->reader->config->model.n_layer;
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        int64_t block;
        if (!tfr_json_int64(reading->reader->doc, item, &block)) {
            char shown[64];
            map_problem(reading, item,
                        "names a block that is not a whole number: ", tfr_json_value_text(item, shown, sizeof(shown)));
            return; /* the next ones would be told with the whole list each */
        } else if (block < 0 || block >= n_layer) {
            list_number(reading->unknown, sizeof(reading->unknown), block);
        } else if (reading->rank_of_block[block] >= 0) {
            reading->is_duplicate[block] = true;
        } else {
            reading->rank_of_block[block] = device;
        }
    }
}

static void read_devices(struct map_reading *reading, const tfr_json *object) {
    for (const tfr_json *node = tfr_json_first(object); node != NULL; node = tfr_json_next(node)) {
        int device;
        if (!parse_device(tfr_json_key(node), &device)) {
            map_problem(reading, node, "has a key that is not a rank number: ", tfr_json_key(node));
        } else if (tfr_json_kind(node) != TFR_JSON_ARRAY || tfr_json_size(node) == 0) {
            map_problem(reading, node, "must list at least one block for rank ", tfr_json_key(node));
        } else {
            read_blocks(reading, device, node);
            reading->n_ranks = device + 1 > reading->n_ranks ? device + 1 : reading->n_ranks;
        }
    }
}

/* Hugging Face's checks in its order; the first that fails is the one reported. */
static void check_map(struct map_reading *reading, const tfr_json *object) {
    const int64_t n_layer = reading->reader->config->model.n_layer;
    char duplicates[128] = "", missing[128] = "";
    for (int64_t block = 0; block < n_layer; block++) {
        if (reading->is_duplicate[block]) {
            list_number(duplicates, sizeof(duplicates), block);
        } else if (reading->rank_of_block[block] < 0) {
            list_number(missing, sizeof(missing), block);
        }
    }
    if (duplicates[0] != '\0') {
        map_problem(reading, object, "names blocks more than once: ", duplicates);
    } else if (missing[0] != '\0') {
        map_problem(reading, object, "leaves out blocks: ", missing);
    } else if (reading->unknown[0] != '\0') {
        map_problem(reading, object, "names blocks that the model does not have: ", reading->unknown);
    }
}

void tfr_config_read_device_map(struct tfr_config_reader *reader, const tfr_json *object) {
    struct tfr_config *config = reader->config;
    const int64_t n_layer = config->model.n_layer;
    struct map_reading reading = {.reader = reader};
    if (tfr_json_kind(object) == TFR_JSON_NULL) { /* takes back the map of an earlier source */
        tfr_free(config->device_map.rank_of_block);
        config->device_map = (struct tfr_device_map){0};
        return;
    }
    if (tfr_json_kind(object) != TFR_JSON_OBJECT) {
        map_problem(&reading, object, "must be an object of lists, as in {\"0\": [0, 1], \"1\": [2, 3]}", "");
        return;
    }
    reading.rank_of_block = tfr_alloc((size_t)n_layer, sizeof(int));
    reading.is_duplicate = tfr_alloc((size_t)n_layer, sizeof(bool));
    if (reading.rank_of_block == NULL || reading.is_duplicate == NULL) {
        tfr_config_complain(reader, object, TFR_RESOURCE, "tfrun.parallel.device_map: no memory for its blocks");
        reading.failed = true;
        goto out;
    }
    for (int64_t block = 0; block < n_layer; block++) {
        reading.rank_of_block[block] = -1;
    }
    read_devices(&reading, object);
    if (!reading.failed) {
        check_map(&reading, object);
    }
out:
    tfr_free(reading.is_duplicate);
    if (reading.failed) {
        tfr_free(reading.rank_of_block);
        return;
    }
    tfr_free(config->device_map.rank_of_block);
    config->device_map =
        (struct tfr_device_map){.rank_of_block = reading.rank_of_block, .n_blocks = n_layer, .n_ranks = reading.n_ranks};
}
