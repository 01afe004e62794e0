/* calibration_file.c - a calibration as a JSON file in the user's cache folder. */
#include "predict/calibration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"

/* A host's name may hold anything; the name of a file may not. */
static void make_file_name(char *name, size_t size, const char *kind, const char *host, int64_t threads) {
    char plain[80];
    snprintf(plain, sizeof plain, "%s", host[0] != '\0' ? host : "host");
    for (char *at = plain; *at != '\0'; at++) {
        const bool is_plain =
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || strchr("._-", *at) != NULL;
        *at = is_plain ? *at : '_';
    }
    snprintf(name, size, "%s-%s-%lldt.json", kind, plain, (long long)threads);
}

static const char *absolute(const char *variable) {
    const char *path = getenv(variable);
    return path != NULL && path[0] == '/' ? path : NULL;
}

bool tfr_cache_has_folder(void) {
    return absolute("XDG_CACHE_HOME") != NULL || absolute("HOME") != NULL;
}

char *tfr_cache_file(const char *kind, const char *host, int64_t threads) {
    const char *cache = absolute("XDG_CACHE_HOME"), *home = absolute("HOME");
    char name[160];
    make_file_name(name, sizeof name, kind, host, threads);
    if (cache != NULL) {
        return tfr_format("%s/tfrun/%s", cache, name);
    }
    if (home != NULL) {
        return tfr_format("%s/.cache/tfrun/%s", home, name);
    }
    tfr_raise(TFR_RESOURCE, "neither XDG_CACHE_HOME nor HOME names a folder for the %s; set one, or give its file by name", kind);
    return NULL;
}

char *tfr_calibration_path(const char *host, int64_t threads) {
    return tfr_cache_file("calibration", host, threads);
}

static void put_conditions(struct tfr_json_out *out, const struct tfr_conditions *conditions) {
    tfr_json_begin(out, "conditions", '{');
    tfr_json_put_text(out, "host", conditions->host);
    tfr_json_put_text(out, "cpu", conditions->cpu);
    tfr_json_put_text(out, "tfrun", conditions->version);
    tfr_json_put_text(out, "abi", conditions->abi);
    tfr_json_put_text(out, "bind", conditions->bind);
    tfr_json_put_text(out, "governor", conditions->governor);
    tfr_json_put_text(out, "hugepages", conditions->hugepages);
    tfr_json_put_text(out, "plugins", conditions->plugins);
    tfr_json_put_text(out, "model", conditions->model);
    tfr_json_put_text(out, "measured_at", conditions->measured_at);
    tfr_json_put_int(out, "measured_unix", conditions->measured_unix);
    tfr_json_put_int(out, "threads", conditions->threads);
    tfr_json_put_int(out, "isa", conditions->isa);
    tfr_json_put_number(out, "quota_cores", conditions->quota_cores);
    tfr_json_put_number(out, "waited_percent", conditions->waited_percent);
    tfr_json_end(out, '}');
}

static void put_roofs(struct tfr_json_out *out, const struct tfr_roofs *roofs) {
    tfr_json_begin(out, "roofs", '{');
    tfr_json_begin(out, "flops", '[');
    for (int i = 0; i < roofs->n_flops; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_text(out, "dtype", tfr_dtype_name((enum tfr_dtype)roofs->flops[i].dtype));
        tfr_json_put_int(out, "isa", roofs->flops[i].isa);
        tfr_json_put_number(out, "one_core", roofs->flops[i].one_core);
        tfr_json_put_number(out, "all_cores", roofs->flops[i].all_cores);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_begin(out, "bandwidth", '[');
    for (int i = 0; i < roofs->n_bandwidths; i++) {
        tfr_json_begin(out, NULL, '{');
        tfr_json_put_int(out, "bytes", roofs->bandwidth[i].bytes);
        tfr_json_put_number(out, "one_core", roofs->bandwidth[i].one_core);
        tfr_json_put_number(out, "all_cores", roofs->bandwidth[i].all_cores);
        tfr_json_end(out, '}');
    }
    tfr_json_end(out, ']');
    tfr_json_put_int(out, "l1d_bytes", roofs->l1d_bytes);
    tfr_json_put_int(out, "l2_bytes", roofs->l2_bytes);
    tfr_json_put_int(out, "l3_bytes", roofs->l3_bytes);
    tfr_json_put_number(out, "memory_rate", roofs->memory_rate);
    tfr_json_put_number(out, "fork_ns", roofs->fork_ns);
    tfr_json_put_number(out, "barrier_ns", roofs->barrier_ns);
    tfr_json_end(out, '}');
}

static void put_link(struct tfr_json_out *out, const char *key, int64_t n_pairs, const struct tfr_link *link) {
    if (n_pairs > 0) {
        tfr_json_begin(out, key, '{');
        tfr_json_put_int(out, "pairs", n_pairs);
        tfr_json_put_number(out, "alpha_ns", link->alpha_ns);
        tfr_json_put_number(out, "byte_ns", link->byte_ns);
        if (link->large.above_bytes > 0) {
            tfr_json_put_number(out, "large_above_bytes", link->large.above_bytes);
            tfr_json_put_number(out, "large_alpha_ns", link->large.alpha_ns);
            tfr_json_put_number(out, "large_byte_ns", link->large.byte_ns);
            tfr_json_put_number(out, "large_ways", link->large.ways);
        }
        tfr_json_put_number(out, "late_ns", link->late_ns);
        tfr_json_put_number(out, "later_ns", link->later_ns);
        tfr_json_end(out, '}');
    }
}

static void put_links(struct tfr_json_out *out, const struct tfr_measured_links *links) {
    if (links->shm_pairs + links->net_pairs == 0) {
        return;
    }
    tfr_json_begin(out, "net", '{');
    tfr_json_put_text(out, "transport", links->transport);
    tfr_json_put_text(out, "measured_at", links->measured_at);
    tfr_json_put_bool(out, "asleep", links->asleep);
    put_link(out, "same_node", links->shm_pairs, &links->shm);
    put_link(out, "other_node", links->net_pairs, &links->net);
    tfr_json_end(out, '}');
}

/* A point is [class, rows, context, ns, ns at the roof]. */
static void put_kernel(struct tfr_json_out *out, const struct tfr_calibration_kernel *kernel) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "kernel", kernel->kernel);
    tfr_json_put_text(out, "shape", kernel->shape);
    tfr_json_put_int(out, "threads", kernel->threads);
    tfr_json_begin(out, "points", '[');
    for (size_t i = 0; i < kernel->n_points; i++) {
        const struct tfr_calibration_point *point = &kernel->points[i];
        tfr_json_begin(out, NULL, '[');
        tfr_json_put_int(out, NULL, point->class_rows);
        tfr_json_put_int(out, NULL, point->rows);
        tfr_json_put_int(out, NULL, point->context);
        tfr_json_put_number(out, NULL, point->ns);
        tfr_json_put_number(out, NULL, point->roof_ns);
        tfr_json_end(out, ']');
    }
    tfr_json_end(out, ']');
    tfr_json_end(out, '}');
}

char *tfr_calibration_text(const struct tfr_calibration *calibration) {
    struct tfr_json_out out = {0};
    char doubts[TFR_DOUBTS_SIZE] = "";
    tfr_calibration_doubts(calibration, doubts, sizeof doubts);
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", TFR_CALIBRATION_SCHEMA);
    tfr_json_put_text(&out, "doubts", doubts); /* for other programs; tfrun judges anew */
    put_conditions(&out, &calibration->conditions);
    put_roofs(&out, &calibration->roofs);
    put_links(&out, &calibration->links);
    tfr_json_begin(&out, "kernels", '[');
    for (size_t i = 0; i < calibration->n_kernels; i++) {
        put_kernel(&out, &calibration->kernels[i]);
    }
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    if (out.failed) {
        tfr_free(out.text);
        tfr_raise(TFR_RESOURCE, "no memory for the text of a calibration");
        return NULL;
    }
    return out.text;
}

static enum tfr_status make_folder_of(const char *path) {
    char *folder = tfr_path_directory(path);
    const enum tfr_status status = folder != NULL ? tfr_path_make_folders(folder) : TFR_RESOURCE;
    tfr_free(folder);
    return status;
}

enum tfr_status tfr_cache_write(const char *path, const char *text) {
    struct tfr_outfile out = {0};
    TFR_TRY(make_folder_of(path));
    enum tfr_status status = tfr_outfile_open(&out, path);
    if (status == TFR_OK) {
        status = tfr_outfile_write(&out, text, strlen(text));
        status = status == TFR_OK ? tfr_outfile_write(&out, "\n", 1) : status;
        status = status == TFR_OK ? tfr_outfile_commit(&out) : status;
    }
    tfr_outfile_abandon(&out);
    return status;
}

enum tfr_status tfr_calibration_write(const struct tfr_calibration *calibration, const char *path) {
    TFR_TRY(tfr_calibration_check_rates(calibration, path));
    char *text = tfr_calibration_text(calibration);
    const enum tfr_status status = text != NULL ? tfr_cache_write(path, text) : TFR_RESOURCE;
    tfr_free(text);
    return status;
}
