/* registry.h - the plugins and kernels of the process: found once, never unloaded.
 *
 * Sources, in order: plugins linked in (ref always), the bundled tfr_*.so, paths the user names, tfr_*.so of the user's
 * folders. ABI and records are checked before use; a wrong one is refused with a sentence (an error for a path the user
 * named, a warning for a found one), and so is one with the name of a plugin or of a kernel that is there already.
 * The user's list ("-onednn,gemv") bans by plugin name or kernel-name prefix with '-', prefers without; ref cannot be
 * banned, and a word that names nothing is refused.
 * Thread rule: opened and added to on one thread, then read by any.
 */
#ifndef TFR_PLAN_REGISTRY_H
#define TFR_PLAN_REGISTRY_H

#include <tfrun/plugin.h>

struct tfr_registry;

struct tfr_registry_entry {
    const struct tfr_plugin *plugin;
    const char *path;             /* "" when linked statically */
    struct tfr_plugin *completed; /* the registry's own copy, where records are of another size than ours; else NULL */
};

struct tfr_registry_request {
    uint32_t isa; /* what kernels may use */
    int n_cores;
    int64_t l1d_bytes, l2_bytes, l3_bytes;
    const char *const *folders; /* NULL-terminated; the first n_bundled hold what belongs to tfrun */
    size_t n_bundled;
    char *const *paths; /* named by the user */
    size_t n_paths;
    const char *list; /* bans and preferences; NULL none */
};
enum tfr_status tfr_registry_open(struct tfr_registry **registry, const struct tfr_registry_request *request);
void tfr_registry_close(struct tfr_registry *registry); /* frees the book, keeps the objects loaded */
/* A plugin that lives in the program (the comm kernels, tests). */
enum tfr_status tfr_registry_add(struct tfr_registry *registry, const struct tfr_plugin *plugin, const char *path);

uint32_t tfr_registry_isa(const struct tfr_registry *registry); /* what kernels may use */
const struct tfr_registry_entry *tfr_registry_plugins(const struct tfr_registry *registry, size_t *n);
/* Folders looked into by default: tfrun/plugins beside the library, ../lib/tfrun/plugins beside the running program, the
 * installed folder; behind these *n_bundled those of $TFRUN_PLUGIN_PATH (':'-separated). NULL-terminated; free with
 * tfr_registry_free_folders. NULL after raising. */
char **tfr_registry_folders(size_t *n_bundled);
void tfr_registry_free_folders(char **folders);

/* "" or the reason why the static filter or the user's list keeps this kernel out (dtype, ISA, banned). */
bool tfr_registry_allows(const struct tfr_registry *registry, const struct tfr_kernel *kernel, const char *plugin, char *reason,
                         size_t reason_size);
/* > 0 when preferred by the user's list (earlier is higher). */
int tfr_registry_preference(const struct tfr_registry *registry, const struct tfr_kernel *kernel, const char *plugin);

#endif
