/* commit.c - the git commit that this was built from. A file of its own, since a new commit changes nothing else. */
#include "study/manifest.h"
#include "tfr_commit.h"

const char *tfr_build_commit(void) {
    return TFR_COMMIT;
}
