/* inject_ways.h - by which ways through the program its requests are made: shared by the preloaded library and the tracer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A way is told by the addresses of the calls that lead to the request, innermost first. */
uint64_t inject_way_of(uint64_t start, const uintptr_t *calls, size_t n);
/* The request with this number was made by this way. From any thread. */
void inject_note_way(uint64_t way, long number);
/* Writes to the file TFR_INJECT_WAYS, where it is given, a line for each way: the numbers of its first and last request. 0, -1
 * where the file can't be written. */
int inject_tell_ways(void);
