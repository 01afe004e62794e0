/* gallery.h - pictures of the machine: the step as a graph and the roofline, drawn on a thread of their own, one at a time, and
 * kept.
 *
 * Nothing here touches the engine: graphs are of a plan that was made while the model was loaded, and other programs lay them out.
 * A picture stays until the next profile, what could not be drawn for some seconds. Thread rule: the network thread, but for
 * tfr_gallery_plan and tfr_gallery_serial. */
#ifndef TFR_APP_HTTP_GALLERY_H
#define TFR_APP_HTTP_GALLERY_H

#include <tfrun/tfrun.h>

#include "app/http/transport.h"

enum tfr_gallery_picture { TFR_GALLERY_DECODE, TFR_GALLERY_PREFILL, TFR_GALLERY_ROOFLINE, TFR_GALLERY_COUNT };

/* What steps of the profile and of the graphs are. */
enum { TFR_GALLERY_ROWS = 128, TFR_GALLERY_CONTEXT = 128 };
/* Of a prompt: TFR_GALLERY_ROWS, or as many as the model has positions. */
int64_t tfr_gallery_rows(const struct tfr_engine *engine);

struct tfr_kept_picture {
    const char *svg; /* NULL: */
    const char *why; /* it could not be drawn */
};

struct tfr_gallery;
/* `http` is woken when a picture is there. NULL without memory. */
struct tfr_gallery *tfr_gallery_open(struct tfr_http *http);
/* Ends what is being drawn. NULL-safe. */
void tfr_gallery_close(struct tfr_gallery *gallery);
/* The engine's thread, while it loads. A graph that can't be planned is told by those who ask for it. */
void tfr_gallery_plan(struct tfr_gallery *gallery, const char *config, const struct tfr_override *overrides, size_t n_overrides,
                      const struct tfr_engine *engine);

/* The last profile, which is the gallery's; NULL: none was made. Its number counts profiles, any thread may ask it. */
const struct tfr_profile *tfr_gallery_profile(const struct tfr_gallery *gallery);
uint64_t tfr_gallery_serial(const struct tfr_gallery *gallery);
void tfr_gallery_take(struct tfr_gallery *gallery, struct tfr_profile *profile);

/* A picture that is at least of profile number `serial`. False: not yet, it is being drawn or will be: ask again when woken. */
bool tfr_gallery_look(struct tfr_gallery *gallery, enum tfr_gallery_picture which, uint64_t serial,
                      struct tfr_kept_picture *picture);

#endif
