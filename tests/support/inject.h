/* inject.h - which request fails: shared by the parts of the preloaded library (inject.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum inject_kind { INJECT_MEMORY, INJECT_MAP, INJECT_THREAD, INJECT_VENDOR, INJECT_MESSAGE, INJECT_KINDS };

/* Counts a request of `kind` made from the address `caller`; true where it has to fail. *number is its number, 0 where it does not
 * count. */
bool inject_must_fail(enum inject_kind kind, const void *caller, long *number);

/* Whether code of this file is tfrun's, by the file's name. */
bool inject_is_ours(const char *object);
/* The file was opened by the call at `caller`, NULL: it is closed. Returns the file. */
int inject_opened(long file, const void *caller);
/* How many files of tfrun's are open behind the standard streams, and their names, each behind a blank (inject_files.c). */
int inject_count_files(char *names, size_t size);
