/* harness.c - see harness.h. */
#include "harness.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"

enum { MOST_PATH = 512 };

static char folder[MOST_PATH / 2];

/* ---- the rule ------------------------------------------------------------------------------------------------ */

void tfr_fuzz_require(bool holds, const char *law) {
    if (!holds) {
        dprintf(STDERR_FILENO, "fuzz: this does not hold: %s\nfuzz: the last failure was: %s\n", law, tfr_failure_text());
        abort();
    }
}

void tfr_fuzz_check_sentence(const char *text) {
    tfr_fuzz_require(text[0] != '\0', "a refusal has a sentence");
    for (const char *at = text; *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)*at;
        tfr_fuzz_require((byte >= 0x20 || byte == '\n' || byte == '\t') && byte != 0x7f, "a sentence has no control characters");
    }
}

void tfr_fuzz_check_refusal(enum tfr_status status) {
    tfr_fuzz_require(status > TFR_OK && status < TFR_STATUS_COUNT, "a failure has a status of the list");
    tfr_fuzz_check_sentence(tfr_failure_text());
}

bool tfr_fuzz_accepted(enum tfr_status status) {
    if (status != TFR_OK) {
        tfr_fuzz_check_refusal(status);
    }
    return status == TFR_OK;
}

/* ---- files ---------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *where) {
    (void)facts, (void)type, (void)where;
    return remove(path);
}

static void remove_folder(void) {
    if (folder[0] != '\0') {
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        folder[0] = '\0';
    }
}

static void make_folder(void) {
    static const char shm[] = "/dev/shm";
    const char *given = getenv("TMPDIR");
    const char *base = given != NULL && given[0] != '\0' ? given : access(shm, W_OK) == 0 ? shm : P_tmpdir;
    const int length = snprintf(folder, sizeof folder, "%s/tfr-fuzz-XXXXXX", base);
    if (length >= (int)sizeof folder || mkdtemp(folder) == NULL) {
        fprintf(stderr, "fuzz: %s: %s\n", folder, strerror(errno));
        exit(EXIT_FAILURE);
    }
    atexit(remove_folder);
}

static void hush(void *user, enum tfr_log_level level, const char *area, const char *text) {
    (void)user, (void)level, (void)area, (void)text;
}

void tfr_fuzz_start(void) {
    static bool is_started;
    if (!is_started) {
        is_started = true;
        tfr_log_set_callback(hush, NULL);
        make_folder();
        setenv("XDG_CACHE_HOME", folder, 1); /* no file of the user's is read or written */
        setenv("HOME", folder, 1);
    }
}

void tfr_fuzz_hush(void) {
    static bool is_hushed;
    if (!is_hushed && getenv("TFR_FUZZ_VERBOSE") == NULL) {
        is_hushed = true;
        stderr = fopen("/dev/null", "w");
    }
}

const char *tfr_fuzz_path(const char *name) {
    static char path[MOST_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    const bool written = file != NULL && (size == 0 || fwrite(data, 1, size, file) == size);
    if (file == NULL || fclose(file) != 0 || !written) {
        fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
}

const char *tfr_fuzz_write(const char *name, const void *data, size_t size) {
    const char *path = tfr_fuzz_path(name);
    write_file(path, data, size);
    return path;
}

/* ---- an input that stands for several files ------------------------------------------------------------------- */

static const char mark[] = "=== ";

/* The next line that begins with the mark, from `at` on, which begins a line; `size` without one. */
static size_t next_mark(const uint8_t *data, size_t size, size_t at) {
    const size_t length = sizeof mark - 1;
    while (at < size) {
        if (size - at >= length && memcmp(data + at, mark, length) == 0) {
            return at;
        }
        const uint8_t *end = memchr(data + at, '\n', size - at);
        at = end != NULL ? (size_t)(end - data) + 1 : size;
    }
    return size;
}

struct part {
    const char *name;
    const uint8_t *data;
    size_t name_size, size;
};

/* Of the line at `at`; *next is where the following one begins. */
static struct part read_part(const uint8_t *data, size_t size, size_t at, size_t *next) {
    const uint8_t *name = data + at + sizeof mark - 1;
    const size_t left = size - (size_t)(name - data);
    const uint8_t *end = memchr(name, '\n', left);
    const size_t name_size = end != NULL ? (size_t)(end - name) : left;
    const size_t begin = (size_t)(name - data) + name_size + (end != NULL);
    *next = next_mark(data, size, begin);
    /* the line end before the next mark belongs to it, so that a file may end without one */
    return (struct part){.name = (const char *)name,
                         .data = data + begin,
                         .name_size = name_size,
                         .size = *next - begin - (*next<size && * next> begin)};
}

static bool has_name(const struct part *part, const char *name) {
    return strlen(name) == part->name_size && memcmp(name, part->name, part->name_size) == 0;
}

const uint8_t *tfr_fuzz_part(const char *name, const uint8_t *data, size_t size, size_t *part_size) {
    for (size_t at = next_mark(data, size, 0); at < size;) {
        const struct part part = read_part(data, size, at, &at);
        if (has_name(&part, name)) {
            *part_size = part.size;
            return part.data;
        }
    }
    return NULL;
}

const char *tfr_fuzz_unpack(const char *const *names, size_t n, const uint8_t *data, size_t size) {
    static char input[MOST_PATH];
    char path[2 * MOST_PATH];
    snprintf(input, sizeof input, "%s/input", folder);
    nftw(input, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (mkdir(input, 0700) != 0) {
        fprintf(stderr, "fuzz: %s: %s\n", input, strerror(errno));
        exit(EXIT_FAILURE);
    }
    for (size_t at = next_mark(data, size, 0); at < size;) {
        const struct part part = read_part(data, size, at, &at);
        for (size_t i = 0; i < n; i++) {
            if (has_name(&part, names[i])) {
                snprintf(path, sizeof path, "%s/%s", input, names[i]);
                write_file(path, part.data, part.size);
            }
        }
    }
    return input;
}

char *tfr_fuzz_text(const uint8_t *data, size_t size) {
    const uint8_t *end = size > 0 ? memchr(data, '\0', size) : NULL;
    const size_t length = end != NULL ? (size_t)(end - data) : size;
    char *text = malloc(length + 1);
    if (text == NULL) {
        exit(EXIT_FAILURE);
    }
    if (length > 0) {
        memcpy(text, data, length);
    }
    text[length] = '\0';
    return text;
}
