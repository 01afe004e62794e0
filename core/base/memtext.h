/* memtext.h - a text that grows in memory, written with the functions of stdio: open_memstream, with every failure told.
 *
 * Without memory the stream drops what it is given, so the end must ask: a report that lacks its middle is no report. */
#ifndef TFR_BASE_MEMTEXT_H
#define TFR_BASE_MEMTEXT_H

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"

/* `*text` is set by the end; tfr_free it. `size` lives as long as the stream. */
static inline enum tfr_status tfr_memtext_open(FILE **stream, char **text, size_t *size) {
    *text = NULL;
    *stream = open_memstream(text, size);
    if (*stream == NULL) {
        tfr_raise(TFR_RESOURCE, "no memory for a text");
        return TFR_RESOURCE; /* said here, for callers are analysed without the source of tfr_raise */
    }
    return TFR_OK;
}

static inline enum tfr_status tfr_memtext_close(FILE *stream, char **text) {
    const bool failed = ferror(stream) != 0;
    /* Closing cuts the text to its size; without memory for that there is none, and fclose says nothing. */
    if (fclose(stream) == 0 && !failed && *text != NULL) {
        return TFR_OK;
    }
    free(*text);
    *text = NULL;
    tfr_raise(TFR_RESOURCE, "no memory for a text");
    return TFR_RESOURCE;
}

/* The end of a text that was written with `status`: where that is a failure the text is gone, and that failure is told. */
static inline enum tfr_status tfr_memtext_end(FILE *stream, char **text, enum tfr_status status) {
    if (status == TFR_OK) {
        return tfr_memtext_close(stream, text);
    }
    fclose(stream);
    free(*text);
    *text = NULL;
    return status;
}

#endif
