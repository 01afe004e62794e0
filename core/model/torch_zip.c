/* torch_zip.c - the zip archive that torch.save writes: PREFIX/data.pkl is the state dict, PREFIX/data/KEY a
 * storage.
 *
 * libzip reads the archive out of the mapped file. Storages are stored, not compressed: they are used where
 * they lie. libzip does not say where that is, so our source of bytes notes the place of its last read, and
 * the first read of an entry is its place.
 */
#include <stdio.h>
#include <string.h>
#include <zip.h>

#include "base/arena.h"
#include "base/status.h"
#include "model/torch_parts.h"

enum { MAX_ENTRIES = 1 << 20, MAX_PREFIX = 256, MAX_ENTRY_NAME = 512 };

/* The largest GPT-2 has one of 100 kB. */
#define MAX_PICKLE_BYTES ((size_t)64 << 20)

struct archive {
    const char *name;
    const uint8_t *data;
    size_t size, at;
    size_t last_read; /* where the last read began */
    zip_error_t error;
    zip_t *zip;
    char prefix[MAX_PREFIX];
};

static zip_int64_t read_bytes(struct archive *archive, void *to, size_t n) {
    const size_t left = archive->size - archive->at;
    n = n < left ? n : left;
    memcpy(to, archive->data + archive->at, n);
    archive->last_read = archive->at;
    archive->at += n;
    return (zip_int64_t)n;
}

static zip_int64_t seek(struct archive *archive, void *data, zip_uint64_t size) {
    const zip_int64_t at = zip_source_seek_compute_offset(archive->at, archive->size, data, size, &archive->error);
    if (at < 0) {
        return -1;
    }
    archive->at = (size_t)at;
    return 0;
}

static zip_int64_t stat_source(struct archive *archive, zip_stat_t *facts) {
    zip_stat_init(facts);
    facts->valid = ZIP_STAT_SIZE;
    facts->size = archive->size;
    return sizeof *facts;
}

static zip_int64_t serve(void *user, void *data, zip_uint64_t size, zip_source_cmd_t command) {
    struct archive *archive = user;
    switch (command) {
    case ZIP_SOURCE_OPEN:
        archive->at = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return read_bytes(archive, data, (size_t)size);
    case ZIP_SOURCE_SEEK:
        return seek(archive, data, size);
    case ZIP_SOURCE_TELL:
        return (zip_int64_t)archive->at;
    case ZIP_SOURCE_STAT:
        return stat_source(archive, data);
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&archive->error, data, size);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_SEEKABLE;
    default:
        zip_error_set(&archive->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

static enum tfr_status raise_zip(const struct archive *archive, zip_error_t *error) {
    const enum tfr_status status =
        tfr_raise(TFR_MODEL, "%s: a damaged zip archive: %s; fetch the file again", archive->name, zip_error_strerror(error));
    zip_error_fini(error);
    return status;
}

static enum tfr_status open_archive(struct archive *archive) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_function_create(serve, archive, &error);
    if (source == NULL) {
        return raise_zip(archive, &error);
    }
    archive->zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (archive->zip == NULL) {
        zip_source_free(source);
        return raise_zip(archive, &error);
    }
    zip_error_fini(&error);
    const zip_int64_t n = zip_get_num_entries(archive->zip, 0);
    return n > 0 && n <= MAX_ENTRIES ? TFR_OK
                                     : tfr_raise(TFR_MODEL,
                                                 "%s: a zip archive of %lld entries is none that torch.save "
                                                 "wrote",
                                                 archive->name, (long long)n);
}

/* Where the data of an entry begins: its first byte is read, and where that read was is noted. */
static enum tfr_status locate(struct archive *archive, const zip_stat_t *facts, const uint8_t **data) {
    uint8_t first;
    zip_file_t *file = zip_fopen_index(archive->zip, facts->index, ZIP_FL_UNCHANGED);
    if (file == NULL) {
        return tfr_raise(TFR_MODEL, "%s: entry %s: %s; fetch the file again", archive->name, facts->name,
                         zip_strerror(archive->zip));
    }
    const zip_int64_t n = zip_fread(file, &first, 1);
    const size_t at = archive->last_read;
    zip_fclose(file);
    if (n != 1 || facts->size > archive->size - at || archive->data[at] != first) {
        return tfr_raise(TFR_MODEL, "%s: entry %s is not where the archive says; the file is damaged, fetch it again",
                         archive->name, facts->name);
    }
    *data = archive->data + at;
    return TFR_OK;
}

/* The bytes of PREFIX/name; *data is NULL if there is no such entry. */
static enum tfr_status find_entry(struct archive *archive, const char *name, const uint8_t **data, size_t *size) {
    char path[MAX_ENTRY_NAME];
    zip_stat_t facts;
    snprintf(path, sizeof path, "%s/%s", archive->prefix, name);
    *data = NULL;
    *size = 0;
    if (zip_stat(archive->zip, path, ZIP_FL_ENC_RAW | ZIP_FL_UNCHANGED, &facts) != 0) {
        return TFR_OK;
    }
    const zip_uint64_t wanted =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD | ZIP_STAT_INDEX;
    if ((facts.valid & wanted) != wanted || facts.comp_method != ZIP_CM_STORE || facts.comp_size != facts.size ||
        facts.encryption_method != ZIP_EM_NONE) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: entry %s is compressed or encrypted, which torch.save never does; save the "
                         "weights again with it",
                         archive->name, path);
    }
    *size = (size_t)facts.size;
    if (facts.size == 0) {
        *data = archive->data;
        return TFR_OK;
    }
    facts.name = path;
    return locate(archive, &facts, data);
}

static enum tfr_status find_storage(void *user, const char *key, size_t size, const uint8_t **data) {
    struct archive *archive = user;
    char name[MAX_PREFIX];
    size_t has;
    snprintf(name, sizeof name, "data/%s", key);
    TFR_TRY(find_entry(archive, name, data, &has));
    if (*data == NULL) {
        return tfr_raise(TFR_MODEL, "%s: storage %s is not in the archive; fetch the file again", archive->name, key);
    }
    if (has != size) {
        return tfr_raise(TFR_MODEL, "%s: storage %s has %zu bytes where its tensor says %zu; the file is damaged", archive->name,
                         key, has, size);
    }
    return TFR_OK;
}

/* The folder in which all entries stand, named as the file was when it was written. */
static enum tfr_status read_prefix(struct archive *archive) {
    const char *first = zip_get_name(archive->zip, 0, ZIP_FL_ENC_RAW | ZIP_FL_UNCHANGED);
    const char *slash = first != NULL ? strchr(first, '/') : NULL;
    if (slash == NULL || (size_t)(slash - first) >= sizeof archive->prefix || !tfr_torch_is_plain(first, (size_t)(slash - first))) {
        return tfr_raise(TFR_UNSUPPORTED, "%s: a zip archive that torch.save did not write", archive->name);
    }
    memcpy(archive->prefix, first, (size_t)(slash - first));
    return TFR_OK;
}

static enum tfr_status check_kind(struct archive *archive) {
    const uint8_t *data;
    size_t size;
    TFR_TRY(find_entry(archive, "constants.pkl", &data, &size));
    if (data != NULL) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: this is a TorchScript program, no state dict; save the weights: "
                         "torch.save(model.state_dict(), FILE)",
                         archive->name);
    }
    TFR_TRY(find_entry(archive, "byteorder", &data, &size)); /* since torch 2.1 */
    if (data != NULL && (size != 6 || memcmp(data, "little", 6) != 0)) {
        return tfr_raise(TFR_UNSUPPORTED, "%s: written on a machine of another byte order; save it again on this kind",
                         archive->name);
    }
    return TFR_OK;
}

static enum tfr_status read_archive(struct archive *archive, struct tfr_torch_file *file) {
    const uint8_t *data;
    size_t size;
    TFR_TRY(open_archive(archive));
    TFR_TRY(read_prefix(archive));
    TFR_TRY(check_kind(archive));
    TFR_TRY(find_entry(archive, "data.pkl", &data, &size));
    if (data == NULL || size > MAX_PICKLE_BYTES) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: a zip archive without %.64s/data.pkl, or with one that is too large; "
                         "torch.save did not write it",
                         archive->name, archive->prefix);
    }
    struct tfr_pickle pickle;
    TFR_TRY(tfr_pickle_parse(&pickle, archive->name, data, size));
    const enum tfr_status status = tfr_torch_state(file, archive->name, &pickle, archive->size, find_storage, archive);
    tfr_pickle_clear(&pickle);
    return status;
}

enum tfr_status tfr_torch_zip(struct tfr_torch_file *file, const char *name, const uint8_t *data, size_t size) {
    struct archive archive = {.name = name, .data = data, .size = size};
    zip_error_init(&archive.error);
    const enum tfr_status status = read_archive(&archive, file);
    if (archive.zip != NULL) {
        zip_discard(archive.zip);
    }
    zip_error_fini(&archive.error);
    return status;
}
