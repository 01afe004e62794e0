/* tell.c - see tell.h. */
#include "app/help/tell.h"

#include <stdio.h>

#include "base/status.h"

void tfr_tell(const char *format, va_list arguments) {
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments);
    tfr_defuse(text);
    fprintf(stderr, "tfrun: %s\n", text);
}
