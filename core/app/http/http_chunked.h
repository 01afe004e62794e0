/* http_chunked.h - the chunks of a request's body: bytes in, data out; no memory, no sockets. */
#ifndef TFR_APP_HTTP_HTTP_CHUNKED_H
#define TFR_APP_HTTP_HTTP_CHUNKED_H

#include "app/http/transport.h"

/* Zeros to begin with. */
struct tfr_chunked {
    enum { CHUNK_SIZE, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_DATA_CR, CHUNK_DATA_LF, CHUNK_LAST_CR, CHUNK_LAST_LF, CHUNK_DONE } state;
    uint64_t left, total; /* bytes of this chunk still to come; of the body so far */
    unsigned digits;
};

/* Takes *used of `size` bytes: framing, and then the first *n_data of data that follow it at *data. Call again with the rest until
 * all is used or the state is CHUNK_DONE. */
enum tfr_http_fault tfr_chunked_feed(struct tfr_chunked *chunked, const char *bytes, size_t size, size_t max_body, size_t *used,
                                     const char **data, size_t *n_data);

#endif
