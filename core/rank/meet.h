/* meet.h - how a rank meets the others of its job. */
#ifndef TFR_RANK_MEET_H
#define TFR_RANK_MEET_H

#include "mpi/comm.h"

/* Opens the communication of this job, with MPI's back end of the bundled plugins where there is a launcher: tfr_comm_open. A
 * failure is told by this rank where no other can tell it. */
enum tfr_status tfr_rank_meet(struct tfr_comm **comm, int64_t timeout_s);
/* Ends the job with the sentence of the last failure, where there are several ranks and none is lost already. */
void tfr_rank_end_job(struct tfr_comm *comm, enum tfr_status status);
/* The end of a meeting that is no more than that, with what it came to: closes the communication, or ends the job where this rank
 * alone knows of the failure, by the rule of tfr_rank_stay_together (rank.h). NULL-safe. */
enum tfr_status tfr_rank_part(struct tfr_comm *comm, enum tfr_status status);

#endif
