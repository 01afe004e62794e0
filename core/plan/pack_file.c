/* pack_file.c - see pack_file.h. Numbers in the byte order of the machine: another one finds no magic number. */
#include "plan/pack_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/status.h"

#define MAGIC UINT64_C(0x316b636170726674) /* "tfrpack1" */

enum { PAGE = 4096 };
static const uint64_t piece_bytes = 1 << 20;

/* Followed by the key, the entries and, each at a page of its own, the bytes of the weights. */
struct head {
    uint64_t magic, file_bytes, key_bytes, n_entries;
    uint64_t table_sum; /* of key and entries */
};

struct tfr_pack_file {
    struct tfr_mapfile map;
    const struct tfr_pack_entry *entries;
    size_t n;
};

/* Pieces of all weights in turn, each thread the next one. */
struct sums {
    const void *const *data;
    const struct tfr_pack_entry *entries;
    size_t n;
    _Atomic uint64_t *sum; /* [n] */
    atomic_size_t next;
};

static bool find_piece(const struct sums *sums, size_t index, size_t *entry, uint64_t *at) {
    for (*entry = 0; *entry < sums->n; (*entry)++) {
        const uint64_t pieces = (sums->entries[*entry].bytes + piece_bytes - 1) / piece_bytes;
        if (index < pieces) {
            *at = index * piece_bytes;
            return true;
        }
        index -= pieces;
    }
    return false;
}

static void sum_part(void *arg, int tid, int nth) {
    struct sums *sums = arg;
    size_t entry;
    uint64_t at;
    (void)tid, (void)nth;
    while (find_piece(sums, atomic_fetch_add(&sums->next, 1), &entry, &at)) {
        const uint64_t left = sums->entries[entry].bytes - at;
        const uint8_t *data = (const uint8_t *)sums->data[entry] + at;
        atomic_fetch_add(&sums->sum[entry], tfr_hash_fast(at, data, (size_t)(left < piece_bytes ? left : piece_bytes)));
    }
}

/* sum[i]: of the bytes of entry i. Free with tfr_free; NULL after raising. */
static _Atomic uint64_t *sum_all(const struct tfr_pack_entry *entries, const void *const *data, size_t n, struct tfr_team *team) {
    struct sums sums = {.data = data, .entries = entries, .n = n, .sum = tfr_alloc(n + 1, sizeof *sums.sum)};
    if (sums.sum != NULL) {
        tfr_team_run(team, sum_part, &sums);
    }
    return sums.sum;
}

static uint64_t sum_table(const char *key, uint64_t key_bytes, const struct tfr_pack_entry *entries, uint64_t n) {
    return tfr_hash(tfr_hash(TFR_HASH_START, key, (size_t)key_bytes), entries, (size_t)n * sizeof *entries);
}

static uint64_t page_up(uint64_t value) {
    return (value + PAGE - 1) / PAGE * PAGE;
}

/* Entries begin at a multiple of 8. */
static uint64_t entries_at(uint64_t key_bytes) {
    return (sizeof(struct head) + key_bytes + 7) / 8 * 8;
}

/* What makes the file useless, "" if nothing. */
static const char *look(const struct tfr_mapfile *map, const char *key, struct head *head) {
    if (map->size < sizeof *head) {
        return "it is cut short";
    }
    memcpy(head, map->data, sizeof *head);
    if (head->magic != MAGIC) {
        return "it is no file of packed weights of this version";
    }
    if (head->file_bytes != map->size || head->key_bytes > map->size ||
        head->n_entries > map->size / sizeof(struct tfr_pack_entry) ||
        entries_at(head->key_bytes) + head->n_entries * sizeof(struct tfr_pack_entry) > map->size) {
        return "it is cut short";
    }
    const char *found = (const char *)map->data + sizeof *head;
    if (head->key_bytes != strlen(key) + 1 || memcmp(found, key, (size_t)head->key_bytes) != 0) {
        return "it was made of another checkpoint, or by another program";
    }
    const struct tfr_pack_entry *entries = (const void *)(map->data + entries_at(head->key_bytes));
    if (sum_table(key, head->key_bytes, entries, head->n_entries) != head->table_sum) {
        return "its table is damaged";
    }
    for (uint64_t i = 0; i < head->n_entries; i++) {
        const bool ends = memchr(entries[i].name, '\0', sizeof entries[i].name) != NULL &&
                          memchr(entries[i].format, '\0', sizeof entries[i].format) != NULL;
        if (!ends || entries[i].offset > map->size || entries[i].bytes > map->size - entries[i].offset ||
            entries[i].offset % PAGE != 0) {
            return "its table is damaged";
        }
    }
    return "";
}

/* Reads all of it once, by all threads: its pages are in this process then. */
static enum tfr_status check_bytes(const struct tfr_pack_file *file, struct tfr_team *team, const char **fault) {
    const void **data = tfr_alloc(file->n + 1, sizeof *data);
    if (data == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < file->n; i++) {
        data[i] = file->map.data + file->entries[i].offset;
    }
    _Atomic uint64_t *sums = sum_all(file->entries, data, file->n, team);
    for (size_t i = 0; sums != NULL && i < file->n; i++) {
        *fault = atomic_load(&sums[i]) != file->entries[i].sum ? "a weight in it is damaged" : *fault;
    }
    const enum tfr_status status = sums != NULL ? TFR_OK : TFR_RESOURCE;
    tfr_free(sums);
    tfr_free(data);
    return status;
}

/* Whoever may write the file may choose the weights: only the user and the system's owner are taken for that. */
static const char *look_at_owner(const struct tfr_file_facts *facts) {
    if (facts->owner != geteuid() && facts->owner != 0) {
        return "it belongs to another user";
    }
    return (facts->mode & (S_IWGRP | S_IWOTH)) != 0 ? "others may write it" : "";
}

/* One that another user keeps to itself is no more use than a damaged one. */
static bool is_kept_from_us(const char *path) {
    return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0 && errno == EACCES;
}

static enum tfr_status check(struct tfr_pack_file *file, const char *path, const char *key, struct tfr_team *team,
                             const char **fault) {
    struct head head;
    if (is_kept_from_us(path)) {
        *fault = "this user may not read it";
        return TFR_OK;
    }
    TFR_TRY(tfr_mapfile_open(&file->map, path));
    *fault = look_at_owner(&file->map.facts);
    *fault = (*fault)[0] == '\0' ? look(&file->map, key, &head) : *fault;
    if ((*fault)[0] != '\0') {
        return TFR_OK;
    }
    file->entries = (const void *)(file->map.data + entries_at(head.key_bytes));
    file->n = (size_t)head.n_entries;
    return check_bytes(file, team, fault);
}

enum tfr_status tfr_pack_file_open(struct tfr_pack_file **file, const char *path, const char *key, struct tfr_team *team) {
    const char *fault = "";
    *file = NULL;
    if (!tfr_path_exists(path)) {
        return TFR_OK;
    }
    struct tfr_pack_file *opened = tfr_alloc(1, sizeof *opened);
    if (opened == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = check(opened, path, key, team, &fault);
    if (status == TFR_OK && fault[0] == '\0') {
        *file = opened;
        return TFR_OK;
    }
    tfr_pack_file_close(opened);
    if (status == TFR_OK) {
        tfr_log(TFR_LOG_WARN, "plan", "%s is not used: %s; weights are packed anew", path, fault);
    }
    return status;
}

void tfr_pack_file_close(struct tfr_pack_file *file) {
    if (file != NULL) {
        tfr_mapfile_close(&file->map);
        tfr_free(file);
    }
}

bool tfr_pack_entry_same(const struct tfr_pack_entry *a, const struct tfr_pack_entry *b) {
    return strcmp(a->name, b->name) == 0 && strcmp(a->format, b->format) == 0 && a->first == b->first && a->n == b->n &&
           memcmp(a->slice, b->slice, sizeof a->slice) == 0 && a->exact == b->exact &&
           (a->exact != 0 || (a->dtype == b->dtype && a->bytes == b->bytes));
}

const struct tfr_pack_entry *tfr_pack_file_find(const struct tfr_pack_file *file, const struct tfr_pack_entry *wanted) {
    for (size_t i = 0; file != NULL && i < file->n; i++) {
        if (tfr_pack_entry_same(&file->entries[i], wanted)) {
            return &file->entries[i];
        }
    }
    return NULL;
}

const void *tfr_pack_file_data(const struct tfr_pack_file *file, const struct tfr_pack_entry *entry) {
    return file->map.data + entry->offset;
}

const struct tfr_pack_entry *tfr_pack_file_entries(const struct tfr_pack_file *file, size_t *n) {
    *n = file != NULL ? file->n : 0;
    return file != NULL ? file->entries : NULL;
}

static enum tfr_status write_to(struct tfr_outfile *out, const void *data, uint64_t size, uint64_t *at) {
    *at += size;
    return tfr_outfile_write(out, data, (size_t)size);
}

static enum tfr_status write_until(struct tfr_outfile *out, uint64_t end, uint64_t *at) {
    static const uint8_t zeros[PAGE];
    return write_to(out, zeros, end - *at, at);
}

static enum tfr_status write_all(struct tfr_outfile *out, const struct head *head, const char *key,
                                 const struct tfr_pack_entry *entries, const void *const *data) {
    uint64_t at = 0;
    TFR_TRY(write_to(out, head, sizeof *head, &at));
    TFR_TRY(write_to(out, key, head->key_bytes, &at));
    TFR_TRY(write_until(out, entries_at(head->key_bytes), &at));
    TFR_TRY(write_to(out, entries, head->n_entries * sizeof *entries, &at));
    for (uint64_t i = 0; i < head->n_entries; i++) {
        if (entries[i].bytes > 0) {
            TFR_TRY(write_until(out, entries[i].offset, &at));
            TFR_TRY(write_to(out, data[i], entries[i].bytes, &at));
        }
    }
    return write_until(out, head->file_bytes, &at);
}

static struct head lay_out(const char *key, struct tfr_pack_entry *entries, size_t n) {
    struct head head = {.magic = MAGIC, .key_bytes = strlen(key) + 1, .n_entries = n};
    uint64_t at = page_up(entries_at(head.key_bytes) + n * sizeof *entries);
    for (size_t i = 0; i < n; i++) {
        entries[i].offset = at;
        at = page_up(at + entries[i].bytes);
    }
    head.file_bytes = at;
    head.table_sum = sum_table(key, head.key_bytes, entries, n);
    return head;
}

/* The file has what the umask left of 0666. */
static enum tfr_status set_mode(struct tfr_outfile *out, uint32_t mode) {
    struct stat facts;
    const int fd = fileno(out->stream);
    if (fstat(fd, &facts) != 0 || fchmod(fd, (facts.st_mode & mode & (S_IRGRP | S_IROTH)) | S_IRUSR | S_IWUSR) != 0) {
        return tfr_raise(TFR_RESOURCE, "%s: its mode cannot be set: %s", out->path, strerror(errno));
    }
    return TFR_OK;
}

enum tfr_status tfr_pack_file_write(const char *path, const char *key, uint32_t mode, struct tfr_pack_entry *entries,
                                    const void *const *data, size_t n, struct tfr_team *team) {
    _Atomic uint64_t *sums = sum_all(entries, data, n, team);
    if (sums == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < n; i++) {
        entries[i].sum = atomic_load(&sums[i]);
    }
    tfr_free(sums);
    const struct head head = lay_out(key, entries, n);
    struct tfr_outfile out;
    TFR_TRY(tfr_outfile_open_in_place(&out, path)); /* beside a model that may be a stranger's, under a name that it may guess */
    enum tfr_status status = write_all(&out, &head, key, entries, data);
    if (status == TFR_OK) {
        status = set_mode(&out, mode);
    }
    if (status != TFR_OK) {
        tfr_outfile_abandon(&out);
        return status;
    }
    return tfr_outfile_commit(&out);
}
