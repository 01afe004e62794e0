/* test_registry.c - where plugins come from, which are refused with which sentence, and the user's list. */
#include "plan/registry.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tfr_test.h"

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "common/plugins_static.h"
#include "plan/plugin_load.h"

#define PLUGINS TFR_BINARY_DIR "/tests/plugins/"

/* Takes the place of the generated list. */
static const struct tfr_plugin linked_in = {
    .struct_size = sizeof(struct tfr_plugin), .abi_major = TFR_PLUGIN_ABI_MAJOR, .name = "linked", .n_kernels = 0};
static const struct tfr_plugin *enter_linked(const struct tfr_host *host) {
    (void)host;
    return &linked_in;
}
static const struct tfr_plugin *decline(const struct tfr_host *host) {
    host->log("shy", "not today");
    return NULL;
}
const tfr_plugin_entry_fn tfr_static_plugins[] = {decline, enter_linked, NULL};
const int tfr_n_static_plugins = 2;
const char *const tfr_bundled_plugins[] = {"linked", "onednn", NULL};

static char last_warning[1024];
static void keep_warning(void *user, enum tfr_log_level level, const char *area, const char *text) {
    (void)user, (void)area;
    if (level == TFR_LOG_WARN) {
        snprintf(last_warning, sizeof(last_warning), "%s", text);
    }
}

static enum tfr_status open_both(struct tfr_registry **registry, char *path, const char *bundled, const char *folder,
                                 const char *list) {
    char *const paths[] = {path};
    const char *const folders[] = {bundled, folder, NULL};
    const struct tfr_registry_request request = {.paths = paths,
                                                 .n_paths = path != NULL,
                                                 .folders = folders,
                                                 .n_bundled = 1,
                                                 .list = list,
                                                 .isa = TFR_ISA_AVX2,
                                                 .n_cores = 2};
    tfr_log_set_callback(keep_warning, NULL);
    last_warning[0] = '\0';
    return tfr_registry_open(registry, &request);
}

static enum tfr_status open_with(struct tfr_registry **registry, char *path, const char *folder, const char *list) {
    return open_both(registry, path, "no bundled folder", folder, list);
}

static const struct tfr_plugin *find(const struct tfr_registry *registry, const char *name) {
    size_t n;
    const struct tfr_registry_entry *entries = tfr_registry_plugins(registry, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(entries[i].plugin->name, name) == 0) {
            return entries[i].plugin;
        }
    }
    return NULL;
}

TFR_TEST(plugin_of_a_path_is_loaded) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_ok(open_with(&registry, PLUGINS "fake_plugin.so", NULL, NULL));
    const struct tfr_plugin *plugin = find(registry, "fake");
    assert_non_null(plugin);
    assert_int_equal(plugin->n_kernels, 4);
    assert_string_equal(plugin->kernels[2]->name, "linear.f32.fake.plain");
    tfr_registry_close(registry);
}

TFR_TEST(plugins_of_a_folder_are_found) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_ok(open_with(&registry, NULL, PLUGINS "found", NULL));
    assert_non_null(find(registry, "fake"));
    assert_non_null(strstr(last_warning, "built for plugin ABI 1")); /* the other one there: a warning, no error */
    tfr_registry_close(registry);
}

TFR_TEST(missing_folder_is_no_error) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_ok(open_with(&registry, NULL, PLUGINS "no such folder", NULL));
    assert_null(find(registry, "fake"));
    tfr_registry_close(registry);
}

TFR_TEST(a_name_that_is_taken_is_refused) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_refused(open_both(&registry, PLUGINS "fake_plugin.so", PLUGINS "found", NULL, NULL), TFR_RESOURCE,
                   "plugin " PLUGINS "fake_plugin.so: another plugin of the name fake is already there, from " PLUGINS
                   "found/tfr_fake.so; give this one a name of its own");
    assert_refused(open_with(&registry, PLUGINS "fake_twins.so", NULL, NULL), TFR_RESOURCE,
                   "kernel 1 (add.f32.fake.plain): another kernel of this plugin has the same name");
    assert_ok(open_with(&registry, PLUGINS "fake_plugin.so", PLUGINS "found", NULL));
    assert_non_null(strstr(last_warning, "not taken: another plugin of the name fake"));
    size_t n, n_fake = 0;
    const struct tfr_registry_entry *entries = tfr_registry_plugins(registry, &n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(entries[i].plugin->name, "fake") == 0) {
            assert_string_equal(entries[i].path, PLUGINS "fake_plugin.so");
            n_fake++;
        }
    }
    assert_int_equal(n_fake, 1);
    tfr_registry_close(registry);
}

TFR_TEST(wrong_abi_is_refused_with_a_sentence) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_refused(open_with(&registry, PLUGINS "bad_abi_plugin.so", NULL, NULL), TFR_RESOURCE,
                   "plugin " PLUGINS
                   "bad_abi_plugin.so: built for plugin ABI 1, this tfrun speaks 2: functions take the kernel first, `run` returns "
                   "a status, kernels are pointers, `query` is `prepare`; docs/plugin-abi.md says what changed; then rebuild it "
                   "against these headers");
    assert_null(registry);
}

TFR_TEST(newer_minor_is_accepted) {
    TFR_UNUSED_STATE;
    const struct tfr_plugin newer = {
        .struct_size = sizeof(newer), .abi_major = TFR_PLUGIN_ABI_MAJOR, .abi_minor = TFR_PLUGIN_ABI_MINOR + 1, .name = "newer"};
    assert_ok(tfr_plugin_check(&newer, "p.so"));
}

TFR_TEST(declining_plugin_gives_its_reason) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_refused(open_with(&registry, PLUGINS "fake_declines.so", NULL, NULL), TFR_RESOURCE,
                   "declines: needs a machine of another kind");
}

TFR_TEST(incomplete_kernel_is_refused_by_name) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_refused(open_with(&registry, PLUGINS "fake_no_run.so", NULL, NULL), TFR_RESOURCE,
                   "kernel 3 (send_hidden.f32.fake.plain): it has no run function");
}

TFR_TEST(other_shared_objects_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_refused(open_with(&registry, PLUGINS "fake_no_entry.so", NULL, NULL), TFR_RESOURCE, "does not export tfr_plugin_entry");
    assert_refused(open_with(&registry, PLUGINS "nothing.so", NULL, NULL), TFR_RESOURCE, "cannot be loaded");
    assert_refused(open_with(&registry, "libm.so.6", NULL, NULL), TFR_RESOURCE, "cannot be loaded");
}

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    (void)self;
    (void)args, (void)ctx, (void)problem;
    return TFR_OK;
}

TFR_TEST(every_fault_of_a_record_is_found) {
    TFR_UNUSED_STATE;
    const struct tfr_kernel good = {.struct_size = sizeof(good), .name = "k", .op = TFR_OP_ADD, .run = run};
    struct tfr_kernel kernel = good;
    struct tfr_plugin plugin = {.struct_size = sizeof(plugin),
                                .abi_major = TFR_PLUGIN_ABI_MAJOR,
                                .name = "p",
                                .n_kernels = 1,
                                .kernels = (const struct tfr_kernel *const[]){&kernel}};
    assert_ok(tfr_plugin_check(&plugin, "p.so"));
    kernel.op = TFR_OP_COUNT;
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "op is not in the op table");
    kernel = good;
    kernel.run_class = TFR_RUN_ASYNC;
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "no poll function");
    kernel.run_class = 77;
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "run class");
    kernel = good;
    kernel.struct_size = 8;
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "struct_size");
    kernel = good;
    kernel.name = "";
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "no name");
    plugin.name = "";
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "incomplete");
    plugin.struct_size = 4;
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "too few for a version");
}

TFR_TEST(kernels_of_a_newer_minor_still_have_names) {
    TFR_UNUSED_STATE;
    struct tfr_kernel unheard = {.struct_size = sizeof(unheard), .name = "later", .op = TFR_OP_COUNT, .run = run};
    const struct tfr_kernel known = {.struct_size = sizeof(known), .name = "k", .op = TFR_OP_ADD, .run = run};
    const struct tfr_plugin plugin = {.struct_size = sizeof(plugin),
                                      .abi_major = TFR_PLUGIN_ABI_MAJOR,
                                      .abi_minor = TFR_PLUGIN_ABI_MINOR + 1,
                                      .name = "p",
                                      .n_kernels = 2,
                                      .kernels = (const struct tfr_kernel *const[]){&known, &unheard}};
    assert_ok(tfr_plugin_check(&plugin, "p.so"));
    unheard.name = NULL;
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "kernel 1 (no name): it has no name");
    unheard.name = "k";
    assert_refused(tfr_plugin_check(&plugin, "p.so"), TFR_RESOURCE, "another kernel of this plugin has the same name");
}

TFR_TEST(linked_plugins_come_without_files) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_ok(open_with(&registry, NULL, NULL, NULL));
    assert_ptr_equal(find(registry, "linked"), &linked_in);
    assert_non_null(strstr(last_warning, "not today"));
    tfr_registry_close(registry);
}

TFR_TEST(same_name_twice_is_refused) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_ok(open_with(&registry, NULL, NULL, NULL));
    assert_refused(tfr_registry_add(registry, &linked_in, "again"), TFR_RESOURCE, "another plugin of the name linked");
    tfr_registry_close(registry);
}

TFR_TEST(list_bans_and_prefers_by_plugin_and_by_prefix) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_ok(open_with(&registry, PLUGINS "fake_plugin.so", NULL, "-layer_norm.f32, linear.f32.fake,fake"));
    const struct tfr_kernel *const *kernels = find(registry, "fake")->kernels;
    char reason[96];
    assert_true(tfr_registry_allows(registry, kernels[0], "fake", reason, sizeof(reason)));
    assert_string_equal(reason, "");
    assert_false(tfr_registry_allows(registry, kernels[1], "fake", reason, sizeof(reason)));
    assert_string_equal(reason, "banned by the user's list (-layer_norm.f32)");
    assert_true(tfr_registry_preference(registry, kernels[2], "fake") > tfr_registry_preference(registry, kernels[0], "fake"));
    assert_true(tfr_registry_preference(registry, kernels[0], "fake") > 0);
    assert_int_equal(tfr_registry_preference(registry, &(struct tfr_kernel){.name = "add.f32.own"}, "own"), 0);
    tfr_registry_close(registry);
}

TFR_TEST(ref_cannot_be_banned) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_refused(open_with(&registry, NULL, NULL, "-ref"), TFR_CONFIG, "ref cannot be banned");
    assert_refused(open_with(&registry, NULL, NULL, "a,-"), TFR_CONFIG, "'-' without a name");
    assert_ok(open_with(&registry, PLUGINS "fake_plugin.so", NULL, "-linear"));
    char reason[96];
    const struct tfr_kernel kernel = {.name = "linear.f32.ref.plain"};
    assert_true(tfr_registry_allows(registry, &kernel, "ref", reason, sizeof(reason)));
    assert_false(tfr_registry_allows(registry, &kernel, "other", reason, sizeof(reason)));
    tfr_registry_close(registry);
}

TFR_TEST(word_that_names_nothing_is_refused) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_refused(open_with(&registry, PLUGINS "fake_plugin.so", NULL, "-fakke"), TFR_CONFIG,
                   "nothing is called \"fakke\" here; did you mean \"fake\"?");
    assert_refused(open_with(&registry, PLUGINS "fake_plugin.so", NULL, "linear.f32.fake.plein"), TFR_CONFIG,
                   "did you mean \"linear.f32.fake.plain\"?");
    assert_refused(open_with(&registry, PLUGINS "fake_plugin.so", NULL, "something"), TFR_CONFIG,
                   "`tfrun plugins` lists the names");
    assert_ok(open_with(&registry, NULL, NULL, "-onednn,linked")); /* bundled, though not in this build */
    tfr_registry_close(registry);
}

TFR_TEST(without_memory_no_plugin_is_silently_missing) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    bool done = false;
    char path[] = PLUGINS "older_plugin.so", *aged = access(path, R_OK) == 0 ? path : NULL; /* built where python3 is */
    for (uint64_t n = 1; n < 200 && !done; n++) {
        tfr_alloc_fail_after(n);
        const enum tfr_status status = open_both(&registry, aged, PLUGINS "found", NULL, "fake,-onednn");
        tfr_alloc_fail_after(0);
        done = status == TFR_OK;
        if (done) {
            assert_non_null(find(registry, "fake"));
            assert_true(aged == NULL || find(registry, "aged") != NULL);
            tfr_registry_close(registry);
        } else {
            assert_int_equal(status, TFR_RESOURCE);
            assert_non_null(strstr(tfr_failure_text(), "no memory"));
        }
    }
    assert_true(done);
}

TFR_TEST(without_files_no_plugin_is_silently_missing) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const int next = open("/dev/null", O_RDONLY);
    assert_true(next >= 0);
    close(next);
    none = (struct rlimit){(rlim_t)next + 1, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    DIR *taken = opendir("/");
    const enum tfr_status status = open_both(&registry, NULL, PLUGINS "found", NULL, NULL);
    setrlimit(RLIMIT_NOFILE, &before);
    closedir(taken);
    assert_int_equal(status, TFR_RESOURCE);
    assert_non_null(strstr(tfr_failure_text(), "Too many open files"));
    assert_true(tfr_plugin_is_system_fault("plugin p: cannot be loaded: p: cannot read file data: Input/output error"));
    assert_false(
        tfr_plugin_is_system_fault("plugin p: cannot be loaded: libdnnl.so.2: cannot open shared object file: No such file"));
}

TFR_TEST(a_folder_that_can_not_be_read_is_refused) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    const char *round = TFR_BINARY_DIR "/tests/plugins/round"; /* a link to itself */
    unlink(round);
    assert_int_equal(symlink("round", round), 0);
    assert_int_equal(open_both(&registry, NULL, round, NULL, NULL), TFR_RESOURCE);
    assert_non_null(strstr(tfr_failure_text(), "round: cannot look for plugins in this folder: "));
    unlink(round);
    assert_ok(open_both(&registry, NULL, round, NULL, NULL));
    tfr_registry_close(registry);
}

TFR_TEST(missing_instruction_set_is_named) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry;
    assert_ok(open_with(&registry, NULL, NULL, NULL));
    char reason[96];
    struct tfr_kernel kernel = {.name = "k", .isa = TFR_ISA_AVX2};
    assert_true(tfr_registry_allows(registry, &kernel, "p", reason, sizeof(reason)));
    kernel.isa |= TFR_ISA_AMX_BF16;
    assert_false(tfr_registry_allows(registry, &kernel, "p", reason, sizeof(reason)));
    assert_string_equal(reason, "needs amx_bf16");
    tfr_registry_close(registry);
}

TFR_TEST(folders_end_with_the_environment) {
    TFR_UNUSED_STATE;
    setenv("TFRUN_PLUGIN_PATH", "a/b::c", 1);
    size_t n;
    char **folders = tfr_registry_folders(&n);
    assert_true(n >= 2);
    for (size_t i = 0; i < n; i++) {
        assert_true(folders[i][0] == '/');
        assert_non_null(strstr(folders[i], "/tfrun/plugins"));
    }
    assert_string_equal(folders[n], "a/b");
    assert_string_equal(folders[n + 1], "c");
    assert_null(folders[n + 2]);
    tfr_registry_free_folders(folders);
    unsetenv("TFRUN_PLUGIN_PATH");
}

TFR_TEST_MAIN(TFR_CASE(plugin_of_a_path_is_loaded), TFR_CASE(plugins_of_a_folder_are_found), TFR_CASE(missing_folder_is_no_error),
              TFR_CASE(a_name_that_is_taken_is_refused), TFR_CASE(wrong_abi_is_refused_with_a_sentence),
              TFR_CASE(newer_minor_is_accepted), TFR_CASE(declining_plugin_gives_its_reason),
              TFR_CASE(incomplete_kernel_is_refused_by_name), TFR_CASE(other_shared_objects_are_refused),
              TFR_CASE(every_fault_of_a_record_is_found), TFR_CASE(kernels_of_a_newer_minor_still_have_names),
              TFR_CASE(linked_plugins_come_without_files), TFR_CASE(same_name_twice_is_refused),
              TFR_CASE(list_bans_and_prefers_by_plugin_and_by_prefix), TFR_CASE(ref_cannot_be_banned),
              TFR_CASE(word_that_names_nothing_is_refused), TFR_CASE(missing_instruction_set_is_named),
              TFR_CASE(without_memory_no_plugin_is_silently_missing), TFR_CASE(a_folder_that_can_not_be_read_is_refused),
              TFR_CASE(without_files_no_plugin_is_silently_missing), TFR_CASE(folders_end_with_the_environment))
