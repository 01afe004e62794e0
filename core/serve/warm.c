/* warm.c - what a server does before its first request: see tfr_engine_warm. */
#include "base/status.h"
#include "serve/batcher.h"

enum tfr_status tfr_engine_warm(struct tfr_engine *engine, void (*say)(void *user, const char *what), void *user) {
    if (engine->batcher == NULL) {
        return tfr_raise(TFR_USAGE, "rank 0 serves; the others call tfr_engine_follow");
    }
    if (say != NULL) {
        say(user, "ready");
    }
    engine->batcher->is_serving = true;
    return TFR_OK;
}
