/* reply.h - the one way to reply: JSON bodies, errors, and the headers that every reply has. It ends the call. Thread rule: network
 * thread. */
#ifndef TFR_APP_HTTP_REPLY_H
#define TFR_APP_HTTP_REPLY_H

#include "app/http/fields.h"
#include "app/http/server.h"

/* Any body; the further headers may be none. */
void tfr_reply(struct tfr_exchange *x, int status, const char *type, const void *body, size_t size,
               const struct tfr_http_header *headers, size_t n_headers);
/* What the writer holds, which is freed; without memory for it an error. */
void tfr_reply_json(struct tfr_exchange *x, int status, struct tfr_json_out *out);
/* Whether an answer that is written piece by piece may go on: it is not longer than what is sent whole, and there was memory for
 * it. tfr_reply_json refuses it where not. */
bool tfr_reply_goes_on(const struct tfr_call *call, const struct tfr_json_out *out);
/* `param` NULL: null; `format` NULL: the table's own words. */
void tfr_reply_error(struct tfr_exchange *x, enum tfr_error error, const char *param, const char *format, ...) TFR_PRINTF(4, 5);
void tfr_reply_refusal(struct tfr_exchange *x, const struct tfr_refusal *refusal, const struct tfr_http_header *headers,
                       size_t n_headers);
/* 204 to OPTIONS; `methods` are the route's. */
void tfr_reply_preflight(struct tfr_exchange *x, const char *methods);
/* Status 200 and the headers of events; the call goes on until it is settled. */
void tfr_reply_events(struct tfr_exchange *x);
/* The request's Origin where it is listed, else NULL. */
const char *tfr_reply_origin(const struct tfr_exchange *x);

#endif
