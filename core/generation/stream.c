/* stream.c - after each token: find a stop string in the new tail, else hold back the longest tail that could begin one. */
#include "generation/stream.h"

#include <string.h>

#include "base/status.h"

void tfr_stream_init(struct tfr_stream *stream, const struct tfr_tokenizer *tokenizer, const struct tfr_string_list *stop) {
    *stream = (struct tfr_stream){.stop = stop};
    tfr_decoder_init(&stream->decoder, tokenizer, TFR_DECODE_SKIP_SPECIAL);
    for (size_t i = 0; i < stop->n; i++) {
        size_t length = strlen(stop->items[i]);
        stream->longest = length > stream->longest ? length : stream->longest;
    }
}

void tfr_stream_free(struct tfr_stream *stream) {
    tfr_text_free(&stream->text);
}

/* Earliest place at or after `from` where a stop string begins; SIZE_MAX if none. */
static size_t find_stop(const struct tfr_stream *stream, size_t from) {
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < stream->stop->n; i++) {
        const char *stop = stream->stop->items[i];
        const char *at = memmem(stream->text.data + from, stream->text.size - from, stop, strlen(stop));
        if (at != NULL && (size_t)(at - stream->text.data) < found) {
            found = (size_t)(at - stream->text.data);
        }
    }
    return found;
}

static bool may_begin_stop(const struct tfr_stream *stream, const char *tail, size_t size) {
    for (size_t i = 0; i < stream->stop->n; i++) {
        if (strncmp(stream->stop->items[i], tail, size) == 0 && strlen(stream->stop->items[i]) > size) {
            return true;
        }
    }
    return false;
}

static size_t held_back(const struct tfr_stream *stream) {
    size_t most = stream->longest > 0 ? stream->longest - 1 : 0;
    size_t fresh = stream->text.size - stream->released;
    for (size_t size = most < fresh ? most : fresh; size > 0; size--) {
        if (may_begin_stop(stream, stream->text.data + stream->text.size - size, size)) {
            return size;
        }
    }
    return 0;
}

/* Looks at the text from `old_size` on, and at what could have begun before it. */
static void release_text(struct tfr_stream *stream, size_t old_size) {
    if (stream->longest > 0 && stream->text.size > 0) {
        size_t from = old_size > stream->longest ? old_size - stream->longest : 0;
        size_t stop = find_stop(stream, from > stream->released ? from : stream->released);
        if (stop != SIZE_MAX) {
            stream->text.size = stop;
            stream->text.data[stop] = '\0';
            stream->released = stop;
            stream->stopped = true;
            return;
        }
    }
    stream->released = stream->text.size - held_back(stream);
}

enum tfr_status tfr_stream_push(struct tfr_stream *stream, int32_t id) {
    size_t old_size = stream->text.size;
    TFR_TRY(tfr_decoder_push(&stream->decoder, id, &stream->text));
    release_text(stream, old_size);
    return TFR_OK;
}

enum tfr_status tfr_stream_finish(struct tfr_stream *stream) {
    if (!stream->stopped) {
        size_t old_size = stream->text.size;
        TFR_TRY(tfr_decoder_finish(&stream->decoder, &stream->text));
        release_text(stream, old_size);
    }
    stream->released = stream->text.size;
    return TFR_OK;
}
