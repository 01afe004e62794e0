/* inject_messages.c - preloaded behind inject.c into ranks: the calls of MPI that may fail return an error without being made.
 * Handles of MPI are passed on as they come, whatever they are in this MPI. */
#include <stdint.h>

#include "inject.h"

enum { OTHER_ERROR = 16 }; /* MPI_ERR_OTHER of Open MPI; of MPICH it is 15, and 16 is MPI_ERR_INTERN */

typedef uintptr_t word;

#define CALL(name)                                                                                                                 \
    int P##name(word a, word b, word c, word d, word e, word f, word g);                                                           \
    __attribute__((visibility("default"))) int name(word a, word b, word c, word d, word e, word f, word g);                       \
    int name(word a, word b, word c, word d, word e, word f, word g) {                                                             \
        long number;                                                                                                               \
        return inject_must_fail(INJECT_MESSAGE, __builtin_return_address(0), &number) ? OTHER_ERROR                                \
                                                                                      : P##name(a, b, c, d, e, f, g);              \
    }

CALL(MPI_Init_thread)
CALL(MPI_Comm_dup)
CALL(MPI_Comm_split_type)
CALL(MPI_Comm_free)
CALL(MPI_Comm_set_name)
CALL(MPI_Isend)
CALL(MPI_Irecv)
CALL(MPI_Get_count)

/* Looks for what is not there yet are many, and not the same number each time: only what has come counts, and is lost. */
int PMPI_Test(word request, int *flag, word status);
__attribute__((visibility("default"))) int MPI_Test(word request, int *flag, word status);
int MPI_Test(word request, int *flag, word status) {
    long number;
    const int code = PMPI_Test(request, flag, status);
    const bool has_come = code == 0 && *flag != 0;
    return has_come && inject_must_fail(INJECT_MESSAGE, __builtin_return_address(0), &number) ? OTHER_ERROR : code;
}
