/* plugins_static.h - the plugins that are linked in: ref always, the others when plugins are no shared objects. The .c file is
 * generated. */
#ifndef TFR_PLUGINS_STATIC_H
#define TFR_PLUGINS_STATIC_H

#include <tfrun/plugin.h>

/* tfr_n_static_plugins entries, then a NULL. */
extern const tfr_plugin_entry_fn tfr_static_plugins[];
extern const int tfr_n_static_plugins;
/* Names of all plugins of the source tree, built or not; then a NULL. */
extern const char *const tfr_bundled_plugins[];

#endif
