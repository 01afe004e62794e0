/* doctor_seats.h - the doctor's visit to all ranks of a job (parallel/topo/doctor.h has what it knows).
 *
 * Thread rule: the master's; all ranks call.
 */
#ifndef TFR_REPORT_DOCTOR_SEATS_H
#define TFR_REPORT_DOCTOR_SEATS_H

#include "mpi/comm.h"
#include "topo/doctor.h"

/* Findings on rank 0, none elsewhere. n_blocks 0: unknown. */
enum tfr_status tfr_doctor_visit(struct tfr_comm *comm, const struct tfr_machine *machine, const struct tfr_thread_choice *choice,
                                 int64_t n_blocks, struct tfr_finding found[TFR_MOST_FINDINGS], int *n_found);
/* What a run should be told of when it starts, as warnings of rank 0. */
enum tfr_status tfr_doctor_warn(struct tfr_comm *comm, const struct tfr_machine *machine, const struct tfr_thread_choice *choice);

#endif
