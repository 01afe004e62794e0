/* events.h - what became of a continuation since the last time, as events. Engine's thread. */
#ifndef TFR_SERVE_EVENTS_H
#define TFR_SERVE_EVENTS_H

#include "serve/queue.h"

/* All that is new; TFR_RESOURCE without memory for it. True in *told if there was anything. */
enum tfr_status tfr_events_tell(struct tfr_request *request, bool *told);
/* The last one, with the status of the continuation. */
void tfr_events_end(struct tfr_request *request);

#endif
