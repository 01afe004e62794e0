/* report_roofline.c - a profile as a roofline picture. */
#include <tfrun/profile.h>

#include "base/status.h"

enum tfr_status tfr_report_roofline(const struct tfr_profile *profile, char **svg) {
    (void)profile, (void)svg;
    return tfr_raise(TFR_UNSUPPORTED, "not yet");
}
