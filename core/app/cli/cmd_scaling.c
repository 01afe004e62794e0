/* cmd_scaling.c - `tfrun scaling --report FILE...`: documents of `tfrun bench` on different ranks and threads, joined. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tfrun/study.h>

#include "app/cli/measure.h"
#include "app/cli/results.h"

static const struct tfr_flag flags[] = {
    {"report", NULL, "join these documents", 0},
    {"format", "FORM", "table, md, json or csv [table]", 0},
    {"json", NULL, "the same as --format json", 0},
    {"output", "DIR", "write all formats into this folder, with pictures and the gnuplot scripts that draw them", 'o'},
    {"force", NULL, "write over files that are there", 0},
};

static const char *const reads[] = {NULL};

/* The documents that were read. */
struct documents {
    struct tfr_bench **benches;
    size_t n;
};

static int add(struct documents *documents, const char *path) {
    struct tfr_bench **grown = realloc(documents->benches, (documents->n + 1) * sizeof(struct tfr_bench *));
    if (grown == NULL) {
        return tfr_cli_no_memory("the documents");
    }
    documents->benches = grown;
    const enum tfr_status status = tfr_bench_read(&documents->benches[documents->n], path);
    documents->n += status == TFR_OK;
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

static int is_json(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot != NULL && strcmp(dot, ".json") == 0;
}

/* Of a folder: other documents, such as a report of this command, are passed over. */
static int add_found(struct documents *documents, const char *path) {
    bool is = false;
    const enum tfr_status status = tfr_bench_is_document(path, &is);
    if (status == TFR_OK && !is) {
        tfr_cli_tell("%s is passed over: no document of bench", path);
    }
    return status != TFR_OK ? tfr_cli_fail(status) : is ? add(documents, path) : 0;
}

static int add_folder(struct documents *documents, const char *folder) {
    struct dirent **files;
    int code = 0;
    const int n = scandir(folder, &files, is_json, alphasort);
    if (n < 0) {
        tfr_cli_tell("%s: cannot look for documents in this folder: %s; give the documents by name, or a folder that can be read",
                     folder, strerror(errno));
        return tfr_exit_code(TFR_RESOURCE);
    }
    if (n == 0) {
        free(files);
        return tfr_cli_usage("%s: no documents there (*.json)", folder);
    }
    for (int i = 0; i < n; i++) {
        char path[4096];
        const bool fits = snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name) < (int)sizeof path;
        if (code == 0) {
            code = fits ? add_found(documents, path) : tfr_cli_usage("%s: its name is too long", folder);
        }
        free(files[i]);
    }
    free(files);
    return code;
}

static int read_all(struct documents *documents, const struct tfr_args *args) {
    int code = 0;
    for (int i = 0; i < args->n_operands && code == 0; i++) {
        struct stat about;
        const bool is_folder = stat(args->operands[i], &about) == 0 && S_ISDIR(about.st_mode);
        code = is_folder ? add_folder(documents, args->operands[i]) : add(documents, args->operands[i]);
    }
    return code;
}

/* Files that are to be written, all or none. */
struct files {
    struct file {
        char path[4096], *text;
    } * items;
    size_t n;
};

static void free_files(struct files *files) {
    for (size_t i = 0; i < files->n; i++) {
        tfr_string_free(files->items[i].text);
    }
    free(files->items);
}

/* Takes the text. */
static int add_file(struct files *files, const char *folder, const char *name, const char *ending, char *text) {
    struct file *grown = realloc(files->items, (files->n + 1) * sizeof *grown);
    if (grown == NULL) {
        tfr_string_free(text);
        return tfr_cli_no_memory("the files");
    }
    files->items = grown;
    struct file *file = &files->items[files->n++];
    file->text = text;
    const bool fits = snprintf(file->path, sizeof file->path, "%s/%s%s", folder, name, ending) < (int)sizeof file->path;
    return fits ? 0 : tfr_cli_usage("--output: its name is too long");
}

static int add_tables(struct files *files, const struct tfr_scaling *scaling, const char *folder) {
    static const char *const endings[] = {
        [TFR_TABLE_TEXT] = ".txt", [TFR_TABLE_MD] = ".md", [TFR_TABLE_JSON] = ".json", [TFR_TABLE_CSV] = ".csv"};
    int code = 0;
    for (int form = 0; form < 4 && code == 0; form++) {
        char *text;
        const enum tfr_status status = tfr_report_scaling(scaling, (enum tfr_table_form)form, &text);
        code = status == TFR_OK ? add_file(files, folder, "scaling", endings[form], text) : tfr_cli_fail(status);
    }
    return code;
}

static int add_picture(struct files *files, const struct tfr_scaling_picture *picture, const char *folder, bool draws) {
    char *text = strdup(picture->script);
    int code = text != NULL ? add_file(files, folder, picture->name, ".gp", text) : tfr_cli_no_memory("a script");
    if (code == 0 && draws) {
        const enum tfr_status status = tfr_scaling_draw(picture, &text);
        code = status == TFR_OK ? add_file(files, folder, picture->name, ".svg", text) : tfr_cli_fail(status);
    }
    return code;
}

/* Without gnuplot the scripts alone. */
static int add_pictures(struct files *files, const struct tfr_scaling *scaling, const char *folder) {
    struct tfr_scaling_picture *pictures;
    size_t n;
    const enum tfr_status status = tfr_scaling_pictures(scaling, &pictures, &n);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    const bool draws = tfr_roofline_check() == TFR_OK;
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++) {
        code = add_picture(files, &pictures[i], folder, draws);
    }
    tfr_scaling_pictures_free(pictures, n);
    if (code == 0 && n > 0 && !draws) {
        fprintf(stderr, "tfrun: there is no gnuplot on PATH (package gnuplot-nox): scripts are written, and no pictures\n");
    }
    return code;
}

/* First whether all can be written. */
static int write_files(const struct files *files, bool force) {
    enum tfr_status status = TFR_OK;
    for (size_t i = 0; i < files->n && status == TFR_OK; i++) {
        status = tfr_result_write(files->items[i].path, NULL, 0, force);
    }
    for (size_t i = 0; i < files->n && status == TFR_OK; i++) {
        status = tfr_result_write(files->items[i].path, files->items[i].text, strlen(files->items[i].text), force);
        if (status == TFR_OK) {
            tfr_results_print("%s\n", files->items[i].path);
        }
    }
    return status == TFR_OK ? 0 : tfr_cli_fail(status);
}

static int write_folder(const struct tfr_scaling *scaling, const struct tfr_args *args) {
    const char *folder = tfr_args_flag(args, "output");
    struct files files = {0};
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        tfr_cli_tell("--output: cannot make %s: %s; give a folder that can be written", folder, strerror(errno));
        return tfr_exit_code(TFR_RESOURCE);
    }
    int code = add_tables(&files, scaling, folder);
    code = code == 0 ? add_pictures(&files, scaling, folder) : code;
    code = code == 0 ? write_files(&files, tfr_args_flag(args, "force") != NULL) : code;
    free_files(&files);
    return code;
}

static int report(const struct documents *documents, const struct tfr_args *args, enum tfr_table_form form) {
    struct tfr_scaling *scaling;
    char *text;
    enum tfr_status status = tfr_scaling_join(&scaling, (const struct tfr_bench *const *)documents->benches, documents->n);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    int code;
    if (tfr_args_flag(args, "output") != NULL) {
        code = write_folder(scaling, args);
    } else {
        status = tfr_report_scaling(scaling, form, &text);
        code = status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
    }
    tfr_scaling_free(scaling);
    return code;
}

static int run(struct tfr_args *args) {
    struct documents documents = {0};
    enum tfr_table_form form;
    if (tfr_args_flag(args, "report") == NULL) {
        return tfr_cli_usage("`tfrun scaling` joins documents with --report; `tfrun bench` measures them");
    }
    if (args->n_operands == 0) {
        return tfr_cli_usage("give documents of `tfrun bench --json`, or folders of them");
    }
    if (!tfr_measure_read_form(args, &form)) {
        return tfr_exit_code(TFR_USAGE);
    }
    if (tfr_args_flag(args, "output") != NULL && (tfr_args_flag(args, "format") != NULL || tfr_args_flag(args, "json") != NULL)) {
        return tfr_cli_usage("--output writes all formats: leave --format out");
    }
    if (tfr_args_flag(args, "force") != NULL && tfr_args_flag(args, "output") == NULL) {
        return tfr_cli_usage("--force is for --output, which is not given");
    }
    int code = read_all(&documents, args);
    if (code == 0) {
        const enum tfr_status status = tfr_bench_fold(documents.benches, &documents.n);
        code = status == TFR_OK ? 0 : tfr_cli_fail(status);
    }
    code = code == 0 ? report(&documents, args, form) : code;
    for (size_t i = 0; i < documents.n; i++) {
        tfr_bench_free(documents.benches[i]);
    }
    free(documents.benches);
    return code != 0 ? code : tfr_cli_flush();
}

const struct tfr_command tfr_cmd_scaling = {
    .name = "scaling",
    .operands = "FILE...",
    .help = "what more ranks and threads bring: documents of bench, joined",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};
