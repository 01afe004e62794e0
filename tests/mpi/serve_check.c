/* serve_check.c - `serve_check CONFIG CHUNK`: 32 requests in one company, prompts in chunks of so many rows; prints one hash of all
 * answers, which neither the chunk nor the number of ranks may change. */
#include <stdlib.h>

#include "tfr_serving.h"

static enum tfr_status serve(struct tfr_engine *engine, int64_t chunk_rows) {
    static struct served served[N_SERVED];
    uint64_t hash = TFR_HASH_START;
    size_t at_once;
    tfr_batcher_serve(engine->batcher);
    engine->batcher->chunk_rows = chunk_rows;
    for (size_t i = 0; i < N_SERVED; i++) {
        TFR_TRY(serve_one(engine, i, NULL, &served[i]));
    }
    TFR_TRY(serve_all(engine, served, N_SERVED, &at_once));
    for (size_t i = 0; i < N_SERVED; i++) {
        hash = tfr_hash(hash, &served[i].hash, sizeof served[i].hash);
        if (served[i].status != TFR_OK) {
            return tfr_raise(served[i].status, "%s", served[i].error);
        }
    }
    printf("%016llx\n", (unsigned long long)hash);
    return TFR_OK;
}

int main(int argc, char **argv) {
    const struct tfr_override overrides[] = {{"runtime.max_batch", "32", "the test"}, {"sampling.ignore_eos", "true", "the test"}};
    struct tfr_engine *engine;
    if (argc < 3 || tfr_engine_open(&engine, argv[1], overrides, 2) != TFR_OK) {
        fprintf(stderr, "serve_check CONFIG CHUNK: %s\n", tfr_failure_text());
        return 2;
    }
    const enum tfr_status status = tfr_engine_rank(engine) == 0 ? serve(engine, atoi(argv[2])) : tfr_engine_follow(engine);
    if (status != TFR_OK) {
        fprintf(stderr, "serve_check: %s\n", tfr_failure_text());
    }
    tfr_engine_close(engine);
    return tfr_exit_code(status);
}
