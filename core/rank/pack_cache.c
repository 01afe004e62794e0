/* pack_cache.c - runtime.pack_cache: where this rank's file of packed weights lies, and of what it is made (plan/pack_file.h).
 *
 * Its name says which model, by path, and which part of it; its key says which files of weights, as the system knows them, and
 * which program. So a checkpoint that was written anew finds a file that is stale, which is told and replaced.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "predict/calibration.h"
#include "rank/rank.h"

enum { KEY_SIZE = 1 << 16 };

/* A text of which the end is known. */
struct key {
    char *text;
    size_t used;
};

static void put(struct key *key, const char *what, const char *text) {
    const int n = snprintf(key->text + key->used, KEY_SIZE - key->used, "%s %s\n", what, text);
    key->used = n > 0 && key->used + (size_t)n < KEY_SIZE ? key->used + (size_t)n : KEY_SIZE;
}

/* Its time of change is set by the system alone, whatever was written when. */
static void put_file(struct key *key, const char *what, const struct tfr_file_facts *facts) {
    char line[200];
    snprintf(line, sizeof line, "%lld bytes, inode %lld, written %lld.%09lld, changed %lld.%09lld", (long long)facts->bytes,
             (long long)facts->inode, (long long)facts->written_s, (long long)facts->written_ns, (long long)facts->changed_s,
             (long long)facts->changed_ns);
    put(key, what, line);
}

/* A key that leaves out a file would be that of another one too. */
static enum tfr_status put_code(struct key *key, const char *what, const char *path) {
    struct tfr_file_facts facts;
    if (!tfr_file_facts(path, &facts)) {
        return tfr_raise(TFR_RESOURCE,
                         "%s: cannot be examined: %s; packed weights are kept for code that is known: leave --pack-cache out", path,
                         strerror(errno));
    }
    put_file(key, what, &facts);
    return TFR_OK;
}

/* Where this code was loaded from: another build may pack otherwise under the same version. */
static enum tfr_status put_program(struct key *key) {
    Dl_info info;
    put(key, "tfrun", tfr_version());
    if (dladdr((const void *)(uintptr_t)&tfr_version, &info) == 0) {
        return tfr_raise(TFR_RESOURCE, "the file of this code is not known, and packed weights are kept for code that is: leave "
                                       "--pack-cache out");
    }
    return put_code(key, "library", info.dli_fname);
}

static enum tfr_status put_plugins(struct key *key, const struct tfr_registry *registry) {
    size_t n;
    const struct tfr_registry_entry *entries = tfr_registry_plugins(registry, &n);
    for (size_t i = 0; i < n; i++) {
        const struct tfr_plugin *plugin = entries[i].plugin;
        put(key, "plugin", plugin->name);
        put(key, "version", plugin->version);
        put(key, "build", plugin->build != NULL ? plugin->build : "");
        if (entries[i].path[0] != '\0') {
            TFR_TRY(put_code(key, "of", entries[i].path));
        }
    }
    return TFR_OK;
}

static enum tfr_status make_key(const struct tfr_engine *engine, struct key *key) {
    const struct tfr_weights *weights = engine->model->weights;
    TFR_TRY(put_program(key));
    TFR_TRY(put_plugins(key, engine->registry));
    for (size_t i = 0; tfr_weights_facts(weights, i) != NULL; i++) {
        put_file(key, "weights", tfr_weights_facts(weights, i));
    }
    return key->used < KEY_SIZE ? TFR_OK : tfr_raise(TFR_RESOURCE, "too many files of weights for a file of packed weights");
}

/* The same number for ranks that hold the same part of the same model. */
static uint64_t hash_part(const struct tfr_engine *engine, const char *weights) {
    const struct tfr_placement *placement = &engine->placement;
    const int rank = tfr_engine_rank(engine);
    int64_t first, n;
    tfr_placement_vocabulary(placement, rank, engine->config->model.vocab_size, &first, &n);
    const int64_t numbers[] = {placement->tensor, tfr_placement_shard_of(placement, rank), first, n,
                               tfr_registry_isa(engine->registry)}; /* plugins may tell of it in their builds, in the key */
    uint64_t hash = tfr_hash(tfr_hash(TFR_HASH_START, weights, strlen(weights)), numbers, sizeof numbers);
    for (int64_t block = 0; block < placement->n_blocks; block++) {
        const bool has = tfr_placement_has_block(placement, rank, block);
        hash = tfr_hash(hash, &has, sizeof has);
    }
    return hash;
}

/* Beside the model where that can be written, else in the user's cache. */
static char *folder_of(const struct tfr_config *config) {
    const char *named = config->options.runtime_pack_cache;
    if (strcmp(named, "auto") != 0) {
        return tfr_strdup(named);
    }
    if (access(config->directory, W_OK) == 0) {
        return tfr_strdup(config->directory);
    }
    char *file = tfr_cache_file("packs", "", 0), *folder = file != NULL ? tfr_path_directory(file) : NULL;
    tfr_free(file);
    return folder;
}

static char *path_of(const struct tfr_engine *engine) {
    const char *weights = tfr_weights_file(engine->model->weights, 0);
    char *real = realpath(weights, NULL);
    if (real == NULL) { /* by another name of the weights it would be another file */
        tfr_raise(TFR_RESOURCE, "%s: cannot be examined: %s", weights, strerror(errno));
        return NULL;
    }
    char *folder = folder_of(engine->config), *path = NULL;
    if (folder != NULL && tfr_path_make_folders(folder) == TFR_OK) {
        path = tfr_format("%s/tfrun-%016llx.packs", folder, (unsigned long long)hash_part(engine, real));
    }
    free(real);
    tfr_free(folder);
    return path;
}

/* Without a folder that can be written, or a key, `auto` has nothing to offer, and says so. */
static enum tfr_status use(struct tfr_engine *engine, struct key *key) {
    const bool is_auto = strcmp(engine->config->options.runtime_pack_cache, "auto") == 0;
    char *path = make_key(engine, key) == TFR_OK ? path_of(engine) : NULL;
    if (path == NULL && is_auto) {
        tfr_log(TFR_LOG_WARN, "rank", "packed weights are not kept: %s", tfr_failure_text());
        return TFR_OK;
    }
    const uint32_t mode = tfr_weights_facts(engine->model->weights, 0)->mode;
    const enum tfr_status status = path != NULL ? tfr_store_use_packs(engine->store, path, key->text, mode) : TFR_RESOURCE;
    tfr_free(path);
    return status;
}

/* An empty name is a variable that was not set, and "none" is what other options call it. */
static enum tfr_status check_folder(const char *named) {
    if (named[0] == '\0') {
        return tfr_raise(TFR_USAGE, "--pack-cache: the path is empty; name a folder, or leave it out to keep none");
    }
    if (strcmp(named, "none") == 0 || strcmp(named, "off") == 0) {
        return tfr_raise(TFR_USAGE, "--pack-cache %s: leave it out to keep no packed weights; a folder of that name is ./%s", named,
                         named);
    }
    return TFR_OK;
}

static enum tfr_status use_packs(struct tfr_engine *engine) {
    TFR_TRY(check_folder(engine->config->options.runtime_pack_cache));
    if (engine->model->adapter != NULL || engine->model->lora != NULL) {
        return tfr_raise(TFR_USAGE,
                         "--pack-cache keeps weights as the checkpoint has them, and an adapter changes or adds some; give no "
                         "--pack-cache with an adapter");
    }
    struct key key = {.text = tfr_alloc(KEY_SIZE, 1)};
    const enum tfr_status status = key.text != NULL ? use(engine, &key) : TFR_RESOURCE;
    tfr_free(key.text);
    return status;
}

enum tfr_status tfr_rank_open_store(struct tfr_engine *engine) {
    const struct tfr_options *options = &engine->config->options;
    TFR_TRY(tfr_store_open(&engine->store, engine->model->weights, engine->team, (enum tfr_hugepages)options->runtime_hugepages));
    const bool keeps = options->runtime_pack_cache != NULL && engine->model->weights != NULL;
    return keeps ? use_packs(engine) : TFR_OK;
}
