/* marker_plugin.c - a plugin that leaves a mark as soon as it is loaded, before anybody asks it anything: TFR_TEST_MARK names the
 * file. Then it declines. */
#include <tfrun/plugin.h>

#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void leave_a_mark(void) {
    const char *path = getenv("TFR_TEST_MARK");
    FILE *mark = path != NULL ? fopen(path, "w") : NULL;
    if (mark != NULL) {
        fclose(mark);
    }
}

TFR_PLUGIN_ENTRY(marker) {
    (void)host;
    return NULL;
}
