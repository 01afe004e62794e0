/* picture_text.c - a picture for a terminal: the lines of picture_lanes.c, and beside each box what it is and costs. Both stages
 * stand side by side, a fused box beside the last of those that it was made from.
 */
#include <string.h>

#include "base/arena.h"
#include "base/memtext.h"
#include "base/plural.h"
#include "base/units.h"
#include "picture/picture_lanes.h"

/* One panel, ready to be printed. */
struct sheet {
    const struct tfr_picture *picture;
    const struct tfr_picture_panel *panel;
    struct tfr_picture_row *rows;
    int n;
    int drawing, name, what, shape; /* widths */
};

static int wider(int width, const char *text) {
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

static const char *what_text(const struct tfr_picture_node *node, char *text, size_t size) {
    const char *word = node->peer < 0 ? "" : node->op == TFR_OP_SEND_HIDDEN ? "to rank" : "from rank";
    if (node->peer < 0) {
        return node->what;
    }
    snprintf(text, size, "%s %d", word, node->peer);
    return text;
}

static enum tfr_status open_sheet(struct sheet *sheet, const struct tfr_picture *picture, int panel) {
    *sheet = (struct sheet){.picture = picture, .panel = &picture->panels[panel]};
    TFR_TRY(tfr_picture_rows(picture, panel, &sheet->rows, &sheet->n));
    for (int i = 0; i < sheet->n; i++) {
        const struct tfr_picture_row *row = &sheet->rows[i];
        sheet->drawing = row->width > sheet->drawing ? row->width : sheet->drawing;
        if (row->node >= 0) {
            const struct tfr_picture_node *node = &picture->nodes[row->node];
            char what[64];
            sheet->name = wider(sheet->name, node->name);
            sheet->what = wider(sheet->what, what_text(node, what, sizeof what));
            sheet->shape = wider(sheet->shape, node->shape);
        }
    }
    return TFR_OK;
}

/* Columns that a text takes: bytes that begin a character. */
static int columns(const char *text) {
    int n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return n;
}

static void put_padded(FILE *out, const char *text, int width) {
    fprintf(out, "%s%*s", text, width - columns(text) > 0 ? width - columns(text) : 0, "");
}

static void put_fold(const struct sheet *sheet, const struct tfr_picture_row *row, int width, FILE *out) {
    const struct tfr_picture_fold *fold = &sheet->picture->folds[row->fold];
    char text[96];
    snprintf(text, sizeof text, "%lld times: h.%lld to h.%lld", (long long)(fold->last - fold->first + 1), (long long)fold->first,
             (long long)fold->last);
    put_padded(out, text, width);
}

static void put_cost(const struct sheet *sheet, const struct tfr_picture_node *node, FILE *out) {
    char flops[TFR_UNIT_TEXT], bytes_read[TFR_UNIT_TEXT], bytes_written[TFR_UNIT_TEXT], time[TFR_UNIT_TEXT];
    if (node->kind != TFR_PICTURE_OP) {
        return;
    }
    fprintf(out, "  %9s %9s %9s", tfr_si_text((double)node->flops, "", flops),
            tfr_si_text((double)node->bytes_read, "B", bytes_read), tfr_si_text((double)node->bytes_written, "B", bytes_written));
    if (sheet->panel->stage == TFR_PICTURE_FUSED) {
        fprintf(out, " %9s", tfr_time_text(node->predicted_ns, time));
    }
    if (sheet->panel->n_steps > 0) {
        fprintf(out, " %9s", tfr_time_text(node->measured_ns / node->times, time));
    }
    if (sheet->panel->n_steps > 0 && node->peer < 0) {
        fprintf(out, " %7.1f %%", node->share * 100);
    }
}

static void put_row(const struct sheet *sheet, const struct tfr_picture_row *row, FILE *out) {
    char what[64];
    put_padded(out, row->drawing, sheet->drawing + 1);
    if (row->node < 0) {
        put_fold(sheet, row, 0, out);
    } else {
        const struct tfr_picture_node *node = &sheet->picture->nodes[row->node];
        fprintf(out, "%-*s  %-*s  %*s", sheet->name, node->name, sheet->what, what_text(node, what, sizeof what), sheet->shape,
                node->shape);
        put_cost(sheet, node, out);
    }
    fputc('\n', out);
}

static void put_head(const struct sheet *sheet, FILE *out) {
    fprintf(out, "%*s%-*s  %-*s  %*s  %9s %9s %9s", sheet->drawing + 1, "", sheet->name, "node", sheet->what, "op", sheet->shape,
            "output", "FLOPs", "read", "written");
    fprintf(out, "%s%s\n", sheet->panel->stage == TFR_PICTURE_FUSED ? " predicted" : "",
            sheet->panel->n_steps > 0 ? "  measured     share" : "");
}

static void put_total(const struct sheet *sheet, FILE *out) {
    const struct tfr_picture_totals totals = tfr_picture_totals(sheet->picture, (int)(sheet->panel - sheet->picture->panels));
    char flops[TFR_UNIT_TEXT], bytes_read[TFR_UNIT_TEXT], bytes_written[TFR_UNIT_TEXT], time[TFR_UNIT_TEXT];
    char what[48];
    snprintf(what, sizeof what, "%d op%s", totals.n_ops, tfr_plural(totals.n_ops));
    fprintf(out, "%*s%-*s  %-*s  %*s  %9s %9s %9s", sheet->drawing + 1, "", sheet->name, "total", sheet->what, what, sheet->shape,
            "", tfr_si_text((double)totals.flops, "", flops), tfr_si_text((double)totals.bytes_read, "B", bytes_read),
            tfr_si_text((double)totals.bytes_written, "B", bytes_written));
    if (sheet->panel->stage == TFR_PICTURE_FUSED) {
        fprintf(out, " %9s", tfr_time_text(totals.predicted_ns, time));
    }
    if (sheet->panel->n_steps > 0) {
        fprintf(out, " %9s %7.1f %%", tfr_time_text(totals.measured_ns, time), 100.0);
    }
    fputc('\n', out);
}

static void put_sheet(const struct sheet *sheet, FILE *out) {
    put_head(sheet, out);
    for (int i = 0; i < sheet->n; i++) {
        put_row(sheet, &sheet->rows[i], out);
    }
    put_total(sheet, out);
}

/* Half a line of both stages. */
static void put_half(const struct sheet *sheet, const struct tfr_picture_row *row, FILE *out) {
    char flops[TFR_UNIT_TEXT], what[64];
    put_padded(out, row->drawing, sheet->drawing + 1);
    if (row->node < 0) {
        put_fold(sheet, row, sheet->name + sheet->what + 13, out);
        return;
    }
    const struct tfr_picture_node *node = &sheet->picture->nodes[row->node];
    fprintf(out, "%-*s  %-*s  %9s", sheet->name, node->name, sheet->what, what_text(node, what, sizeof what),
            node->kind == TFR_PICTURE_OP ? tfr_si_text((double)node->flops, "", flops) : "");
}

static bool is_beside(const struct sheet *left, const struct tfr_picture_row *a, const struct sheet *right,
                      const struct tfr_picture_row *b) {
    if (a->node < 0 || b->node < 0) {
        return a->node < 0 && b->node < 0;
    }
    const struct tfr_picture_node *x = &left->picture->nodes[a->node], *y = &right->picture->nodes[b->node];
    return x->value[0] != '\0' || y->value[0] != '\0' ? strcmp(x->value, y->value) == 0 : strcmp(x->name, y->name) == 0;
}

static void put_both(const struct sheet *left, const struct sheet *right, FILE *out) {
    const int half = left->drawing + 1 + left->name + left->what + 13;
    put_padded(out, "as built", half);
    fprintf(out, "    fused\n");
    for (int i = 0, j = 0; i < left->n || j < right->n; i++) {
        if (i < left->n) {
            put_half(left, &left->rows[i], out);
        } else {
            fprintf(out, "%*s", half, "");
        }
        fprintf(out, "    ");
        if (j < right->n && (i >= left->n || is_beside(left, &left->rows[i], right, &right->rows[j]))) {
            put_half(right, &right->rows[j++], out);
        } else if (j > 0) {
            fprintf(out, "%s", right->rows[j - 1].after);
        }
        fputc('\n', out);
    }
    char a[TFR_UNIT_TEXT], b[TFR_UNIT_TEXT];
    const struct tfr_picture_totals built = tfr_picture_totals(left->picture, (int)(left->panel - left->picture->panels));
    const struct tfr_picture_totals fused = tfr_picture_totals(left->picture, (int)(right->panel - left->picture->panels));
    fprintf(out, "total: %d ops, %s FLOPs as built; %d ops, %s FLOPs fused\n", built.n_ops, tfr_si_text((double)built.flops, "", a),
            fused.n_ops, tfr_si_text((double)fused.flops, "", b));
}

static int panel_beside(const struct tfr_picture *picture, int panel) {
    for (int p = 0; p < picture->n_panels; p++) {
        if (picture->panels[panel].stage == TFR_PICTURE_BUILT && picture->panels[p].stage == TFR_PICTURE_FUSED &&
            picture->panels[p].rank == picture->panels[panel].rank) {
            return p;
        }
    }
    return -1;
}

static enum tfr_status put_panel(const struct tfr_picture *picture, int panel, FILE *out) {
    struct sheet left, right;
    const int beside = panel_beside(picture, panel);
    if (picture->step.n_ranks > 1) {
        fprintf(out, "\nrank %d\n", picture->panels[panel].rank);
    }
    if (tfr_picture_is_empty(picture, panel)) {
        fprintf(out, "  nothing to do: no block is left for it\n");
        return TFR_OK;
    }
    TFR_TRY(open_sheet(&left, picture, panel));
    if (beside < 0) {
        put_sheet(&left, out);
        tfr_free(left.rows);
        return TFR_OK;
    }
    const enum tfr_status status = open_sheet(&right, picture, beside);
    if (status == TFR_OK) {
        put_both(&left, &right, out);
        tfr_free(right.rows);
    }
    tfr_free(left.rows);
    return status;
}

static bool has_both(const struct tfr_picture *picture) {
    return picture->n_panels > picture->step.n_ranks;
}

/* Fused panels are printed beside those as built, where there are both. */
static enum tfr_status put_all(const struct tfr_picture *picture, FILE *out) {
    char time[TFR_UNIT_TEXT];
    fprintf(out, "%s: ", picture->step.config);
    tfr_picture_put_step(picture, out);
    fprintf(out, "%s%s\n", has_both(picture) ? "" : ", ",
            has_both(picture) ? "" : tfr_picture_stage_name(picture->panels[0].stage));
    for (int p = 0; p < picture->n_panels; p++) {
        if (!has_both(picture) || picture->panels[p].stage == TFR_PICTURE_BUILT) {
            TFR_TRY(put_panel(picture, p, out));
        }
    }
    if (picture->has_path) {
        fprintf(out, "◆ on the critical path: %s predicted\n", tfr_time_text(picture->path_ns, time));
    }
    if (!has_both(picture) && picture->panels[0].stage == TFR_PICTURE_FUSED) {
        fprintf(out, "predicted from nominal peaks; a calibration changes what `tfrun profile` predicts, not this\n");
    }
    if (picture->n_folds > 0) {
        fprintf(out, "costs of one block; totals of all%s\n", picture->has_measured ? "; shares of all blocks" : "");
    }
    return TFR_OK;
}

/* Blanks before the ends of lines go. */
static void trim_lines(char *text) {
    char *to = text, *end = text; /* behind the last that stays */
    for (; *text != '\0'; text++) {
        to = *text == '\n' ? end : to;
        *to++ = *text;
        end = *text != ' ' ? to : end;
    }
    *end = '\0';
}

enum tfr_status tfr_picture_text(const struct tfr_picture *picture, char **text) {
    FILE *out;
    size_t size;
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    const enum tfr_status status = put_all(picture, out), closed = tfr_memtext_close(out, text);
    if (closed == TFR_OK) {
        trim_lines(*text);
    }
    if (status != TFR_OK) {
        tfr_free(*text);
        *text = NULL;
    }
    return status != TFR_OK ? status : closed;
}
