/* picture_dot.c - a picture in the DOT language of graphviz: a box a node, coloured by what it is or by its share of the time; a
 * frame around blocks that are drawn once, and around each rank.
 */
#include <string.h>

#include "base/memtext.h"
#include "base/plural.h"
#include "base/units.h"
#include "picture/picture_style.h"

/* "attn.c_attn" where a frame says which blocks. */
static const char *short_name(const struct tfr_picture_node *node) {
    return node->fold >= 0 && strncmp(node->name, "h.*.", 4) == 0 ? node->name + 4 : node->name;
}

static void put_small(FILE *out, enum tfr_picture_color color, const char *text) {
    fprintf(out, "<FONT POINT-SIZE=\"10\" COLOR=\"%s\">%s</FONT>", tfr_color(color), text);
}

/* Faint would not be read on a hot box. */
static enum tfr_picture_color small_color(const struct tfr_picture *picture) {
    return picture->has_measured ? TFR_COLOR_TEXT : TFR_COLOR_FAINT;
}

static enum tfr_picture_color fill_of(const struct tfr_picture *picture, const struct tfr_picture_node *node) {
    const bool is_hot = picture->panels[node->panel].n_steps > 0 && node->peer < 0;
    return is_hot ? tfr_picture_heat(node->share) : tfr_picture_op_color(node->op);
}

/* Right of the name: the share of the time where it was measured, else FLOPs, of a message its bytes. */
static void put_size(const struct tfr_picture *picture, const struct tfr_picture_node *node, FILE *out) {
    char text[TFR_UNIT_TEXT];
    if (picture->panels[node->panel].n_steps > 0 && node->peer < 0) {
        fprintf(out, "<B>%.1f %%</B>", node->share * 100);
    } else if (node->peer >= 0 && picture->panels[node->panel].n_steps > 0) {
        put_small(out, TFR_COLOR_TEXT, tfr_time_text(node->measured_ns, text));
    } else if (node->peer >= 0) {
        put_small(out, small_color(picture), tfr_si_text((double)(node->bytes_read + node->bytes_written), "B", text));
    } else if (node->flops > 0) {
        put_small(out, small_color(picture), tfr_si_text((double)node->flops, "FLOP", text));
    }
}

static void put_what(const struct tfr_picture *picture, const struct tfr_picture_node *node, FILE *out) {
    char text[48];
    snprintf(text, sizeof text, "%s rank %d", node->op == TFR_OP_SEND_HIDDEN ? "to" : "from", node->peer);
    put_small(out, small_color(picture), node->peer >= 0 ? text : node->what);
}

/* What a pointer is told: of a measured box also time and costs. */
static void put_tooltip(const struct tfr_picture *picture, const struct tfr_picture_node *node, FILE *out) {
    char time[TFR_UNIT_TEXT], flops[TFR_UNIT_TEXT], bytes[TFR_UNIT_TEXT];
    fprintf(out, "tooltip=\"%s %s", node->name, node->kernel != NULL ? node->kernel : "");
    if (picture->panels[node->panel].n_steps > 0 && node->peer < 0) {
        fprintf(out, ", %s: %s, %.1f %% of the time; %s%s, %s", node->shape, tfr_time_text(node->measured_ns, time),
                node->share * 100, node->times > 1 ? "each " : "", tfr_si_text((double)node->flops, "FLOP", flops),
                tfr_si_text((double)(node->bytes_read + node->bytes_written), "B", bytes));
    }
    fputs("\", ", out);
}

/* Four corners: name, size, what it is, shape of its output. */
static void put_box(const struct tfr_picture *picture, int index, FILE *out) {
    static const char left[] = "<TD ALIGN=\"LEFT\" WIDTH=\"108\">", right[] = "<TD ALIGN=\"RIGHT\" WIDTH=\"66\">";
    const struct tfr_picture_node *node = &picture->nodes[index];
    const enum tfr_picture_color line = tfr_picture_op_color(node->op) + 1;
    fprintf(out, "n%d [id=n%d, fillcolor=\"%s\", color=\"%s\", penwidth=%s, group=panel_%d, ", index, index,
            tfr_color(fill_of(picture, node)), tfr_color(node->critical ? TFR_COLOR_HOT : line), node->critical ? "2.5" : "1",
            node->panel);
    put_tooltip(picture, node, out);
    fprintf(out, "label=<<TABLE BORDER=\"0\" CELLBORDER=\"0\" CELLSPACING=\"0\" CELLPADDING=\"1\"><TR>%s<B>%s</B></TD>%s", left,
            short_name(node), right);
    put_size(picture, node, out);
    fprintf(out, "</TD></TR><TR>%s", left);
    put_what(picture, node, out);
    fprintf(out, "</TD>%s", right);
    put_small(out, small_color(picture), node->shape[0] != '\0' ? node->shape : " ");
    fprintf(out, "</TD></TR></TABLE>>];\n");
}

static void put_node(const struct tfr_picture *picture, int index, FILE *out) {
    const struct tfr_picture_node *node = &picture->nodes[index];
    if (node->kind == TFR_PICTURE_OP) {
        put_box(picture, index, out);
        return;
    }
    fprintf(out, "n%d [style=\"rounded\", penwidth=0, margin=\"0.06,0.02\", label=<<I>%s</I> &nbsp;", index, node->name);
    put_small(out, TFR_COLOR_FAINT, node->shape);
    fprintf(out, ">];\n");
}

/* Frames have no arrows of their own, so a frame is a cluster and its boxes are listed in it. */
static void put_fold(const struct tfr_picture *picture, int fold, FILE *out) {
    const struct tfr_picture_fold *blocks = &picture->folds[fold];
    const long long n = (long long)(blocks->last - blocks->first + 1);
    char all[TFR_UNIT_TEXT];
    tfr_int128 flops = 0;
    for (int i = 0; i < picture->n_nodes; i++) {
        flops += picture->nodes[i].fold == fold ? n * picture->nodes[i].flops : 0;
    }
    fprintf(out, "subgraph cluster_fold_%d {\nstyle=\"rounded,filled\"; fillcolor=\"%s\"; color=\"%s\"; penwidth=1; margin=14;\n",
            fold, tfr_color(TFR_COLOR_FOLD), tfr_color(TFR_COLOR_FOLD_LINE));
    fprintf(out,
            "labeljust=l; label=<<TABLE BORDER=\"0\" CELLSPACING=\"0\" CELLPADDING=\"1\"><TR><TD ALIGN=\"LEFT\"><FONT "
            "POINT-SIZE=\"17\">"
            "<B>&times; %lld</B></FONT></TD></TR><TR><TD ALIGN=\"LEFT\">",
            n);
    fprintf(out, "<FONT POINT-SIZE=\"10\" COLOR=\"%s\">h.%lld &hellip; h.%lld<BR ALIGN=\"LEFT\"/>%s</FONT></TD></TR></TABLE>>;\n",
            tfr_color(TFR_COLOR_FAINT), (long long)blocks->first, (long long)blocks->last, tfr_si_text((double)flops, "FLOP", all));
    for (int i = 0; i < picture->n_nodes; i++) {
        if (picture->nodes[i].fold == fold) {
            put_node(picture, i, out);
        }
    }
    fprintf(out, "}\n");
}

static void put_panel(const struct tfr_picture *picture, int index, FILE *out) {
    const struct tfr_picture_panel *panel = &picture->panels[index];
    const bool is_framed = picture->n_panels > 1;
    char flops[TFR_UNIT_TEXT];
    int fold = -1;
    if (is_framed) {
        fprintf(out, "subgraph cluster_panel_%d {\nstyle=\"rounded\"; color=\"%s\"; penwidth=1.5; margin=12; labeljust=l;\nlabel=<",
                index, tfr_color(TFR_COLOR_LINE));
        if (picture->step.n_ranks > 1) {
            fprintf(out, "<B>rank %d</B> &nbsp;", panel->rank);
        }
        if (picture->n_panels > picture->step.n_ranks) {
            fprintf(out, "%s &nbsp;", tfr_picture_stage_name(panel->stage));
        }
        put_small(out, TFR_COLOR_FAINT, tfr_si_text((double)tfr_picture_totals(picture, index).flops, "FLOP", flops));
        fprintf(out, ">;\n");
    }
    for (int i = panel->first_node; i < panel->first_node + panel->n_nodes; i++) {
        const int own = picture->nodes[i].fold;
        if (own < 0) {
            put_node(picture, i, out);
        } else if (own != fold) {
            put_fold(picture, own, out);
        }
        fold = own;
    }
    fprintf(out, "%s", is_framed ? "}\n" : "");
}

/* The next box of the panel below: these edges keep its boxes in one column. */
static bool is_spine(const struct tfr_picture *picture, const struct tfr_picture_edge *edge) {
    int before = edge->to - 1;
    while (before > 0 && picture->nodes[before].kind == TFR_PICTURE_INPUT) {
        before--;
    }
    return before == edge->from && picture->nodes[before].panel == picture->nodes[edge->to].panel;
}

/* From block to block of a fold nothing is drawn: its frame says how often it is passed. */
static void put_edge(const struct tfr_picture *picture, const struct tfr_picture_edge *edge, FILE *out) {
    static const struct {
        const char *style;
        enum tfr_picture_color color;
    } arrows[] = {
        [TFR_PICTURE_VALUE] = {"style=solid", TFR_COLOR_LINE},
        [TFR_PICTURE_STATE] = {"style=dashed", TFR_COLOR_ATTENTION_LINE},
        [TFR_PICTURE_MESSAGE] = {"constraint=false, penwidth=2", TFR_COLOR_MESSAGE_LINE},
    };
    if (edge->arrow == TFR_PICTURE_AGAIN) {
        return;
    }
    fprintf(out, "n%d -> n%d [%s, color=\"%s\"%s%s", edge->from, edge->to, arrows[edge->arrow].style,
            tfr_color(edge->critical ? TFR_COLOR_HOT : arrows[edge->arrow].color), is_spine(picture, edge) ? ", weight=20" : "",
            edge->critical ? ", penwidth=2.5" : "");
    fprintf(out, "];\n");
}

/* First op of a panel, -1. */
static int first_op(const struct tfr_picture *picture, int panel) {
    for (int i = 0; i < picture->n_nodes; i++) {
        if (picture->nodes[i].panel == panel && picture->nodes[i].kind == TFR_PICTURE_OP) {
            return i;
        }
    }
    return -1;
}

/* Invisible edges: panels side by side in their order, and what a rank receives below what it sent; what comes back from a later
 * panel as low as it was sent there. */
static void put_order(const struct tfr_picture *picture, FILE *out) {
    int last = -1;
    fprintf(out, "{ rank=same;");
    for (int p = 0; p < picture->n_panels; p++) {
        const int first = first_op(picture, p);
        if (first >= 0 && last >= 0) {
            fprintf(out, " n%d -> n%d [style=invis];", last, first);
        }
        last = first >= 0 ? first : last;
    }
    fprintf(out, " }\n");
    for (int i = 1; i < picture->n_nodes; i++) {
        const struct tfr_picture_node *node = &picture->nodes[i];
        if (node->panel == picture->nodes[i - 1].panel && node->kind == TFR_PICTURE_OP && node->op == TFR_OP_RECV_HIDDEN) {
            fprintf(out, "n%d -> n%d [style=invis, weight=0];\n", i - 1, i);
        }
    }
    for (int e = 0; e < picture->n_edges; e++) {
        const struct tfr_picture_edge *edge = &picture->edges[e];
        if (edge->arrow == TFR_PICTURE_MESSAGE && picture->nodes[edge->from].panel > picture->nodes[edge->to].panel) {
            fprintf(out, "{ rank=same; n%d; n%d; }\n", edge->from, edge->to);
        }
    }
}

/* Only the kinds that the picture has. */
static void put_families(const struct tfr_picture *picture, FILE *out) {
    int n;
    const struct tfr_picture_family *families = tfr_picture_families(&n);
    for (int f = 0; f < n; f++) {
        bool is_there = false;
        for (int i = 0; i < picture->n_nodes; i++) {
            is_there |= picture->nodes[i].kind == TFR_PICTURE_OP && tfr_picture_op_color(picture->nodes[i].op) == families[f].fill;
        }
        if (is_there) {
            fprintf(
                out,
                "<TD BGCOLOR=\"%s\" BORDER=\"1\" COLOR=\"%s\" STYLE=\"ROUNDED\"><FONT POINT-SIZE=\"10\">&nbsp;%s&nbsp;</FONT></TD>",
                tfr_color(families[f].fill), tfr_color(families[f].fill + 1), families[f].name);
        }
    }
}

static void put_heats(FILE *out) {
    static const char *const ranges[] = {"under 1 %", "1", "3", "8", "15", "25 % of the time"};
    for (int h = 0; h < (int)TFR_COUNT_OF(ranges); h++) {
        fprintf(out, "<TD BGCOLOR=\"%s\"><FONT POINT-SIZE=\"10\">&nbsp;%s&nbsp;</FONT></TD>", tfr_color(TFR_COLOR_HEAT_0 + h),
                ranges[h]);
    }
}

/* The name of a file may hold what means something to HTML. */
static void put_escaped(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < ' ' || strchr("&<>\"\\", c) != NULL) {
            fprintf(out, "&#%d;", c < ' ' ? '?' : c);
        } else {
            fputc(c, out);
        }
    }
}

/* Title, sums and legend: the label of the whole. */
static void put_label(const struct tfr_picture *picture, FILE *out) {
    char text[TFR_UNIT_TEXT];
    tfr_int128 flops = 0;
    for (int p = 0; p < picture->n_panels; p++) {
        flops += picture->panels[p].stage == picture->panels[0].stage ? tfr_picture_totals(picture, p).flops : 0;
    }
    fprintf(out, "labelloc=t; labeljust=l; label=<<TABLE BORDER=\"0\" CELLSPACING=\"4\" CELLPADDING=\"2\"><TR><TD "
                 "ALIGN=\"LEFT\"><FONT POINT-SIZE=\"15\"><B>");
    put_escaped(out, picture->step.config);
    fputs(": ", out);
    tfr_picture_put_step(picture, out);
    fprintf(out, "</B></FONT></TD></TR><TR><TD ALIGN=\"LEFT\"><FONT COLOR=\"%s\">%s in one step, %s", tfr_color(TFR_COLOR_FAINT),
            tfr_si_text((double)flops, "FLOP", text),
            picture->n_panels > picture->step.n_ranks ? "as built and fused" : tfr_picture_stage_name(picture->panels[0].stage));
    if (picture->has_path) {
        fprintf(out, "; red: the critical path, %s predicted", tfr_time_text(picture->path_ns, text));
    }
    if (picture->has_measured) {
        fprintf(out, "; measured over %d step%s", picture->panels[picture->n_panels - 1].n_steps,
                tfr_plural(picture->panels[picture->n_panels - 1].n_steps));
    }
    fprintf(out, "</FONT></TD></TR><TR><TD ALIGN=\"LEFT\"><TABLE BORDER=\"0\" CELLSPACING=\"4\" CELLPADDING=\"3\"><TR>");
    if (picture->has_measured) {
        put_heats(out);
    } else {
        put_families(picture, out);
    }
    fprintf(out, "</TR></TABLE></TD></TR></TABLE>>;\n");
}

static void put_all(const struct tfr_picture *picture, bool has_messages, FILE *out) {
    fprintf(
        out,
        "digraph step {\nbgcolor=\"%s\"; pad=0.15; nodesep=0.3; ranksep=0.3; newrank=true; fontname=\"Helvetica\"; fontsize=12; "
        "fontcolor=\"%s\";\n",
        tfr_color(TFR_COLOR_PAGE), tfr_color(TFR_COLOR_TEXT));
    fprintf(out,
            "node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=12, fontcolor=\"%s\", color=\"%s\", "
            "margin=\"0.08,0.04\", height=0.3];\nedge [fontname=\"Helvetica\", arrowsize=0.7];\n",
            tfr_color(TFR_COLOR_TEXT), tfr_color(TFR_COLOR_LINE));
    put_label(picture, out);
    for (int p = 0; p < picture->n_panels; p++) {
        put_panel(picture, p, out);
    }
    for (int e = 0; e < picture->n_edges; e++) {
        if (has_messages || picture->edges[e].arrow != TFR_PICTURE_MESSAGE) {
            put_edge(picture, &picture->edges[e], out);
        }
    }
    put_order(picture, out);
    fprintf(out, "}\n");
}

enum tfr_status tfr_picture_dot(const struct tfr_picture *picture, bool has_messages, char **text) {
    FILE *out;
    size_t size;
    TFR_TRY(tfr_memtext_open(&out, text, &size));
    put_all(picture, has_messages, out);
    return tfr_memtext_close(out, text);
}
