/* tell.h - a sentence of the program on stderr. Thread rule: any thread. */
#ifndef TFR_APP_TELL_H
#define TFR_APP_TELL_H

#include <stdarg.h>

/* "tfrun: ..." as one line on stderr, in which no name steers the terminal, whatever the command line, a config or a folder holds.
 */
void tfr_tell(const char *format, va_list arguments);

#endif
