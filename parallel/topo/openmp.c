/* openmp.c - where OpenMP binds threads, as the user asked by OMP_PROC_BIND, OMP_PLACES or GOMP_CPU_AFFINITY.
 *
 * OpenMP binds the first thread of the process when it is loaded, before main: the affinity that is read
 * later says nothing about what the process may use, its places do. Asked through weak symbols: whether an
 * OpenMP runtime is in the process depends on the team and on the plugins of the build.
 */
#include "base/status.h"
#include "topo/topo_internal.h"

enum { PROC_BIND_FALSE = 0, PROC_BIND_PRIMARY = 2, MOST_OF_A_PLACE = 8192 };

int omp_get_num_places(void) __attribute__((weak));
int omp_get_proc_bind(void) __attribute__((weak));
int omp_get_place_num_procs(int place) __attribute__((weak));
void omp_get_place_proc_ids(int place, int *ids) __attribute__((weak));

static bool has_places(void) {
    return omp_get_num_places != NULL && omp_get_proc_bind != NULL && omp_get_place_num_procs != NULL &&
           omp_get_place_proc_ids != NULL;
}

static void read_place(int place, struct tfr_cpus *cpus) {
    static _Thread_local int ids[MOST_OF_A_PLACE];
    const int n = omp_get_place_num_procs(place);
    if (n > 0 && n <= MOST_OF_A_PLACE) {
        omp_get_place_proc_ids(place, ids);
        for (int i = 0; i < n; i++) {
            tfr_cpus_add(cpus, ids[i]);
        }
    }
}

bool tfr_openmp_places(const struct tfr_cpus *current, struct tfr_cpus *all) {
    bool is_a_place = false;
    *all = (struct tfr_cpus){0};
    if (!has_places()) {
        return false;
    }
    /* "primary" holds every thread to the place of the first. */
    const int bind = omp_get_proc_bind();
    if (bind == PROC_BIND_FALSE || bind == PROC_BIND_PRIMARY) {
        return false;
    }
    for (int place = 0; place < omp_get_num_places(); place++) {
        struct tfr_cpus cpus = {0};
        read_place(place, &cpus);
        is_a_place = is_a_place || tfr_cpus_equal(&cpus, current);
        for (size_t i = 0; i < TFR_COUNT_OF(cpus.word); i++) {
            all->word[i] |= cpus.word[i];
        }
    }
    return is_a_place;
}
