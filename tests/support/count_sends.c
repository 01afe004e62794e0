/* count_sends.c - preloaded under mpiexec: counts the messages of the graph and their bytes as they are posted, and tells them at
 * the end in the folder TFR_COUNT_FOLDER. Handles of MPI are passed on as they come, whatever they are in this MPI. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST_OTHER_TAG = 20000 }; /* TFR_TAG_COLLECT: from there on tags are of commands and results */

static unsigned long long messages, bytes;

int PMPI_Isend(const void *data, int n, uintptr_t type, int peer, int tag, uintptr_t comm, uintptr_t request);
__attribute__((visibility("default"))) int MPI_Isend(const void *data, int n, uintptr_t type, int peer, int tag, uintptr_t comm,
                                                     uintptr_t request);

int MPI_Isend(const void *data, int n, uintptr_t type, int peer, int tag, uintptr_t comm, uintptr_t request) {
    if (tag < FIRST_OTHER_TAG) {
        messages++;
        bytes += (unsigned)n;
    }
    return PMPI_Isend(data, n, type, peer, tag, comm, request);
}

__attribute__((destructor)) static void report(void) {
    const char *folder = getenv("TFR_COUNT_FOLDER");
    char path[4096];
    snprintf(path, sizeof path, "%s/%ld.sends", folder != NULL ? folder : "", (long)getpid());
    FILE *file = folder != NULL && messages > 0 ? fopen(path, "w") : NULL;
    if (file != NULL) {
        fprintf(file, "%llu %llu\n", messages, bytes);
        fclose(file);
    }
}
