/* crowd.h - notices that other programs take the cores that a team is pinned to.
 *
 * The system counts for each thread how long it could have run but had to wait for its core. Where that is a
 * good part of the time again and again, pinned threads do harm: each waits for the one that waits for its
 * core. Thread rule: the master's.
 */
#ifndef TFR_TEAM_CROWD_H
#define TFR_TEAM_CROWD_H

#include <stdbool.h>
#include <stdint.h>

enum { TFR_CROWD_SAMPLED = 8 }; /* threads that are looked at; of a larger team every so manieth */

enum tfr_crowd_advice { TFR_CROWD_STAY, TFR_CROWD_LOOSEN, TFR_CROWD_TIGHTEN, TFR_CROWD_WARN /* once */ };

struct tfr_crowd {
    int n_sampled;
    int thread_id[TFR_CROWD_SAMPLED];
    uint64_t looked_ns, ran_ns, waited_ns; /* at the last look */
    int n_lossy, n_quiet;                  /* looks in a row */
    bool is_on, is_loose, has_warned;
};

/* The calling thread's number, for thread_id. */
int tfr_thread_id(void);
/* thread_id is filled; `root` is put before /proc ("" in real life). Off where the system does not tell. */
void tfr_crowd_open(struct tfr_crowd *crowd, const char *root, uint64_t now_ns);
/* Cheap; reads /proc four times a second. *percent: the share of its time that the team waited for cores. */
enum tfr_crowd_advice tfr_crowd_look(struct tfr_crowd *crowd, const char *root, uint64_t now_ns, int *percent);

/* Of all threads of the process until now; false where the system does not tell. */
bool tfr_crowd_times(const char *root, uint64_t *ran_ns, uint64_t *waited_ns);

#endif
