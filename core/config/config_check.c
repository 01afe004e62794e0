/* config_check.c - what a reading of a config found, as findings: every field of the table and of the file,
 * every option. The readers only complain; a complaint belongs to the value in whose text its place lies. */
#include "config/config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

enum { MAX_KEY = 256 };

/* What is known of a complaint: whether it stands at some finding, and of one that stands at none the deepest value that has a
 * name. */
struct known {
    bool is_taken;
    const tfr_json *node;
    char *path; /* "tfrun.sampling.top_q" */
};

/* Where a complaint stands in the text; in the order of places, each value's are a range. */
struct place {
    int line, column;
    size_t complaint;
};

/* One collecting. */
struct collector {
    struct tfr_config_reader *reader;
    const struct tfr_override *overrides;
    size_t n_overrides;
    struct tfr_findings *findings;
    struct known *known; /* of each complaint */
    struct place *places;
};

static int by_place(const void *left, const void *right) {
    const struct place *a = left, *b = right;
    const int order =
        a->line != b->line ? (a->line > b->line) - (a->line < b->line) : (a->column > b->column) - (a->column < b->column);
    return order != 0 ? order : (a->complaint > b->complaint) - (a->complaint < b->complaint);
}

/* How many places are before that of the value. */
static size_t count_before(const struct collector *collector, const tfr_json *node, size_t complaint) {
    struct place own = {.complaint = complaint};
    size_t low = 0, high = collector->reader->complaints.n;
    tfr_json_place(collector->reader->doc, node, &own.line, &own.column);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (by_place(&collector->places[middle], &own) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const tfr_json *last_within(const tfr_json *node) {
    for (const tfr_json *child = tfr_json_first(node); child != NULL; child = tfr_json_first(node)) {
        for (; child != NULL; child = tfr_json_next(child)) {
            node = child;
        }
    }
    return node;
}

/* The places from that of the value to that of the last one within it. */
static const struct place *places_within(const struct collector *collector, const tfr_json *node, size_t *n) {
    const size_t first = count_before(collector, node, 0);
    *n = count_before(collector, last_within(node), SIZE_MAX) - first;
    return &collector->places[first];
}

/* The sentence without "file:line:column: ", which stands in columns of its own or means nothing. */
static const char *bare_text(const struct collector *collector, const struct tfr_complaint *complaint) {
    char place[MAX_KEY * 2];
    snprintf(place, sizeof(place), "%s:%d:%d: ", tfr_json_name(collector->reader->doc), complaint->line, complaint->column);
    const size_t length = strlen(place);
    return strncmp(complaint->text, place, length) == 0 ? complaint->text + length : complaint->text;
}

/* Makes a refusal of the finding for each complaint about `node`; the last one counts if there are several. */
static void refuse_for_node(struct collector *collector, const tfr_json *node, struct tfr_finding *finding) {
    const struct tfr_complaint *last = NULL;
    size_t n = 0;
    const struct place *places = node != NULL ? places_within(collector, node, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        const size_t at = places[i].complaint;
        const struct tfr_complaint *complaint = &collector->reader->complaints.items[at];
        last = !collector->known[at].is_taken && (last == NULL || complaint > last) ? complaint : last;
        collector->known[at].is_taken = true;
    }
    if (last != NULL) {
        finding->verdict = TFR_VERDICT_REFUSED;
        finding->status = last->status;
        finding->reason = bare_text(collector, last);
    }
}

static void add_with_node(struct collector *collector, struct tfr_finding *finding, const tfr_json *node) {
    struct tfr_json_out value = {0};
    if (node != NULL) {
        tfr_json_put_node(&value, NULL, collector->reader->doc, node);
        finding->value = value.text;
        finding->source = "file";
        refuse_for_node(collector, node, finding);
    }
    collector->findings->failed |= value.failed;
    tfr_findings_add(collector->findings, finding);
    tfr_free(value.text);
}

/* A token beyond the vocabulary is legal and means none. */
static bool is_dropped_token(const struct collector *collector, const struct tfr_model_field *field, const tfr_json *node) {
    if (field->kind != TFR_FIELD_TOKEN || (node != NULL && tfr_json_kind(node) != TFR_JSON_NUMBER)) {
        return false;
    }
    int32_t id;
    memcpy(&id, (const char *)&collector->reader->config->model + field->offset, sizeof(id));
    const bool had_one = node != NULL ? tfr_json_number(node) >= 0 : strcmp(field->default_text, "null") != 0;
    return id == -1 && had_one;
}

static void collect_field(struct collector *collector, const tfr_json *root, const struct tfr_model_field *field) {
    const tfr_json *node = tfr_json_member(root, field->name);
    const tfr_json *other = field->alias != NULL ? tfr_json_member(root, field->alias) : NULL;
    struct tfr_finding finding = {.about = TFR_ABOUT_FIELD,
                                  .verdict = field->effect == TFR_FIELD_HONOURED ? TFR_VERDICT_HONOURED : TFR_VERDICT_NO_EFFECT,
                                  .name = field->name,
                                  .value = field->default_text,
                                  .source = field->default_text != NULL ? "default" : "absent",
                                  .reason = field->meaning};
    if (is_dropped_token(collector, field, node != NULL ? node : other)) {
        finding.reason = "outside the vocabulary: taken as none";
    }
    refuse_for_node(collector, other, &finding);
    add_with_node(collector, &finding, node != NULL ? node : other);
}

static void collect_fields(struct collector *collector, const tfr_json *root) {
    size_t n;
    const struct tfr_model_field *fields = tfr_config_model_fields(&n);
    for (size_t i = 0; i < n; i++) {
        collect_field(collector, root, &fields[i]);
    }
    for (const tfr_json *node = tfr_json_first(root); node != NULL; node = tfr_json_next(node)) {
        const char *key = tfr_json_key(node);
        if (!tfr_config_is_model_field(key) && strcmp(key, "tfrun") != 0) {
            struct tfr_finding finding = {
                .about = TFR_ABOUT_FIELD, .verdict = TFR_VERDICT_NO_EFFECT, .name = key, .reason = "GPT-2 has no such field"};
            add_with_node(collector, &finding, node);
        }
    }
}

const tfr_json *tfr_config_find_option(const tfr_json *tfrun, const char *key) {
    const char *dot = strchr(key, '.');
    if (dot == NULL) {
        return tfr_json_member(tfrun, key);
    }
    char section[MAX_KEY];
    snprintf(section, sizeof(section), "%.*s", (int)(dot - key), key);
    const tfr_json *below = tfr_json_member(tfrun, section);
    return below != NULL ? tfr_config_find_option(below, dot + 1) : NULL;
}

/* As config.c begins its complaints about an override. */
static bool is_about_override(const struct tfr_complaint *complaint, const struct tfr_override *override) {
    char begin[MAX_KEY];
    const bool is_set = strcmp(override->origin, "--set") == 0;
    snprintf(begin, sizeof(begin), "%s%s%s: ", override->origin, is_set ? " " : "", is_set ? override->key : "");
    return strncmp(complaint->text, begin, strlen(begin)) == 0;
}

/* An override of this option: the flag is the source, and a complaint that names the flag is about it. `text` keeps what was
 * given if it is refused. */
static void apply_override(struct collector *collector, const char *key, struct tfr_finding *finding, struct tfr_json_out *text) {
    const struct tfr_complaints *complaints = &collector->reader->complaints;
    for (size_t o = 0; o < collector->n_overrides; o++) {
        const struct tfr_override *override = &collector->overrides[o];
        if (strcmp(tfr_option_plain(override->key), key) != 0) {
            continue;
        }
        finding->source = override->origin;
        for (size_t i = 0; i < complaints->n; i++) {
            const struct tfr_complaint *complaint = &complaints->items[i];
            if (!collector->known[i].is_taken && is_about_override(complaint, override)) {
                text->size = 0;
                text->comma = false;
                tfr_json_put_text(text, NULL, override->value);
                collector->known[i].is_taken = true;
                finding->value = text->text;
                finding->verdict = TFR_VERDICT_REFUSED;
                finding->status = complaint->status;
                finding->reason = complaint->text;
            }
        }
    }
}

/* Of an option that neither "tfrun" nor the command line names. */
static const char *weaker_source(const struct tfr_config *config, const char *key) {
    const int option = tfr_option_find(key);
    switch (option >= 0 ? (enum tfr_origin)config->origin[option] : TFR_ORIGIN_DEFAULT) {
    case TFR_ORIGIN_GENERATION:
        return "generation";
    case TFR_ORIGIN_TASK_PARAMS:
        return "task params";
    default:
        return "default";
    }
}

static void collect_option(struct collector *collector, const tfr_json *tfrun, const char *key, const char *help,
                           const char *value) {
    const tfr_json *node = tfr_config_find_option(tfrun, key);
    struct tfr_finding finding = {.about = TFR_ABOUT_OPTION,
                                  .name = key,
                                  .value = value,
                                  .source = node != NULL ? "file" : weaker_source(collector->reader->config, key),
                                  .reason = help};
    struct tfr_json_out refused = {0};
    const char *idle = tfr_config_idle_rounding(collector->reader->config, key);
    if (idle != NULL) {
        finding.verdict = TFR_VERDICT_NO_EFFECT;
        finding.reason = idle;
    }
    refuse_for_node(collector, node, &finding);
    if (finding.verdict == TFR_VERDICT_REFUSED) { /* what was refused, not what stands in its place */
        tfr_json_put_node(&refused, NULL, collector->reader->doc, node);
        finding.value = refused.text;
    }
    apply_override(collector, key, &finding, &refused);
    collector->findings->failed |= refused.failed;
    tfr_findings_add(collector->findings, &finding);
    tfr_free(refused.text);
}

static void put_device_map(struct tfr_json_out *out, const struct tfr_device_map *map) {
    if (map->n_blocks == 0) {
        tfr_json_put_null(out, NULL);
        return;
    }
    tfr_json_begin(out, NULL, '[');
    for (int64_t block = 0; block < map->n_blocks; block++) {
        tfr_json_put_int(out, NULL, map->rank_of_block[block]);
    }
    tfr_json_end(out, ']');
}

static void put_option(struct tfr_json_out *out, struct tfr_options *options, int option, const char *key) {
    const void *member = tfr_option_member(options, option);
    const enum tfr_option_type type = tfr_option_type(option);
    if (type == TFR_OPTION_BOOL) {
        tfr_json_put_bool(out, NULL, *(const bool *)member);
    } else if (type == TFR_OPTION_REAL) {
        tfr_json_put_number(out, NULL, *(const double *)member);
    } else if (type == TFR_OPTION_CHOICE) {
        tfr_json_put_text(out, NULL, tfr_choice_name(key, *(const int *)member));
    } else if (type == TFR_OPTION_LIST) {
        const struct tfr_string_list *list = member;
        tfr_json_put_texts(out, NULL, list->items, list->n);
    } else if (type == TFR_OPTION_COUNT && *(const int64_t *)member == 0) {
        tfr_json_put_text(out, NULL, "auto");
    } else if (type == TFR_OPTION_SEED && *(const int64_t *)member < 0) {
        tfr_json_put_null(out, NULL);
    } else if (type == TFR_OPTION_INT || type == TFR_OPTION_COUNT || type == TFR_OPTION_SEED) {
        tfr_json_put_int(out, NULL, *(const int64_t *)member);
    } else {
        tfr_json_put_text_or_null(out, NULL, *(char *const *)member);
    }
}

static void collect_options(struct collector *collector, const tfr_json *tfrun) {
    struct tfr_config *config = collector->reader->config;
    size_t n;
    const struct tfr_option_info *table = tfr_option_table(&n);
    for (size_t i = 0; i <= n; i++) {
        struct tfr_json_out value = {0};
        if (i < n) {
            put_option(&value, &config->options, (int)i, table[i].key);
        } else {
            put_device_map(&value, &config->device_map);
        }
        collector->findings->failed |= value.failed;
        collect_option(collector, tfrun, i < n ? table[i].key : "parallel.device_map", i < n ? table[i].help : "rank of each block",
                       value.text);
        tfr_free(value.text);
    }
}

/* The deepest value at each complaint's place, and its name. */
static void find_nodes(struct collector *collector, const tfr_json *object, const char *path) {
    char own[MAX_KEY];
    for (const tfr_json *child = tfr_json_first(object); child != NULL; child = tfr_json_next(child)) {
        size_t n = 0;
        const struct place *places = tfr_json_key(child) != NULL ? places_within(collector, child, &n) : NULL;
        if (n == 0) {
            continue;
        }
        snprintf(own, sizeof(own), "%s%s%s", path, path[0] != '\0' ? "." : "", tfr_json_key(child));
        find_nodes(collector, child, own);
        for (size_t i = 0; i < n; i++) {
            struct known *known = &collector->known[places[i].complaint];
            if (!known->is_taken && known->node == NULL) {
                known->node = child;
                known->path = tfr_strdup(own);
                collector->findings->failed |= known->path == NULL;
            }
        }
    }
}

static void add_rest(struct collector *collector, const struct tfr_complaint *complaint, const struct known *known) {
    const struct tfr_json_doc *doc = collector->reader->doc;
    const tfr_json *node = known->node;
    const char *path = known->path != NULL ? known->path : "";
    const bool has_place = complaint->line < TFR_COMPLAINT_GENERATION_LINE;
    const char *elsewhere = complaint->line == TFR_COMPLAINT_GENERATION_LINE ? "generation_config.json"
                            : complaint->line == TFR_COMPLAINT_TOGETHER_LINE ? "sampling"
                                                                             : "command line";
    const bool is_option = node != NULL && strstr(path, "tfrun.") == path;
    struct tfr_json_out value = {0};
    if (node != NULL) {
        tfr_json_put_node(&value, NULL, doc, node);
    }
    const struct tfr_finding finding = {.about = is_option ? TFR_ABOUT_OPTION : TFR_ABOUT_OTHER,
                                        .verdict = TFR_VERDICT_REFUSED,
                                        .status = complaint->status,
                                        .name = is_option      ? path + 6
                                                : node != NULL ? path
                                                : has_place    ? "config"
                                                               : elsewhere,
                                        .value = value.text,
                                        .source = has_place ? "file" : elsewhere,
                                        .reason = bare_text(collector, complaint)};
    collector->findings->failed |= value.failed;
    tfr_findings_add(collector->findings, &finding);
    tfr_free(value.text);
}

/* Complaints about nothing in the tables: unknown options, the command line, the file as a whole. */
static void collect_rest(struct collector *collector, const tfr_json *root) {
    const struct tfr_complaints *complaints = &collector->reader->complaints;
    find_nodes(collector, root, "");
    for (size_t i = 0; i < complaints->n; i++) {
        if (!collector->known[i].is_taken) {
            add_rest(collector, &complaints->items[i], &collector->known[i]);
        }
        tfr_free(collector->known[i].path);
    }
}

/* False without memory. */
static bool place_complaints(struct collector *collector) {
    const struct tfr_complaints *complaints = &collector->reader->complaints;
    collector->known = tfr_alloc(complaints->n + 1, sizeof(*collector->known));
    collector->places = tfr_alloc(complaints->n + 1, sizeof(*collector->places));
    if (collector->known == NULL || collector->places == NULL) {
        return false;
    }
    for (size_t i = 0; i < complaints->n; i++) {
        collector->places[i] = (struct place){complaints->items[i].line, complaints->items[i].column, i};
    }
    qsort(collector->places, complaints->n, sizeof(*collector->places), by_place);
    return true;
}

enum tfr_status tfr_config_collect(struct tfr_config_reader *reader, const struct tfr_override *overrides, size_t n_overrides,
                                   struct tfr_findings *findings) {
    const tfr_json *root = tfr_json_root(reader->doc);
    struct collector collector = {.reader = reader, .overrides = overrides, .n_overrides = n_overrides, .findings = findings};
    const bool has_memory = place_complaints(&collector);
    if (has_memory) {
        collect_fields(&collector, root);
        collect_options(&collector, tfr_json_member(root, "tfrun"));
        collect_rest(&collector, root);
        findings->failed |= reader->complaints.n_lost > 0;
    }
    tfr_free(collector.known);
    tfr_free(collector.places);
    return has_memory && !findings->failed ? TFR_OK : TFR_RESOURCE;
}
