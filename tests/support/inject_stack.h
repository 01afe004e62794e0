/* inject_stack.h - by which way a stopped program came to its system call, for the tracer. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* The call `number` of `thread`, whose stack begins at `stack`: the same value for the same way through tfrun's code. */
uint64_t inject_way_of_stack(pid_t thread, uint64_t number, uintptr_t stack);
