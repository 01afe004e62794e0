/* fuzz_client.c - what `tfrun load` is told by a server: a reply of HTTP in any pieces, its events or body, its error; and the keys
 * of a server's file. A reply has the same meaning in any pieces.
 */
#include <stdlib.h>
#include <string.h>

#include "app/http/keys.h"
#include "app/load/load_reply.h"
#include "app/load/load_wire.h"
#include "base/hash.h"
#include "base/mapfile.h"
#include "harness.h"

struct heard {
    struct tfr_load_reply reply;
    uint64_t digest;
    bool good;
};

static void take_event(void *user, const char *data, size_t size) {
    struct heard *heard = user;
    heard->digest = tfr_hash(heard->digest, data, size);
    if (tfr_load_reply_event(&heard->reply, data, size) < 0) {
        tfr_fuzz_check_sentence(heard->reply.error);
    }
}

static void hear(struct heard *heard, struct tfr_load_wire *wire, const uint8_t *data, size_t size, size_t piece) {
    *heard = (struct heard){.digest = TFR_HASH_START, .good = true};
    tfr_load_wire_start(wire, take_event, heard);
    for (size_t at = 0; at < size && heard->good; at += piece) {
        const size_t n = size - at < piece ? size - at : piece;
        heard->good = tfr_load_wire_feed(wire, (const char *)data + at, n);
    }
    heard->good = heard->good && tfr_load_wire_close(wire);
    if (!heard->good) {
        tfr_fuzz_require(wire->error[0] != '\0', "a reply that is refused has a sentence");
    }
}

int tfr_fuzz_client(const uint8_t *data, size_t size) {
    struct tfr_load_wire wire = {0}, wire_of_bytes = {0};
    struct heard whole, bytes;
    char words[200];
    hear(&whole, &wire, data, size, size > 0 ? size : 1);
    hear(&bytes, &wire_of_bytes, data, size, 1);
    tfr_fuzz_require(whole.good == bytes.good && whole.digest == bytes.digest, "a reply means the same in any pieces");
    if (whole.good && !wire.is_stream) {
        struct tfr_load_reply reply = {0};
        const char *body = wire.body.bytes != NULL ? wire.body.bytes : "";
        for (int scored = 0; scored < 2; scored++) {
            if (!tfr_load_reply_whole(&reply, body, wire.body.size, scored == 1)) {
                tfr_fuzz_check_sentence(reply.error);
            }
        }
        tfr_load_reply_refusal(body, wire.body.size, words, sizeof words);
    }
    tfr_load_wire_free(&wire);
    tfr_load_wire_free(&wire_of_bytes);
    return 0;
}

/* A file of keys, and after "=== header" the value of an Authorization header. */
int tfr_fuzz_keys(const uint8_t *data, size_t size) {
    size_t file_size = size, header_size = 0;
    const uint8_t *said = tfr_fuzz_part("header", data, size, &header_size), *file = tfr_fuzz_part("file", data, size, &file_size);
    char error[512] = "";
    char *header = tfr_fuzz_text(said, header_size);
    unsetenv("TFRUN_API_KEYS");
    struct tfr_keys *keys =
        tfr_keys_open(tfr_fuzz_write("keys", file != NULL ? file : data, file != NULL ? file_size : size), error, sizeof error);
    if (keys == NULL) {
        tfr_fuzz_check_sentence(error);
    } else {
        const int found = tfr_keys_find(keys, said != NULL ? header : NULL);
        tfr_fuzz_require(tfr_keys_count(keys) > 0 && found < (int)tfr_keys_count(keys), "a key that is found is one of the file");
        tfr_fuzz_require(found < 0 || tfr_keys_bears(header), "only a header that bears a key has one");
        tfr_keys_close(keys);
    }
    free(header);
    return 0;
}
