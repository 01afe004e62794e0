/* report_lines.c - `tfrun cost --level line`: the lines of a class in the form that was asked for. */
#include "base/memtext.h"
#include "report/lines_view.h"

static enum tfr_status write(const struct tfr_lines_view *view, char **text) {
    const enum tfr_cost_format format = view->report->query->format;
    FILE *stream;
    size_t size;
    if (format == TFR_COST_JSON) {
        return tfr_lines_write_json(view, text);
    }
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    const enum tfr_status status = format == TFR_COST_MARKDOWN ? tfr_lines_write_page(view, stream)
                                   : format == TFR_COST_CSV    ? tfr_lines_write_csv(view, stream)
                                                               : tfr_lines_write_table(view, stream);
    return tfr_memtext_end(stream, text, status);
}

enum tfr_status tfr_cost_report_lines(const struct tfr_cost_report *report, char **text) {
    struct tfr_lines_view view;
    enum tfr_status status = tfr_lines_open(&view, report);
    status = status == TFR_OK ? write(&view, text) : status;
    tfr_lines_close(&view);
    return status;
}
