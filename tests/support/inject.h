/* inject.h - which request fails: shared by the parts of the preloaded library (inject.c). */
#pragma once

#include <stdbool.h>

enum inject_kind { INJECT_MEMORY, INJECT_MAP, INJECT_THREAD, INJECT_VENDOR, INJECT_MESSAGE, INJECT_KINDS };

/* Counts a request of `kind` made from the address `caller`; true where it has to fail. *number is its number, 0 where it does not
 * count. */
bool inject_must_fail(enum inject_kind kind, const void *caller, long *number);
