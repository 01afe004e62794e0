/* calibration_read.c - a calibration from its file: every member must be there and of its kind, as tfrun wrote it. */
#include "predict/calibration.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "base/tensor.h"

#define FAMILY "tfrun-calibration-"

enum { MOST_THREADS = 4096 /* as runtime.threads */ };

/* At the member, or where it should be. */
static enum tfr_status refuse(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, const char *wanted) {
    const tfr_json *member = tfr_json_member(object, key);
    int line, column;
    tfr_json_place(doc, member != NULL ? member : object, &line, &column);
    return tfr_raise(TFR_MODEL, "%s:%d:%d: %s must be %s: this is no calibration of this tfrun; run `tfrun calibrate`",
                     tfr_json_name(doc), line, column, key, wanted);
}

static enum tfr_status read_text(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, char *text, size_t size) {
    const char *found = tfr_json_string(tfr_json_member(object, key));
    if (found == NULL || strlen(found) >= size || !tfr_is_plain(found)) {
        return refuse(doc, object, key, "a short string without control characters");
    }
    memcpy(text, found, strlen(found) + 1);
    return TFR_OK;
}

static enum tfr_status read_whole(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, int64_t *value) {
    const tfr_json *node = tfr_json_member(object, key);
    return node != NULL && tfr_json_int64(doc, node, value) && *value >= 0 ? TFR_OK
                                                                           : refuse(doc, object, key, "a whole number from 0 on");
}

static enum tfr_status read_real(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, double *value) {
    const tfr_json *node = tfr_json_member(object, key);
    if (node == NULL || tfr_json_kind(node) != TFR_JSON_NUMBER || tfr_json_number(node) < 0) {
        return refuse(doc, object, key, "a number from 0 on");
    }
    *value = tfr_json_number(node);
    return TFR_OK;
}

/* What is divided by. */
static enum tfr_status read_rate(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, double *value) {
    TFR_TRY(read_real(doc, object, key, value));
    return *value > 0 ? TFR_OK : refuse(doc, object, key, "a rate above 0, and is 0");
}

static enum tfr_status read_isa(const struct tfr_json_doc *doc, const tfr_json *object, uint32_t *isa) {
    int64_t bits;
    TFR_TRY(read_whole(doc, object, "isa", &bits));
    *isa = (uint32_t)bits;
    return bits <= UINT32_MAX ? TFR_OK : refuse(doc, object, "isa", "bits of instruction sets");
}

static enum tfr_status find_list(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, enum tfr_json_kind kind,
                                 const tfr_json **list) {
    *list = tfr_json_member(object, key);
    return *list != NULL && tfr_json_kind(*list) == kind ? TFR_OK : refuse(doc, object, key, tfr_json_kind_name(kind));
}

static enum tfr_status check_threads(const struct tfr_json_doc *doc, const tfr_json *from, int64_t threads) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "a whole number from 1 to %d", MOST_THREADS);
    return threads >= 1 && threads <= MOST_THREADS ? TFR_OK : refuse(doc, from, "threads", wanted);
}

static enum tfr_status read_conditions(const struct tfr_json_doc *doc, struct tfr_conditions *conditions) {
    const tfr_json *from;
    TFR_TRY(find_list(doc, tfr_json_root(doc), "conditions", TFR_JSON_OBJECT, &from));
    const struct {
        const char *key;
        char *text;
        size_t size;
    } texts[] = {{"host", conditions->host, sizeof conditions->host},
                 {"cpu", conditions->cpu, sizeof conditions->cpu},
                 {"tfrun", conditions->version, sizeof conditions->version},
                 {"abi", conditions->abi, sizeof conditions->abi},
                 {"bind", conditions->bind, sizeof conditions->bind},
                 {"governor", conditions->governor, sizeof conditions->governor},
                 {"hugepages", conditions->hugepages, sizeof conditions->hugepages},
                 {"plugins", conditions->plugins, sizeof conditions->plugins},
                 {"model", conditions->model, sizeof conditions->model},
                 {"measured_at", conditions->measured_at, sizeof conditions->measured_at}};
    for (size_t i = 0; i < TFR_COUNT_OF(texts); i++) {
        TFR_TRY(read_text(doc, from, texts[i].key, texts[i].text, texts[i].size));
    }
    TFR_TRY(read_whole(doc, from, "measured_unix", &conditions->measured_unix));
    TFR_TRY(read_whole(doc, from, "threads", &conditions->threads));
    TFR_TRY(check_threads(doc, from, conditions->threads));
    TFR_TRY(read_isa(doc, from, &conditions->isa));
    TFR_TRY(read_real(doc, from, "waited_percent", &conditions->waited_percent));
    return read_real(doc, from, "quota_cores", &conditions->quota_cores);
}

static enum tfr_status read_flops(const struct tfr_json_doc *doc, const tfr_json *from, struct tfr_flop_roof *roof) {
    char name[16];
    TFR_TRY(read_text(doc, from, "dtype", name, sizeof name));
    for (roof->dtype = 0; roof->dtype < TFR_DTYPE_COUNT; roof->dtype++) {
        if (strcmp(tfr_dtype_name((enum tfr_dtype)roof->dtype), name) == 0) {
            break;
        }
    }
    if (roof->dtype == TFR_DTYPE_COUNT) {
        return refuse(doc, from, "dtype", "a type of numbers");
    }
    TFR_TRY(read_isa(doc, from, &roof->isa));
    TFR_TRY(read_rate(doc, from, "one_core", &roof->one_core));
    return read_rate(doc, from, "all_cores", &roof->all_cores);
}

static enum tfr_status read_bandwidth(const struct tfr_json_doc *doc, const tfr_json *from, struct tfr_bandwidth *bandwidth) {
    TFR_TRY(read_whole(doc, from, "bytes", &bandwidth->bytes));
    TFR_TRY(read_rate(doc, from, "one_core", &bandwidth->one_core));
    return read_rate(doc, from, "all_cores", &bandwidth->all_cores);
}

static enum tfr_status read_roofs(const struct tfr_json_doc *doc, struct tfr_roofs *roofs, int n_threads) {
    const tfr_json *from, *list;
    roofs->n_threads = n_threads;
    TFR_TRY(find_list(doc, tfr_json_root(doc), "roofs", TFR_JSON_OBJECT, &from));
    TFR_TRY(find_list(doc, from, "flops", TFR_JSON_ARRAY, &list));
    if (tfr_json_size(list) < 1 || tfr_json_size(list) > TFR_MAX_FLOP_ROOFS) {
        return refuse(doc, list, "flops", "a list as long as tfrun writes it");
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        TFR_TRY(read_flops(doc, item, &roofs->flops[roofs->n_flops]));
        roofs->n_flops++;
    }
    TFR_TRY(find_list(doc, from, "bandwidth", TFR_JSON_ARRAY, &list));
    if (tfr_json_size(list) < 1 || tfr_json_size(list) > TFR_MAX_BANDWIDTHS) {
        return refuse(doc, list, "bandwidth", "a list as long as tfrun writes it");
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        TFR_TRY(read_bandwidth(doc, item, &roofs->bandwidth[roofs->n_bandwidths]));
        roofs->n_bandwidths++;
    }
    TFR_TRY(read_whole(doc, from, "l1d_bytes", &roofs->l1d_bytes));
    TFR_TRY(read_whole(doc, from, "l2_bytes", &roofs->l2_bytes));
    TFR_TRY(read_whole(doc, from, "l3_bytes", &roofs->l3_bytes));
    TFR_TRY(read_real(doc, from, "memory_rate", &roofs->memory_rate));
    TFR_TRY(read_real(doc, from, "fork_ns", &roofs->fork_ns));
    return read_real(doc, from, "barrier_ns", &roofs->barrier_ns);
}

static enum tfr_status read_point(const struct tfr_json_doc *doc, const tfr_json *from, struct tfr_calibration_point *point) {
    int64_t *const wholes[] = {&point->class_rows, &point->rows, &point->context};
    double *const reals[] = {&point->ns, &point->roof_ns};
    const tfr_json *item = tfr_json_first(from);
    for (size_t i = 0; i < TFR_COUNT_OF(wholes); i++, item = item != NULL ? tfr_json_next(item) : NULL) {
        if (item == NULL || !tfr_json_int64(doc, item, wholes[i]) || *wholes[i] < (i < 2 ? 1 : 0)) {
            return refuse(doc, from, "a point", "[class, rows, context, ns, ns at the roof]");
        }
    }
    for (size_t i = 0; i < TFR_COUNT_OF(reals); i++, item = item != NULL ? tfr_json_next(item) : NULL) {
        if (item == NULL || tfr_json_kind(item) != TFR_JSON_NUMBER || tfr_json_number(item) < 0) {
            return refuse(doc, from, "a point", "[class, rows, context, ns, ns at the roof]");
        }
        if (tfr_json_number(item) <= 0 && reals[i] == &point->ns) {
            return refuse(doc, from, "a point", "of a time above 0");
        }
        *reals[i] = tfr_json_number(item);
    }
    return TFR_OK;
}

/* By class, rows, context: predictions search them so. */
static bool is_behind(const struct tfr_calibration_point *point, const struct tfr_calibration_point *before) {
    const int64_t now[] = {point->class_rows, point->rows, point->context},
                  was[] = {before->class_rows, before->rows, before->context};
    size_t i = 0;
    while (i + 1 < TFR_COUNT_OF(now) && now[i] == was[i]) {
        i++;
    }
    return now[i] > was[i];
}

static enum tfr_status read_kernel(const struct tfr_json_doc *doc, const tfr_json *from, struct tfr_calibration *calibration) {
    struct tfr_calibration_kernel head = {0};
    struct tfr_calibration_point point, before = {0};
    const tfr_json *list;
    TFR_TRY(read_text(doc, from, "kernel", head.kernel, sizeof head.kernel));
    TFR_TRY(read_text(doc, from, "shape", head.shape, sizeof head.shape));
    TFR_TRY(read_whole(doc, from, "threads", &head.threads));
    TFR_TRY(find_list(doc, from, "points", TFR_JSON_ARRAY, &list));
    if (tfr_json_size(list) < 1) {
        return refuse(doc, from, "points", "at least one");
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        TFR_TRY(read_point(doc, item, &point));
        if (!is_behind(&point, &before)) {
            return refuse(doc, item, "points", "by rising class, rows and context");
        }
        before = point;
        TFR_TRY(tfr_calibration_add(calibration, head.kernel, head.shape, head.threads, &point));
    }
    return TFR_OK;
}

/* What calibrations of older versions do not have; and large messages that are like small ones. */
static enum tfr_status read_more_of_link(const struct tfr_json_doc *doc, const tfr_json *object, struct tfr_link *link) {
    if (tfr_json_member(object, "large_above_bytes") != NULL) {
        TFR_TRY(read_real(doc, object, "large_above_bytes", &link->large.above_bytes));
        TFR_TRY(read_real(doc, object, "large_alpha_ns", &link->large.alpha_ns));
        TFR_TRY(read_real(doc, object, "large_byte_ns", &link->large.byte_ns));
        TFR_TRY(read_real(doc, object, "large_ways", &link->large.ways));
        link->large.ways = fmin(link->large.ways, TFR_MOST_WAYS);
    }
    if (tfr_json_member(object, "late_ns") != NULL) {
        TFR_TRY(read_real(doc, object, "late_ns", &link->late_ns));
        TFR_TRY(read_real(doc, object, "later_ns", &link->later_ns));
    }
    return TFR_OK;
}

static enum tfr_status read_link(const struct tfr_json_doc *doc, const tfr_json *from, const char *key, int64_t *n_pairs,
                                 struct tfr_link *link) {
    const tfr_json *object;
    *n_pairs = 0;
    if (tfr_json_member(from, key) == NULL) {
        return TFR_OK;
    }
    TFR_TRY(find_list(doc, from, key, TFR_JSON_OBJECT, &object));
    TFR_TRY(read_whole(doc, object, "pairs", n_pairs));
    TFR_TRY(read_real(doc, object, "alpha_ns", &link->alpha_ns));
    TFR_TRY(read_real(doc, object, "byte_ns", &link->byte_ns));
    TFR_TRY(read_more_of_link(doc, object, link));
    return *n_pairs > 0 && link->alpha_ns + link->byte_ns > 0 ? TFR_OK : refuse(doc, object, key, "a link of at least one pair");
}

/* Only where calibrate --net was there. */
static enum tfr_status read_links(const struct tfr_json_doc *doc, struct tfr_measured_links *links) {
    const tfr_json *from, *root = tfr_json_root(doc);
    if (tfr_json_member(root, "net") == NULL) {
        return TFR_OK;
    }
    TFR_TRY(find_list(doc, root, "net", TFR_JSON_OBJECT, &from));
    TFR_TRY(read_text(doc, from, "transport", links->transport, sizeof links->transport));
    TFR_TRY(read_text(doc, from, "measured_at", links->measured_at, sizeof links->measured_at));
    const tfr_json *asleep = tfr_json_member(from, "asleep"); /* older ones do not say */
    links->asleep = asleep != NULL && tfr_json_kind(asleep) == TFR_JSON_BOOL && tfr_json_bool(asleep);
    TFR_TRY(read_link(doc, from, "same_node", &links->shm_pairs, &links->shm));
    return read_link(doc, from, "other_node", &links->net_pairs, &links->net);
}

static enum tfr_status read_all(const struct tfr_json_doc *doc, struct tfr_calibration *calibration) {
    const tfr_json *list, *root = tfr_json_root(doc);
    const char *schema = tfr_json_string(tfr_json_member(root, "schema"));
    if (schema != NULL && strcmp(schema, TFR_CALIBRATION_SCHEMA) != 0 && strncmp(schema, FAMILY, strlen(FAMILY)) == 0) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: schema is %.40s, written by another tfrun, and this one reads %s; run `tfrun calibrate`",
                         tfr_json_name(doc), schema, TFR_CALIBRATION_SCHEMA);
    }
    if (schema == NULL || strcmp(schema, TFR_CALIBRATION_SCHEMA) != 0) {
        return refuse(doc, root, "schema", TFR_CALIBRATION_SCHEMA);
    }
    TFR_TRY(read_conditions(doc, &calibration->conditions));
    TFR_TRY(read_roofs(doc, &calibration->roofs, (int)calibration->conditions.threads));
    TFR_TRY(read_links(doc, &calibration->links));
    TFR_TRY(find_list(doc, root, "kernels", TFR_JSON_ARRAY, &list));
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        TFR_TRY(read_kernel(doc, item, calibration));
    }
    return TFR_OK;
}

enum tfr_status tfr_calibration_read(struct tfr_calibration *calibration, const char *path) {
    struct tfr_json_doc *doc;
    *calibration = (struct tfr_calibration){0};
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_MODEL));
    const enum tfr_status status = read_all(doc, calibration);
    if (status != TFR_OK) {
        tfr_calibration_free(calibration);
    }
    tfr_json_close(doc);
    return status;
}
