/* trace_file.h - observe.trace: one file with what every task of every rank did. Thread rule: the engine's
 * thread. */
#ifndef TFR_JOB_TRACE_FILE_H
#define TFR_JOB_TRACE_FILE_H

#include "rank/rank.h"

/* All ranks together, once the executor is open: rank 0 says whether there is a trace, and looks whether its
 * file can be written. */
enum tfr_status tfr_trace_file_open(struct tfr_engine *engine);
/* What the message TRACE means: rank 0 collects, for tfr_engine_write_trace to write, and every other rank sends. */
enum tfr_status tfr_trace_file_obey(struct tfr_engine *engine);

#endif
