/* comm_simulated.c - a program for ranks that SimGrid's SMPI simulates: time is simulated time, and computing takes none of it.
 *
 * The linker turns the calls of clocks and sleeps to the functions below (--wrap). smpirun starts every rank as an actor of one
 * process, shows no launcher in the environment, and lets nobody ask for the number of ranks before MPI_Init, which therefore comes
 * first.
 */
#include "mpi/comm_backend.h"

#include <time.h>

#include <mpi.h>
#include <simgrid/actor.h>
#include <simgrid/engine.h>

struct tfr_comm_backend *tfr_comm_backend(void); /* comm_mpi.c */
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_sched_yield(void);

struct tfr_comm_backend *tfr_comm_backend_linked(int *rank, int *size) {
    static int my_rank, my_size; /* asked for after the end of MPI too */
    if (my_size == 0) {
        MPI_Init(NULL, NULL);
        MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
        MPI_Comm_size(MPI_COMM_WORLD, &my_size);
    }
    *rank = my_rank;
    *size = my_size;
    return tfr_comm_backend();
}

/* From one second on: zero stands for "no time" in some places. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *time) {
    const double now = 1 + simgrid_get_clock();
    (void)clock;
    time->tv_sec = (time_t)now;
    time->tv_nsec = (long)(1e9 * (now - (double)time->tv_sec));
    return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left) {
    (void)left;
    sg_actor_sleep_for((double)time->tv_sec + 1e-9 * (double)time->tv_nsec);
    return 0;
}

int __wrap_sched_yield(void) {
    return 0;
}
