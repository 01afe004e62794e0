/* wait_choice.h - what parallel.wait means on cores that a node's ranks have to themselves, or have not. Thread rule: no state. */
#ifndef TFR_ENGINE_WAIT_CHOICE_H
#define TFR_ENGINE_WAIT_CHOICE_H

#include "config/choices.h"
#include "mpi/comm.h"

static inline enum tfr_comm_wait tfr_wait_choice(int64_t option, bool own_cores) {
    return option == TFR_WAIT_SPIN                  ? TFR_COMM_WAIT_SPIN
           : option == TFR_WAIT_SLEEP || !own_cores ? TFR_COMM_WAIT_SLEEP
                                                    : TFR_COMM_WAIT_OWN_CORES;
}

#endif
