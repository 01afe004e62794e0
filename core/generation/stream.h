/* stream.h - the text of one generation as it grows: whole characters, and nothing that a stop string may still take back.
 * Thread rule: one thread per stream. */
#ifndef TFR_GENERATION_STREAM_H
#define TFR_GENERATION_STREAM_H

#include "config/config.h"
#include "model/tokenizer.h"

struct tfr_stream {
    const struct tfr_string_list *stop;
    struct tfr_decoder decoder;
    struct tfr_text text;
    size_t released; /* bytes that may be shown */
    size_t longest;  /* of the stop strings */
    bool stopped;    /* a stop string was found: text ends before it */
};

void tfr_stream_init(struct tfr_stream *stream, const struct tfr_tokenizer *tokenizer, const struct tfr_string_list *stop);
void tfr_stream_free(struct tfr_stream *stream);
enum tfr_status tfr_stream_push(struct tfr_stream *stream, int32_t id);
enum tfr_status tfr_stream_finish(struct tfr_stream *stream); /* releases what was held back */

#endif
