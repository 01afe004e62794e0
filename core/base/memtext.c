/* memtext.c - a stream of stdio whose bytes go to a block of memory that grows.
 *
 * Not open_memstream: that of glibc drops what a printf gives it without memory and sets no error, so that nobody hears of it.
 * glibc and musl have fopencookie. */
#include "base/memtext.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"

enum { FIRST_ROOM = 1024 };

struct memtext {
    char *data;
    size_t length, room; /* a byte of the room is for the NUL */
    bool failed;
    char **text; /* of who asked */
    size_t *size;
};

static bool has_room(struct memtext *memtext, size_t n) {
    if (n < memtext->room - memtext->length) {
        return true;
    }
    const size_t wanted = memtext->length + n + 1, doubled = 2 * memtext->room, room = wanted > doubled ? wanted : doubled;
    char *data = tfr_realloc(memtext->data, room, 1);
    if (data == NULL) {
        return false;
    }
    memtext->data = data;
    memtext->room = room;
    return true;
}

/* 0 is stdio's word for a failure here; that of musl forgets it. */
static ssize_t write_bytes(void *cookie, const char *bytes, size_t n) {
    struct memtext *memtext = cookie;
    memtext->failed |= !has_room(memtext, n);
    if (memtext->failed) {
        return 0;
    }
    memcpy(memtext->data + memtext->length, bytes, n);
    memtext->length += n;
    return (ssize_t)n;
}

static int hand_over(void *cookie) {
    struct memtext *memtext = cookie;
    if (memtext->failed) {
        tfr_free(memtext->data);
    } else {
        memtext->data[memtext->length] = '\0';
        *memtext->text = memtext->data;
        *memtext->size = memtext->length;
    }
    tfr_free(memtext);
    return 0;
}

enum tfr_status tfr_memtext_open(FILE **stream, char **text, size_t *size) {
    struct memtext *memtext = tfr_alloc(1, sizeof(*memtext));
    char *data = memtext != NULL ? tfr_alloc(FIRST_ROOM, 1) : NULL;
    *text = NULL;
    *size = 0;
    *stream = NULL;
    if (data != NULL) {
        *memtext = (struct memtext){.data = data, .room = FIRST_ROOM, .text = text, .size = size};
        *stream = fopencookie(memtext, "w", (cookie_io_functions_t){.write = write_bytes, .close = hand_over});
    }
    if (*stream == NULL) {
        tfr_free(data);
        tfr_free(memtext);
        return tfr_raise(TFR_RESOURCE, "no memory for a text");
    }
    return TFR_OK;
}

enum tfr_status tfr_memtext_close(FILE *stream, char **text) {
    return tfr_memtext_end(stream, text, TFR_OK);
}

enum tfr_status tfr_memtext_end(FILE *stream, char **text, enum tfr_status status) {
    const bool is_whole = fflush(stream) == 0 && ferror(stream) == 0, is_closed = fclose(stream) == 0;
    if (status == TFR_OK && is_whole && is_closed && *text != NULL) {
        return TFR_OK;
    }
    tfr_free(*text);
    *text = NULL;
    return status != TFR_OK ? status : tfr_raise(TFR_RESOURCE, "no memory for a text");
}
