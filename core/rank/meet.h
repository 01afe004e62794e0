/* meet.h - how a rank meets the others of its job. */
#ifndef TFR_RANK_MEET_H
#define TFR_RANK_MEET_H

#include "mpi/comm.h"

/* Opens the communication of this job, with MPI's back end of the bundled plugins where there is a launcher: tfr_comm_open. A
 * failure is told by this rank where no other can tell it. */
enum tfr_status tfr_rank_meet(struct tfr_comm **comm, int64_t timeout_s);

#endif
