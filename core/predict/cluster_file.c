/* cluster_file.c - see cluster_file.h: one table of keys, with unit and range of each. */
#include "predict/cluster_file.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"

/* Small messages between two processes of a node take 7 to 9 us with Open MPI where they share cores, large ones 5 GB/s. */
#define SHM_ALPHA_NS  8000.0
#define SHM_GB_S      5.0
#define USUAL_NODE_NS 2000.0

enum unit { WHOLE, US, GBIT_S, GB_S, GFLOPS };
static const double scale[] = {[US] = 1e3, [GB_S] = 1e9, [GFLOPS] = 1e9};

/* Rates of links are kept as ns a byte. */
static const struct key {
    const char *object, *name; /* object NULL: of the file itself */
    enum unit unit;
    double least, most;
    bool needed;
    size_t at; /* in struct tfr_cluster_facts: int of WHOLE, else double */
} keys[] = {
#define AT(member) offsetof(struct tfr_cluster_facts, member)
    {NULL, "nodes", WHOLE, 1, 1e6, true, AT(cluster.nodes)},
    {NULL, "ranks_per_node", WHOLE, 1, 1e4, true, AT(cluster.ranks_per_node)},
    {NULL, "bandwidth_gbs", GB_S, 1e-3, 1e6, false, AT(speed.bytes_per_s)},
    {NULL, "node_bandwidth_gbs", GB_S, 1e-3, 1e6, false, AT(speed.node_bytes_per_s)},
    {NULL, "gflops", GFLOPS, 1e-3, 1e9, false, AT(speed.flops_per_s)},
    {NULL, "node_us", US, 0, 1e6, false, AT(speed.node_ns)},
    {"net", "alpha_us", US, 0, 1e9, true, AT(cluster.net.alpha_ns)},
    {"net", "gbit_s", GBIT_S, 1e-6, 1e6, true, AT(cluster.net.byte_ns)},
    {"shm", "alpha_us", US, 0, 1e9, true, AT(cluster.shm.alpha_ns)},
    {"shm", "gb_s", GB_S, 1e-6, 1e6, true, AT(cluster.shm.byte_ns)},
#undef AT
};
static const char *const objects[] = {NULL, "net", "shm"};

static bool is_of(const struct key *key, const char *object) {
    return key->object == object || (key->object != NULL && object != NULL && strcmp(key->object, object) == 0);
}

static const struct key *find(const char *object, const char *name) {
    for (size_t i = 0; i < TFR_COUNT_OF(keys); i++) {
        if (is_of(&keys[i], object) && strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static enum tfr_status refuse(const struct tfr_json_doc *doc, const tfr_json *node, const char *object, const char *name,
                              const char *what) {
    int line, column;
    tfr_json_place(doc, node, &line, &column);
    return tfr_raise(TFR_CONFIG, "%s:%d:%d: %s%s%s %s", tfr_json_name(doc), line, column, object != NULL ? object : "",
                     object != NULL ? "." : "", name, what);
}

static void store(struct tfr_cluster_facts *facts, const struct key *key, double value) {
    char *at = (char *)facts + key->at;
    if (key->unit == WHOLE) {
        const int whole = (int)value;
        memcpy(at, &whole, sizeof whole);
        return;
    }
    const bool is_link = key->object != NULL && key->unit != US;
    const double number = !is_link ? value * scale[key->unit] : key->unit == GBIT_S ? 8 / value : 1 / value;
    memcpy(at, &number, sizeof number);
}

static enum tfr_status read_key(const struct tfr_json_doc *doc, const tfr_json *node, const char *object,
                                struct tfr_cluster_facts *facts) {
    const struct key *key = find(object, tfr_json_key(node));
    char range[96];
    int64_t whole;
    if (key == NULL) {
        return refuse(doc, node, object, tfr_json_key(node), "is no key of a cluster; docs/scaling.md lists them");
    }
    const double value = tfr_json_kind(node) == TFR_JSON_NUMBER ? tfr_json_number(node) : NAN;
    const bool is_right = value >= key->least && value <= key->most;
    if (!is_right || (key->unit == WHOLE && !tfr_json_whole(doc, node, &whole))) {
        snprintf(range, sizeof range, "is not a %s in %g..%g", key->unit == WHOLE ? "whole number" : "number", key->least,
                 key->most);
        return refuse(doc, node, object, key->name, range);
    }
    store(facts, key, value);
    return TFR_OK;
}

/* The keys of one object; those that it must have are there. */
static enum tfr_status read_object(const struct tfr_json_doc *doc, const tfr_json *from, const char *object,
                                   struct tfr_cluster_facts *facts) {
    if (tfr_json_kind(from) != TFR_JSON_OBJECT) {
        return refuse(doc, from, NULL, object != NULL ? object : "the file", "is not an object");
    }
    for (const tfr_json *node = tfr_json_first(from); node != NULL; node = tfr_json_next(node)) {
        const bool is_object = object == NULL && (strcmp(tfr_json_key(node), "net") == 0 || strcmp(tfr_json_key(node), "shm") == 0);
        TFR_TRY(is_object ? read_object(doc, node, tfr_json_key(node), facts) : read_key(doc, node, object, facts));
    }
    for (size_t i = 0; i < TFR_COUNT_OF(keys); i++) {
        if (is_of(&keys[i], object) && keys[i].needed && tfr_json_member(from, keys[i].name) == NULL) {
            return refuse(doc, from, object, keys[i].name, "is missing");
        }
    }
    return TFR_OK;
}

static enum tfr_status read_all(const struct tfr_json_doc *doc, struct tfr_cluster_facts *facts, bool links_are_measured) {
    const tfr_json *root = tfr_json_root(doc);
    TFR_TRY(read_object(doc, root, objects[0], facts));
    const bool has_bandwidth = tfr_json_member(root, "bandwidth_gbs") != NULL, has_flops = tfr_json_member(root, "gflops") != NULL;
    if (has_bandwidth != has_flops) {
        return refuse(doc, root, NULL, has_bandwidth ? "gflops" : "bandwidth_gbs",
                      "is missing: the speed of a rank is both, or neither where it is this machine's");
    }
    if (!has_bandwidth && (tfr_json_member(root, "node_us") != NULL || tfr_json_member(root, "node_bandwidth_gbs") != NULL)) {
        return refuse(doc, root, NULL, "bandwidth_gbs",
                      "is missing: node_us and node_bandwidth_gbs belong to ranks whose speed the file tells");
    }
    for (size_t i = 1; i < TFR_COUNT_OF(objects) && links_are_measured; i++) {
        if (tfr_json_member(root, objects[i]) != NULL) {
            return refuse(doc, root, NULL, objects[i],
                          "is told here, and --net calibrated takes links as they were measured; leave one out");
        }
    }
    if (facts->cluster.nodes > 1 && tfr_json_member(root, "net") == NULL && !links_are_measured) {
        return refuse(doc, root, NULL, "net", "is missing, and there are several nodes");
    }
    facts->has_speed = has_bandwidth;
    return TFR_OK;
}

struct tfr_cluster_facts tfr_cluster_of_one_node(void) {
    return (struct tfr_cluster_facts){
        .cluster = {.nodes = 1, .ranks_per_node = INT_MAX, .shm = {.alpha_ns = SHM_ALPHA_NS, .byte_ns = 1 / SHM_GB_S}},
        .speed = {.node_ns = USUAL_NODE_NS}};
}

enum tfr_status tfr_cluster_read(struct tfr_cluster_facts *facts, const char *path, bool links_are_measured) {
    struct tfr_json_doc *doc;
    *facts = tfr_cluster_of_one_node();
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_CONFIG));
    const enum tfr_status status = read_all(doc, facts, links_are_measured);
    tfr_json_close(doc);
    return status;
}

enum tfr_status tfr_cluster_net(struct tfr_cluster_facts *facts, const char *text) {
    const struct key *alpha = find("net", "alpha_us"), *rate = find("net", "gbit_s");
    char *end;
    *facts = tfr_cluster_of_one_node();
    const double first = strtod(text, &end);
    const bool has_comma = end != text && *end == ',';
    const char *behind = has_comma ? end + 1 : end;
    const double second = strtod(behind, &end);
    if (!has_comma || end == behind || *end != '\0' || !(first >= alpha->least && first <= alpha->most) ||
        !(second >= rate->least && second <= rate->most)) {
        return tfr_raise(
            TFR_USAGE,
            "--net: \"%s\" is not ALPHA_US,GBIT_S: the microseconds of a small message, and the gigabits a second of a "
            "large one, such as 25,10",
            text);
    }
    store(facts, alpha, first);
    store(facts, rate, second);
    facts->cluster.nodes = INT_MAX;
    facts->cluster.ranks_per_node = 1;
    return TFR_OK;
}
