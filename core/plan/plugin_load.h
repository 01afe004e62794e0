/* plugin_load.h - one shared object to a plugin record, or the sentence that says why not. Never unloads. */
#ifndef TFR_PLAN_PLUGIN_LOAD_H
#define TFR_PLAN_PLUGIN_LOAD_H

#include <tfrun/plugin.h>

/* Opens `path` and asks its entry function. Failure: TFR_RESOURCE with "plugin PATH: why". */
enum tfr_status tfr_plugin_load(const struct tfr_plugin **plugin, const char *path, const struct tfr_host *host);
/* Asks an entry function that is linked in; `path` is for messages. */
enum tfr_status tfr_plugin_enter(const struct tfr_plugin **plugin, const char *path, tfr_plugin_entry_fn entry,
                                 const struct tfr_host *host);
/* ABI version and completeness of the record and of each kernel. */
enum tfr_status tfr_plugin_check(const struct tfr_plugin *plugin, const char *path);
/* A copy with records of this host's size where the plugin's own are of another, else NULL: an older kernel gets the defaults
 * of the members it lacks, a newer one that serves what is unknown here is left out. One tfr_free. */
enum tfr_status tfr_plugin_complete(const struct tfr_plugin *plugin, struct tfr_plugin **completed);
/* Whether the sentence of a load that failed tells of the system (memory, open files, a disk) and not of the plugin. */
bool tfr_plugin_is_system_fault(const char *sentence);
/* The `log` member of a host record. */
void tfr_plugin_log(const char *plugin, const char *text);

#endif
