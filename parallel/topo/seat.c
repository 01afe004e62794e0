/* seat.c - what a rank reads of itself for the doctor: pinning, OpenMP runtimes, network interfaces, the launcher's variables. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "topo/doctor.h"
#include "topo/domain.h"
#include "topo/topo_internal.h"

static void append(char *list, size_t size, const char *word) {
    const size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%s", used > 0 ? " " : "", word);
}

/* Two of them in one process fight for the cores and may give wrong results. */
static void read_openmp(struct tfr_seat *seat, const char *root) {
    static const char *const runtimes[] = {"libgomp", "libiomp5", "libomp"};
    char path[PATH_MAX], line[PATH_MAX + 128];
    bool has[TFR_COUNT_OF(runtimes)] = {false};
    snprintf(path, sizeof path, "%s/proc/self/maps", root);
    FILE *maps = fopen(path, "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        const char *file = strrchr(line, '/');
        for (size_t i = 0; file != NULL && i < TFR_COUNT_OF(runtimes); i++) {
            const size_t length = strlen(runtimes[i]);
            has[i] = has[i] || (strncmp(file + 1, runtimes[i], length) == 0 && strchr(".-", file[1 + length]) != NULL);
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    for (size_t i = 0; i < TFR_COUNT_OF(runtimes); i++) {
        if (has[i]) {
            append(seat->openmp, sizeof seat->openmp, runtimes[i]);
            seat->n_openmp++;
        }
    }
}

/* Bridges of containers and virtual machines: they have the same address on every host, and MPI tries them. */
static bool is_virtual(const char *name) {
    static const char *const prefixes[] = {"docker", "virbr", "br-", "lxcbr", "lxdbr", "cni", "flannel", "podman", "cilium"};
    for (size_t i = 0; i < TFR_COUNT_OF(prefixes); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void read_interfaces(struct tfr_seat *seat, const char *root) {
    char path[PATH_MAX], state[32];
    snprintf(path, sizeof path, "%s/sys/class/net", root);
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        const char *name = entry->d_name;
        if (name[0] == '.' || strcmp(name, "lo") == 0 ||
            !tfr_topo_slurp(state, sizeof state, root, "/sys/class/net/%s/operstate", name) || strncmp(state, "up", 2) != 0) {
            continue;
        }
        if (is_virtual(name)) {
            append(seat->virtual_net, sizeof seat->virtual_net, name);
        } else if (seat->real_net[0] == '\0') {
            snprintf(seat->real_net, sizeof seat->real_net, "%.*s", (int)sizeof seat->real_net - 1, name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
}

enum tfr_status tfr_seat_read(struct tfr_seat *seat, const char *root, const struct tfr_machine *machine,
                              const struct tfr_thread_choice *choice) {
    int *pus = tfr_alloc((size_t)choice->n_threads, sizeof *pus);
    *seat = (struct tfr_seat){
        .n_cores = machine->n_cores,
        .n_affinity = machine->n_affinity,
        .n_online = machine->n_pus_online,
        .n_cpus = machine->n_pus_allowed,
        .n_here = machine->n_cores_here,
        .n_sharing = 1,
        .n_threads = choice->n_threads,
        .omp_num_threads = machine->omp_num_threads,
        .slurm_cpus_per_task = machine->slurm_cpus_per_task,
        .in_srun = getenv("SLURM_STEP_ID") != NULL && getenv("OMPI_COMM_WORLD_LOCAL_SIZE") == NULL, /* which mpirun's daemon sets */
        .names_net = getenv("OMPI_MCA_btl_tcp_if_include") != NULL || getenv("OMPI_MCA_btl_tcp_if_exclude") != NULL,
        .quota_cores = machine->quota_cores,
    };
    snprintf(seat->host, sizeof seat->host, "%.*s", TFR_SEAT_NAME - 1, machine->host_name);
    if (pus != NULL) {
        tfr_bind_plan(machine, choice, TFR_BIND_COMPACT, pus);
        for (int t = 0; t < choice->n_threads && t < TFR_SEAT_PUS && pus[t] >= 0; t++) {
            seat->pu[seat->n_pus++] = pus[t];
        }
        seat->domains = tfr_domain_bits(machine, pus, choice->n_threads);
    }
    read_openmp(seat, root);
    read_interfaces(seat, root);
    const enum tfr_status status = pus != NULL ? TFR_OK : TFR_RESOURCE;
    tfr_free(pus);
    return status;
}
