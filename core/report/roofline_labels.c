/* roofline_labels.c - where things stand in the roofline picture. */
#include <math.h>
#include <string.h>

#include "report/roofline.h"

enum { LETTER = 7, LINE = 15, AWAY = 9 };

static double share(double value, double low, double high) {
    return log(value / low) / log(high / low);
}

double tfr_roofline_x(const struct roofline_axes *axes, double intensity) {
    return ROOFLINE_LEFT + (ROOFLINE_RIGHT - ROOFLINE_LEFT) * share(intensity, axes->x_low, axes->x_high);
}

double tfr_roofline_y(const struct roofline_axes *axes, double rate) {
    return ROOFLINE_BOTTOM - (ROOFLINE_BOTTOM - ROOFLINE_TOP) * share(rate, axes->y_low, axes->y_high);
}

void tfr_roofline_take(struct roofline_boxes *boxes, double left, double top, double right, double bottom) {
    if (boxes->n < ROOFLINE_BOXES) {
        boxes->box[boxes->n++] = (struct roofline_box){left, top, right, bottom};
    }
}

/* Square pixels that are shared with what is there, or lie outside of the frame. */
static double overlap(const struct roofline_boxes *boxes, const struct roofline_box *box) {
    double sum = 0;
    for (int i = 0; i < boxes->n; i++) {
        const double width = fmin(box->right, boxes->box[i].right) - fmax(box->left, boxes->box[i].left);
        const double height = fmin(box->bottom, boxes->box[i].bottom) - fmax(box->top, boxes->box[i].top);
        sum += width > 0 && height > 0 ? width * height : 0;
    }
    const double outside = fmax(0, ROOFLINE_LEFT - box->left) + fmax(0, box->right - ROOFLINE_RIGHT) +
                           fmax(0, ROOFLINE_TOP - box->top) + fmax(0, box->bottom - ROOFLINE_BOTTOM);
    return sum + LINE * outside;
}

struct roofline_place tfr_roofline_place(struct roofline_boxes *boxes, double x, double y, const char *text) {
    static const struct {
        int align, dx, dy;
    } tries[] = {{1, AWAY, 0},
                 {-1, -AWAY, 0},
                 {0, 0, -LINE},
                 {0, 0, LINE},
                 {1, AWAY, -LINE},
                 {1, AWAY, LINE},
                 {-1, -AWAY, -LINE},
                 {-1, -AWAY, LINE},
                 {1, AWAY, -2 * LINE},
                 {1, AWAY, 2 * LINE},
                 {-1, -AWAY, -2 * LINE},
                 {-1, -AWAY, 2 * LINE},
                 {1, 3 * AWAY, -3 * LINE},
                 {1, 3 * AWAY, 3 * LINE}};
    const double width = LETTER * (double)strlen(text);
    struct roofline_place best = {0};
    struct roofline_box best_box = {0};
    double least = INFINITY;
    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
        const double at_x = x + tries[i].dx, at_y = y + tries[i].dy;
        const double left = tries[i].align > 0 ? at_x : tries[i].align < 0 ? at_x - width : at_x - width / 2;
        const struct roofline_box box = {left, at_y - LINE / 2.0, left + width, at_y + LINE / 2.0};
        const double shared = overlap(boxes, &box);
        if (shared < least) {
            least = shared;
            best = (struct roofline_place){at_x, at_y, tries[i].align};
            best_box = box;
        }
    }
    tfr_roofline_take(boxes, best_box.left, best_box.top, best_box.right, best_box.bottom);
    return best;
}
