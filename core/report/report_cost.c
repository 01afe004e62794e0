/* report_cost.c - `tfrun cost`: FLOPs and bytes of a forward, as PyTorch's reference runs it and as tfrun does; no weights. */
#include <tfrun/tfrun.h>

#include "base/memtext.h"
#include "report/cost_report.h"

static enum tfr_status write(const struct tfr_cost_report *report, char **text) {
    FILE *stream;
    size_t size;
    if (report->query->format == TFR_COST_JSON) {
        return tfr_cost_report_json(report, text);
    }
    TFR_TRY(tfr_memtext_open(&stream, text, &size));
    return tfr_memtext_end(stream, text, tfr_cost_report_text(report, stream));
}

enum tfr_status tfr_report_cost(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                const struct tfr_cost_query *query, char **text) {
    struct tfr_cost_report report;
    *text = NULL;
    enum tfr_status status = tfr_cost_report_open(&report, path, overrides, n_overrides, query);
    if (status == TFR_OK && query->level == TFR_COST_LINE) {
        status = tfr_cost_report_lines(&report, text);
    } else if (status == TFR_OK) {
        status = tfr_cost_report_rows(&report);
        status = status == TFR_OK ? write(&report, text) : status;
    }
    tfr_cost_report_close(&report);
    return status;
}
