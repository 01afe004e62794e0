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
    if (engine->rank_memory_bytes == NULL) {
        engine->rank_memory_bytes = tfr_alloc((size_t)tfr_engine_size(engine), sizeof *engine->rank_memory_bytes);
    }
    const enum tfr_status status = tfr_command_ask_all(engine, TFR_MESSAGE_MEMORY, engine->rank_memory_bytes);
    *bytes = status == TFR_OK ? engine->rank_memory_bytes : NULL;
    return status;
}
