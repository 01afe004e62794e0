/* load_picture.c - the runs as an SVG: latencies above (logarithmic), tokens per second below, over clients or over the rate.
 * Colours are classes, which a rule for dark screens changes. */
#include <math.h>
#include <string.h>

#include "app/load/load_report.h"
#include "base/utf8.h"

enum { WIDTH = 760, HEIGHT = 540, LEFT = 70, RIGHT = 730, TOP = 74, MIDDLE = 320, LOWER = 372, BOTTOM = 490 };

struct axes {
    double x_low, x_high, y_low, y_high; /* of the data; y as logarithm in the upper part */
};

struct picture {
    const struct tfr_load_report *report;
    bool open; /* open loops over their rate; else closed ones over the clients */
    FILE *out;
};

static const char style[] =
    "<style>\n"
    "svg{background:#fff;font:13px sans-serif}text{fill:#1f2328}.grid{stroke:#e4e7eb}.mark{stroke:#59636e;stroke-dasharray:2 3}\n"
    ".ttft{stroke:#0b5cad}circle.ttft{fill:#0b5cad}.itl{stroke:#b9480b}circle.itl{fill:#b9480b}\n"
    ".out{stroke:#1a7f37}circle.out{fill:#1a7f37}polyline{fill:none;stroke-width:2}.key{stroke-width:2}.p95{stroke-dasharray:6 4}\n"
    "@media (prefers-color-scheme:dark){svg{background:#15181d}text{fill:#e6e8eb}.grid{stroke:#2c323a}.mark{stroke:#9aa5b1}\n"
    ".ttft{stroke:#6db3ff}circle.ttft{fill:#6db3ff}.itl{stroke:#ffa05f}circle.itl{fill:#ffa05f}\n"
    ".out{stroke:#4ac26b}circle.out{fill:#4ac26b}}\n"
    "</style>\n";

static bool is_shown(const struct picture *picture, const struct tfr_load_result *result) {
    const bool open = result->kind == TFR_LOAD_POISSON || result->kind == TFR_LOAD_CONSTANT || result->kind == TFR_LOAD_REPLAY;
    return open == picture->open && result->n_done > 0;
}

static double x_of(const struct picture *picture, const struct tfr_load_result *result) {
    return picture->open ? result->rate : log2((double)result->clients);
}

static double ms(const struct tfr_histogram *histogram, double share) {
    return (double)tfr_histogram_percentile(histogram, share) / 1e6;
}

static struct axes find_axes(const struct picture *picture) {
    struct axes axes = {.x_low = INFINITY, .x_high = -INFINITY, .y_low = INFINITY, .y_high = -INFINITY};
    for (size_t i = 0; i < picture->report->n_results; i++) {
        const struct tfr_load_result *result = picture->report->results[i];
        if (!is_shown(picture, result)) {
            continue;
        }
        axes.x_low = fmin(axes.x_low, x_of(picture, result));
        axes.x_high = fmax(axes.x_high, x_of(picture, result));
        axes.y_low = fmin(axes.y_low, ms(result->itl.n > 0 ? &result->itl : &result->ttft, 0.5));
        axes.y_high = fmax(axes.y_high, fmax(ms(&result->ttft, 0.95), ms(&result->itl, 0.95)));
    }
    const double margin = axes.x_high > axes.x_low ? (axes.x_high - axes.x_low) * 0.04 : 1;
    axes.x_low = picture->open && axes.x_high > axes.x_low ? 0 : axes.x_low - margin;
    axes.x_high += margin;
    axes.y_low = log10(fmax(axes.y_low, 1e-3) / 1.5);
    axes.y_high = log10(fmax(axes.y_high, 2e-3) * 1.5);
    return axes;
}

static double px(const struct axes *axes, double x) {
    return LEFT + (x - axes->x_low) / (axes->x_high - axes->x_low) * (RIGHT - LEFT);
}

static double upper(const struct axes *axes, double value) {
    return MIDDLE - (log10(fmax(value, 1e-6)) - axes->y_low) / (axes->y_high - axes->y_low) * (MIDDLE - TOP);
}

static void put_tick(const struct picture *picture, double y, const char *text) {
    fprintf(picture->out, "<line class='grid' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/>", LEFT, RIGHT, y, y);
    fprintf(picture->out, "<text x='%d' y='%.1f' text-anchor='end'>%s</text>\n", LEFT - 8, y + 4, text);
}

static void put_latency_ticks(const struct picture *picture, const struct axes *axes) {
    static const double steps[] = {1, 2, 5};
    const bool many = axes->y_high - axes->y_low > 2.5; /* decades alone */
    for (int decade = (int)floor(axes->y_low); decade <= (int)ceil(axes->y_high); decade++) {
        for (int i = 0; i < (many ? 1 : 3); i++) {
            const double value = steps[i] * pow(10, decade);
            char text[32];
            snprintf(text, sizeof text, "%g ms", value);
            if (log10(value) >= axes->y_low && log10(value) <= axes->y_high) {
                put_tick(picture, upper(axes, value), text);
            }
        }
    }
}

/* 1, 2 or 5 times a power of ten, some four to the top. */
static double round_step(double top) {
    const double rough = top / 4, power = pow(10, floor(log10(rough)));
    return power * (rough / power < 1.5 ? 1 : rough / power < 3.5 ? 2 : rough / power < 7.5 ? 5 : 10);
}

static double find_top(const struct picture *picture) {
    double top = 1;
    for (size_t i = 0; i < picture->report->n_results; i++) {
        const struct tfr_load_result *result = picture->report->results[i];
        top = is_shown(picture, result) ? fmax(top, result->output_per_s * 1.1) : top;
    }
    return top;
}

static void put_rate_ticks(const struct picture *picture, double top) {
    const double step = round_step(top);
    for (double value = 0; value <= top; value += step) {
        char text[32];
        snprintf(text, sizeof text, "%g/s", value);
        put_tick(picture, BOTTOM - value / top * (BOTTOM - LOWER), text);
    }
}

static void put_x_ticks(const struct picture *picture, const struct axes *axes) {
    double last = -1e9;
    for (size_t i = 0; i < picture->report->n_results; i++) {
        const struct tfr_load_result *result = picture->report->results[i];
        const double x = px(axes, x_of(picture, result));
        if (is_shown(picture, result) && fabs(x - last) > 24) {
            fprintf(picture->out, "<text x='%.1f' y='%d' text-anchor='middle'>%.3g</text>\n", x, BOTTOM + 18,
                    picture->open ? result->rate : (double)result->clients);
            last = x;
        }
    }
    fprintf(picture->out, "<text x='%d' y='%d' text-anchor='middle'>%s</text>\n", (LEFT + RIGHT) / 2, BOTTOM + 38,
            picture->open ? "requests per second, open loop" : "clients, closed loop");
}

static void put_capacity(const struct picture *picture, const struct axes *axes) {
    const double x = px(axes, picture->report->capacity);
    if (picture->report->capacity > 0 && x > LEFT && x < RIGHT) {
        fprintf(picture->out,
                "<line class='mark' x1='%.1f' x2='%.1f' y1='%d' y2='%d'/><text x='%.1f' y='%d' font-size='12' "
                "text-anchor='end'>capacity of the closed loop</text>\n",
                x, x, TOP, BOTTOM, x - 6, BOTTOM - 6);
    }
}

/* One line with its dots; share < 0: the tokens. */
static void put_line(const struct picture *picture, const struct axes *axes, double top, bool itl, double share) {
    const char *class = share < 0 ? "out" : itl ? "itl" : "ttft";
    char points[64 * 64] = "", dots[64 * 96] = "";
    size_t n_points = 0, n_dots = 0;
    for (size_t i = 0; i < picture->report->n_results; i++) {
        const struct tfr_load_result *result = picture->report->results[i];
        const struct tfr_histogram *histogram = itl ? &result->itl : &result->ttft;
        if (!is_shown(picture, result) || (share >= 0 && histogram->n == 0) || n_points + 64 > sizeof points ||
            n_dots + 96 > sizeof dots) {
            continue;
        }
        const double x = px(axes, x_of(picture, result)),
                     y = share < 0 ? BOTTOM - result->output_per_s / top * (BOTTOM - LOWER) : upper(axes, ms(histogram, share));
        n_points += (size_t)snprintf(points + n_points, sizeof points - n_points, "%.1f,%.1f ", x, y);
        n_dots +=
            (size_t)snprintf(dots + n_dots, sizeof dots - n_dots, "<circle class='%s' r='3' cx='%.1f' cy='%.1f'/>", class, x, y);
    }
    fprintf(picture->out, "<polyline class='%s%s' points='%s'/>%s\n", class, share > 0.9 ? " p95" : "", points, dots);
}

static void put_key(const struct picture *picture, double x, const char *class, const char *text) {
    fprintf(picture->out, "<line class='key %s' x1='%.0f' x2='%.0f' y1='54' y2='54'/><text x='%.0f' y='58'>%s</text>\n", class, x,
            x + 26, x + 32, text);
}

/* Names come from the command line and from a server: what XML can't hold becomes U+FFFD, or goes where it is a control. */
static void put_escaped(FILE *out, const char *text) {
    uint32_t code;
    for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
        const int taken = tfr_utf8_take((const uint8_t *)text, left, &code);
        n = (size_t)(taken < 0 ? -taken : taken);
        if (taken < 0 || code == 0xFFFE || code == 0xFFFF) {
            fputs("\xEF\xBF\xBD", out);
        } else if (code == '<' || code == '>' || code == '&' || code == '\'' || code == '"') {
            fprintf(out, "&#%d;", (int)code);
        } else if (code >= 0x20) {
            fwrite(text, 1, n, out);
        }
    }
}

static void put_title(const struct picture *picture) {
    FILE *out = picture->out;
    fprintf(out, "<text x='%d' y='26' font-weight='bold'>", LEFT);
    put_escaped(out, picture->report->model);
    fprintf(out, picture->report->is_inside ? ", in process" : "");
    fprintf(out, "</text><text x='%d' y='%d' font-size='12'>latency</text><text x='%d' y='%d' font-size='12'>new tokens</text>\n",
            8, TOP - 8, 8, LOWER - 10);
    put_key(picture, LEFT, "ttft", "TTFT p50");
    put_key(picture, LEFT + 120, "ttft p95", "p95");
    if (!picture->report->workload.whole && !picture->report->workload.scoring) {
        put_key(picture, LEFT + 210, "itl", "gap between tokens p50");
        put_key(picture, LEFT + 410, "itl p95", "p95");
    }
}

enum tfr_status tfr_load_report_picture(const struct tfr_load_report *report, FILE *out) {
    struct picture picture = {.report = report, .out = out};
    for (size_t i = 0; i < report->n_results; i++) {
        const enum tfr_load_kind kind = report->results[i]->kind;
        picture.open |= kind != TFR_LOAD_CLOSED && kind != TFR_LOAD_VICTIM;
    }
    const struct axes axes = find_axes(&picture);
    const double top = find_top(&picture);
    fprintf(out, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d' role='img'>\n", WIDTH, HEIGHT,
            WIDTH, HEIGHT);
    fprintf(out, "<title>Latency and throughput of tfrun</title>\n%s", style);
    if (isfinite(axes.x_low)) {
        put_title(&picture);
        put_latency_ticks(&picture, &axes);
        put_rate_ticks(&picture, top);
        put_x_ticks(&picture, &axes);
        put_capacity(&picture, &axes);
        put_line(&picture, &axes, top, false, 0.5);
        put_line(&picture, &axes, top, false, 0.95);
        put_line(&picture, &axes, top, true, 0.5);
        put_line(&picture, &axes, top, true, 0.95);
        put_line(&picture, &axes, top, false, -1);
    } else {
        fprintf(out, "<text x='%d' y='60'>no request was done</text>\n", LEFT);
    }
    fprintf(out, "</svg>\n");
    return TFR_OK;
}
