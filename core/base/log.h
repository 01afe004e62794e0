/* log.h - diagnostics for people, to stderr or to a callback; never on the hot path.
 *
 * Levels: ERROR always, WARN and INFO by default, DEBUG with -v, TRACE with -vv. Ranks other than 0 are
 * silenced by the engine (tfr_log_set_level(TFR_LOG_NONE)). stdout is never written to from here.
 * Thread rule: any thread; one call is one line.
 */
#ifndef TFR_BASE_LOG_H
#define TFR_BASE_LOG_H

#include <tfrun/types.h>

enum tfr_log_level { TFR_LOG_NONE, TFR_LOG_ERROR, TFR_LOG_WARN, TFR_LOG_INFO, TFR_LOG_DEBUG, TFR_LOG_TRACE };

typedef void (*tfr_log_fn)(void *user, enum tfr_log_level level, const char *area, const char *text);

void tfr_log_set_level(enum tfr_log_level level);
enum tfr_log_level tfr_log_level(void);
/* NULL brings back stderr. Set before other threads exist. */
void tfr_log_set_callback(tfr_log_fn fn, void *user);
/* `area` is the folder that speaks: "config", "model", "plan", "plugin", "topo", ... */
void tfr_log(enum tfr_log_level level, const char *area, const char *format, ...) TFR_PRINTF(3, 4);

#endif
