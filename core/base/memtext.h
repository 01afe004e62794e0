/* memtext.h - a text that grows in memory, written with the functions of stdio, with every failure told: a report that lacks its
 * middle is no report. */
#ifndef TFR_BASE_MEMTEXT_H
#define TFR_BASE_MEMTEXT_H

#include <stdio.h>

#include "base/status.h"

/* Opens *stream. `*text` and `*size` are set by the end, which is the last use of the stream: a NUL stands behind `*size` bytes;
 * tfr_free the text. TFR_RESOURCE without memory, and no stream. */
enum tfr_status tfr_memtext_open(FILE **stream, char **text, size_t *size);

/* TFR_RESOURCE and no text where a part of it found no memory. */
enum tfr_status tfr_memtext_close(FILE *stream, char **text);

/* The end of a text that was written with `status`: where that is a failure the text is gone, and that failure is told. */
enum tfr_status tfr_memtext_end(FILE *stream, char **text, enum tfr_status status);

#endif
