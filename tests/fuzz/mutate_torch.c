/* mutate_torch.c - files of torch.save, damaged at random and read: each must be refused with a sentence or be readable to the last
 * byte of every tensor. mutate_torch COUNT SEED FOLDER FILE...: the same mutants for the same seed. FOLDER "-" keeps none;
 * otherwise mutants that were read are written to FOLDER/N.bin and described on stdout, for scripts/check_bin_mutants.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/torch_file.h"

enum { MAX_SEEDS = 64, MAX_EDITS = 6 };

struct bytes {
    uint8_t *at;
    size_t size;
};

static uint64_t state;

/* splitmix64. */
static uint64_t draw(uint64_t n) {
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return n == 0 ? 0 : (z ^ z >> 31) % n;
}

/* Half of the places lie in the first kilobyte, where the pickle is, or in the last one, where the archive's directory is. */
static size_t place(size_t size) {
    const size_t near = size < 1024 ? size : 1024;
    switch (draw(4)) {
    case 0:
        return draw(near);
    case 1:
        return size - 1 - draw(near);
    default:
        return draw(size);
    }
}

static void resize(struct bytes *file, size_t size) {
    file->at = realloc(file->at, size > 0 ? size : 1);
    if (file->at == NULL) {
        exit(EXIT_FAILURE);
    }
    file->size = size;
}

static void overwrite(struct bytes *file) {
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, '.', '(', 't', 'R', 'c', 'h', 'q', 'u', 'Q', '}', ')', 0x86, 0x8a};
    const size_t at = place(file->size);
    switch (draw(3)) {
    case 0:
        file->at[at] ^= (uint8_t)(1u << draw(8));
        break;
    case 1:
        file->at[at] = telling[draw(sizeof telling)];
        break;
    default:
        file->at[at] = (uint8_t)draw(256);
    }
}

/* A piece of another file, or of the same one, over or between what is there. */
static void splice(struct bytes *file, const struct bytes *from) {
    const size_t at = place(file->size), start = place(from->size);
    size_t n = 1 + draw(draw(4) == 0 ? 4096 : 32);
    n = n < from->size - start ? n : from->size - start;
    if (draw(2) == 0) {
        n = n < file->size - at ? n : file->size - at;
    } else {
        const size_t old = file->size;
        resize(file, old + n);
        memmove(file->at + at + n, file->at + at, old - at);
    }
    memcpy(file->at + at, from->at + start, n);
}

static void cut_out(struct bytes *file) {
    const size_t at = place(file->size);
    size_t n = 1 + draw(64);
    n = n < file->size - at ? n : file->size - at;
    memmove(file->at + at, file->at + at + n, file->size - at - n);
    resize(file, file->size - n);
}

static void mutate(struct bytes *file, const struct bytes *seeds, size_t n_seeds) {
    for (uint64_t edits = 1 + draw(MAX_EDITS); edits > 0 && file->size > 0; edits--) {
        switch (draw(16)) {
        case 0:
            resize(file, place(file->size));
            break;
        case 1:
        case 2:
            splice(file, &seeds[draw(n_seeds)]);
            break;
        case 3:
            cut_out(file);
            break;
        default:
            overwrite(file);
        }
    }
}

static void describe(const struct tfr_torch_file *torch, uint64_t number, bool is_shown) {
    for (size_t i = 0; i < torch->n; i++) {
        const struct tfr_torch_entry *entry = &torch->entries[i];
        const struct tfr_tensor tensor = tfr_tensor_make(NULL, entry->dtype, entry->rank, entry->dim);
        const uint64_t hash = tfr_hash(TFR_HASH_START, entry->data, tfr_tensor_bytes(&tensor)); /* reads every byte */
        char shape[96];
        if (is_shown) {
            printf("%llu\t%s\t%s\t%s\t%016llx\n", (unsigned long long)number, entry->name, tfr_dtype_name(entry->dtype),
                   tfr_shape_text(entry->rank, entry->dim, shape, sizeof shape), (unsigned long long)hash);
        }
    }
}

static void keep(const struct bytes *file, const char *folder, uint64_t number) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%llu.bin", folder, (unsigned long long)number);
    FILE *stream = fopen(path, "wb");
    if (stream == NULL || fwrite(file->at, 1, file->size, stream) != file->size || fclose(stream) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
}

/* True if the mutant was read. A refusal is one line that a terminal can show. */
static bool try_mutant(const struct bytes *file, const char *folder, uint64_t number) {
    struct tfr_torch_file torch;
    if (tfr_torch_parse(&torch, "mutant", file->at, file->size) == TFR_OK) {
        const bool is_kept = strcmp(folder, "-") != 0;
        describe(&torch, number, is_kept);
        tfr_torch_clear(&torch);
        if (is_kept) {
            keep(file, folder, number);
        }
        return true;
    }
    const char *text = tfr_failure_text();
    for (const char *c = text; *c != '\0'; c++) {
        if ((uint8_t)*c < ' ' || *c == 0x7f) {
            fprintf(stderr, "mutant %llu: a control character in the refusal: %s\n", (unsigned long long)number, text);
            exit(EXIT_FAILURE);
        }
    }
    if (text[0] == '\0') {
        fprintf(stderr, "mutant %llu is refused without a sentence\n", (unsigned long long)number);
        exit(EXIT_FAILURE);
    }
    return false;
}

int main(int argc, char **argv) {
    struct bytes seeds[MAX_SEEDS];
    const size_t n_seeds = (size_t)argc - 4;
    if (argc < 5 || n_seeds > MAX_SEEDS) {
        fprintf(stderr, "usage: mutate_torch COUNT SEED FOLDER FILE...\n");
        return EXIT_FAILURE;
    }
    for (size_t i = 0; i < n_seeds; i++) {
        if (tfr_file_read(argv[i + 4], (size_t)64 << 20, (char **)&seeds[i].at, &seeds[i].size) != TFR_OK) {
            fprintf(stderr, "%s\n", tfr_failure_text());
            return EXIT_FAILURE;
        }
    }
    const uint64_t count = strtoull(argv[1], NULL, 10);
    uint64_t n_read = 0;
    state = strtoull(argv[2], NULL, 10);
    for (uint64_t i = 0; i < count; i++) {
        const struct bytes *seed = &seeds[draw(n_seeds)];
        struct bytes file = {NULL, 0};
        resize(&file, seed->size); /* exactly as large, so that a read beyond the end is found */
        memcpy(file.at, seed->at, seed->size);
        mutate(&file, seeds, n_seeds);
        n_read += try_mutant(&file, argv[3], i);
        free(file.at);
    }
    for (size_t i = 0; i < n_seeds; i++) {
        tfr_free(seeds[i].at);
    }
    fprintf(stderr, "%llu mutants of %zu files: %llu refused, %llu read\n", (unsigned long long)count, n_seeds,
            (unsigned long long)(count - n_read), (unsigned long long)n_read);
    return EXIT_SUCCESS;
}
