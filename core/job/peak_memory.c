/* peak_memory.c - how much memory each rank has held at most. */
#include <sys/resource.h>

#include "base/arena.h"
#include "base/status.h"
#include "job/command.h"

int64_t tfr_peak_memory_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_maxrss * 1024;
}

enum tfr_status tfr_engine_ask_memory(struct tfr_engine *engine, const int64_t **bytes) {
    *bytes = NULL;
    if (engine->rank_memory_bytes == NULL) {
        engine->rank_memory_bytes = tfr_alloc((size_t)tfr_engine_size(engine), sizeof *engine->rank_memory_bytes);
        if (engine->rank_memory_bytes == NULL) {
            return TFR_RESOURCE;
        }
    }
    struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_MEMORY, 0);
    if (message == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_command(engine, message));
    *bytes = engine->rank_memory_bytes;
    return TFR_OK;
}
