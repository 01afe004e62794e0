/* line_classes.c - the classes of the line by line analysis with their arguments as dims. */
#include <string.h>

#include "cost/lines.h"

static const struct {
    enum tfr_line_class lines;
    const char *page, *arguments, *variant, *what, *inputs;
    tfr_line_when sets;
} classes[TFR_LINE_CLASS_COUNT] = {
#define TFR_LINE_CLASS(NAME, SOURCE, page, arguments, variant, sets, what, inputs)                                                 \
    {TFR_LINE_##SOURCE, page, arguments, variant, what, inputs, sets},
#include "cost/line_classes.def"
#undef TFR_LINE_CLASS
};

static const struct {
    const char *page;
    enum tfr_line_class cls;
    uint32_t bit;
} pages[] = {
#define TFR_LINE_CLASS(NAME, SOURCE, page, arguments, variant, sets, what, inputs)
#define TFR_LINE_PAGE(page, CLASS, BIT) {page, TFR_LINE_##CLASS, (uint32_t)TFR_ON(BIT)},
#include "cost/line_classes.def"
#undef TFR_LINE_PAGE
#undef TFR_LINE_CLASS
};

const char *tfr_line_page(enum tfr_line_class cls, uint32_t bits) {
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (pages[i].cls == cls && (pages[i].bit & bits) != 0) {
            return pages[i].page;
        }
    }
    return classes[cls].page;
}

uint32_t tfr_line_page_bits(const char *name, enum tfr_line_class *cls) {
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (name != NULL && strcmp(pages[i].page, name) == 0) {
            *cls = pages[i].cls;
            return pages[i].bit;
        }
    }
    return 0;
}

bool tfr_line_is_name(const char *name, size_t size, const char *known) {
    return strncmp(known, name, size) == 0 && known[size] == '\0';
}

bool tfr_line_dim_named(const char *name, size_t size, enum tfr_dim *dim) {
    for (int i = 0; i < TFR_DIM_COUNT; i++) {
        if (tfr_line_is_name(name, size, tfr_dim_name((enum tfr_dim)i))) {
            *dim = (enum tfr_dim)i;
            return true;
        }
    }
    return false;
}

uint32_t tfr_line_class_sets(enum tfr_line_class cls) {
    return (uint32_t)classes[cls].sets;
}

struct tfr_line_class_info tfr_line_class_info(enum tfr_line_class cls) {
    struct tfr_line_class_info info = {.lines = classes[cls].lines,
                                       .page = classes[cls].page,
                                       .variant = classes[cls].variant,
                                       .what = classes[cls].what,
                                       .inputs = classes[cls].inputs,
                                       .sets = (uint32_t)classes[cls].sets};
    const char *at = classes[cls].arguments;
    while (*at != '\0') {
        const size_t size = strcspn(at, ",?");
        tfr_line_dim_named(at, size, &info.arg[info.n_args++]);
        at += size;
        info.last_is_optional = *at == '?';
        at += strspn(at, ",? ");
    }
    return info;
}

bool tfr_line_is_arg(const struct tfr_line_class_info *info, enum tfr_dim dim) {
    for (int i = 0; i < info->n_args; i++) {
        if (info->arg[i] == dim) {
            return true;
        }
    }
    return false;
}
