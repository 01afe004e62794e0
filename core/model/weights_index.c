/* weights_index.c - the index of a sharded checkpoint: each shard is opened once, and the map must be true.
 */
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "model/weights_internal.h"

enum { MAX_SHARDS = 4096 };

static bool has_shard(const struct tfr_weights *weights, const char *name) {
    for (size_t i = weights->n_files; i > 0; i--) { /* the last one is the likeliest */
        if (strcmp(weights->shard_names[i - 1], name) == 0) {
            return true;
        }
    }
    return false;
}

static enum tfr_status add_shard(struct tfr_weights *weights, const char *index_path, const char *directory, const char *name) {
    if (name[0] == '\0' || strchr(name, '/') != NULL || strstr(name, "..") != NULL) {
        return tfr_raise(TFR_MODEL, "%s: shard name \"%.200s\" is not a plain file name beside the index", index_path, name);
    }
    if (has_shard(weights, name)) {
        return TFR_OK;
    }
    if (weights->n_files >= MAX_SHARDS) {
        return tfr_raise(TFR_MODEL, "%s: names more than %d shards", index_path, MAX_SHARDS);
    }
    char *path = tfr_path_join(directory, name);
    if (path == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status;
    if (tfr_path_exists(path)) {
        status = tfr_weights_add_file(weights, path, name);
    } else {
        status = tfr_raise(TFR_RESOURCE, "%s: shard %s is not there; every file named in the index is needed", index_path, path);
    }
    tfr_free(path);
    return status;
}

/* The shards named in the map, each once, in the order of the map. */
static enum tfr_status add_shards(struct tfr_weights *weights, const char *path, const tfr_json *map) {
    char *directory = tfr_path_directory(path);
    if (directory == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = TFR_OK;
    for (const tfr_json *node = tfr_json_first(map); node != NULL && status == TFR_OK; node = tfr_json_next(node)) {
        const char *shard = tfr_json_string(node);
        if (shard == NULL) {
            status = tfr_raise(TFR_MODEL, "%s: weight_map.%s must be a file name", path, tfr_json_key(node));
        } else {
            status = add_shard(weights, path, directory, shard);
        }
    }
    tfr_free(directory);
    return status;
}

static enum tfr_status add_absent(struct tfr_weights *weights, const char *name) {
    char **absent = tfr_realloc(weights->absent, weights->n_absent + 1, sizeof(*absent));
    if (absent == NULL) {
        return TFR_RESOURCE;
    }
    weights->absent = absent;
    absent[weights->n_absent] = tfr_strdup(name);
    return absent[weights->n_absent] != NULL ? (weights->n_absent++, TFR_OK) : TFR_RESOURCE;
}

/* Every name of the map is in the shard that the map says, or nowhere: if a parameter needs it, that one is
 * missing. */
static enum tfr_status check_map(struct tfr_weights *weights, const char *path, const tfr_json *map) {
    for (const tfr_json *node = tfr_json_first(map); node != NULL; node = tfr_json_next(node)) {
        const struct tfr_weight *weight = tfr_weights_find(weights, tfr_json_key(node));
        if (weight == NULL) {
            TFR_TRY(add_absent(weights, tfr_json_key(node)));
            continue;
        }
        const char *slash = strrchr(weight->file, '/');
        const char *file = slash == NULL ? weight->file : slash + 1;
        if (strcmp(file, tfr_json_string(node)) != 0) {
            return tfr_raise(TFR_MODEL, "%s: tensor %s should be in %s but is in %s", path, tfr_json_key(node),
                             tfr_json_string(node), file);
        }
    }
    return TFR_OK;
}

static enum tfr_status read_index(struct tfr_weights *weights, const char *path, const struct tfr_json_doc *doc) {
    const tfr_json *map = tfr_json_member(tfr_json_root(doc), "weight_map");
    if (map == NULL || tfr_json_kind(map) != TFR_JSON_OBJECT || tfr_json_size(map) == 0) {
        return tfr_raise(TFR_MODEL, "%s: has no weight_map; this is not the index of a sharded model", path);
    }
    TFR_TRY(add_shards(weights, path, map));
    TFR_TRY(tfr_weights_build_slots(weights));
    return check_map(weights, path, map);
}

enum tfr_status tfr_weights_open_index(struct tfr_weights *weights, const char *path) {
    struct tfr_json_doc *doc = NULL;
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_MODEL));
    const enum tfr_status status = read_index(weights, path, doc);
    tfr_json_close(doc);
    return status;
}
