/* keys.c - see keys.h. */
#include "app/http/keys.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "app/http/server.h"

enum { LEAST_KEY = 8, MOST_KEY = 255, MOST_KEYS = 1024 };

/* Padded with zeros to one length, so that all comparisons take the same time. */
struct key {
    uint8_t bytes[MOST_KEY + 1];
};

struct tfr_keys {
    struct key *list;
    size_t n;
};

static bool add(struct tfr_keys *keys, const char *text, size_t length, const char *where, char *error, size_t size) {
    if (length < LEAST_KEY || length > MOST_KEY || keys->n == MOST_KEYS) {
        if (keys->n == MOST_KEYS) {
            snprintf(error, size, "%s: more than %d keys", where, MOST_KEYS);
        } else {
            snprintf(error, size, "%s: key %zu has %zu characters; give %d to %d", where, keys->n + 1, length, LEAST_KEY, MOST_KEY);
        }
        return false;
    }
    struct key *grown = realloc(keys->list, (keys->n + 1) * sizeof *grown);
    if (grown == NULL) {
        snprintf(error, size, "%s: no memory for the keys", where);
        return false;
    }
    keys->list = grown;
    keys->list[keys->n] = (struct key){{0}};
    memcpy(keys->list[keys->n++].bytes, text, length);
    return true;
}

/* Parts of a text between separators, without blanks around them; those that begin with # are comments. */
static bool add_all(struct tfr_keys *keys, const char *text, const char *separators, const char *where, char *error, size_t size) {
    while (*text != '\0') {
        size_t length = strcspn(text, separators);
        const char *next = text + length + (text[length] != '\0');
        for (; length > 0 && strchr(" \t\r", text[length - 1]) != NULL; length--) {
        }
        for (; length > 0 && strchr(" \t", *text) != NULL; length--) {
            text++;
        }
        if (length > 0 && *text != '#' && !add(keys, text, length, where, error, size)) {
            return false;
        }
        text = next;
    }
    return true;
}

static bool add_file(struct tfr_keys *keys, const char *path, char *error, size_t size) {
    enum { MOST_BYTES = 1 << 19 };
    FILE *file = fopen(path, "rb");
    char *text = file != NULL ? calloc(1, MOST_BYTES) : NULL;
    struct stat facts;
    if (text == NULL) {
        snprintf(error, size, "%s: the keys can't be read: %s", path, strerror(errno));
        if (file != NULL) {
            fclose(file);
        }
        return false;
    }
    const size_t n = fread(text, 1, MOST_BYTES - 1, file);
    bool good = !ferror(file) && strlen(text) == n && n < MOST_BYTES - 1;
    if (!good) {
        snprintf(error, size, "%s: not a file of keys: one a line, less than %d bytes", path, MOST_BYTES - 1);
    } else if (fstat(fileno(file), &facts) == 0 && (facts.st_mode & 0077) != 0) {
        tfr_server_tell("warning: %s: others may read the keys; chmod 600 it", path);
    }
    fclose(file);
    good = good && add_all(keys, text, "\n", path, error, size);
    if (good && keys->n == 0) {
        snprintf(error, size, "%s: there is no key in it; write one a line", path);
        good = false;
    }
    free(text);
    return good;
}

struct tfr_keys *tfr_keys_open(const char *path, char *error, size_t size) {
    static const char variable[] = "TFRUN_API_KEYS";
    struct tfr_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL) {
        snprintf(error, size, "no memory for the keys");
        return NULL;
    }
    const char *given = getenv(variable);
    const bool good = (path == NULL || add_file(keys, path, error, size)) &&
                      (given == NULL || add_all(keys, given, ",\n", variable, error, size));
    unsetenv(variable); /* of no use to whatever is started from here */
    if (!good) {
        tfr_keys_close(keys);
        return NULL;
    }
    return keys;
}

void tfr_keys_close(struct tfr_keys *keys) {
    if (keys != NULL) {
        free(keys->list);
        free(keys);
    }
}

size_t tfr_keys_count(const struct tfr_keys *keys) {
    return keys->n;
}

static const char scheme[] = "Bearer ";

bool tfr_keys_bears(const char *authorization) {
    return authorization != NULL && strncasecmp(authorization, scheme, sizeof scheme - 1) == 0;
}

int tfr_keys_find(const struct tfr_keys *keys, const char *authorization) {
    struct key given = {{0}};
    int found = -1;
    const char *text = tfr_keys_bears(authorization) ? authorization + sizeof scheme - 1 : "";
    text += strspn(text, " ");
    const size_t length = strlen(text);
    memcpy(given.bytes, text, length <= MOST_KEY ? length : 0);
    for (size_t i = 0; i < keys->n; i++) {
        uint8_t differs = 0;
        for (size_t at = 0; at < sizeof given.bytes; at++) {
            differs |= given.bytes[at] ^ keys->list[i].bytes[at];
        }
        found = differs == 0 ? (int)i : found;
    }
    return found;
}
