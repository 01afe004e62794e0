/* poly_internal.h - what poly.c and poly_text.c share. */
#ifndef TFR_GRAPH_POLY_INTERNAL_H
#define TFR_GRAPH_POLY_INTERNAL_H

#include "graph/poly.h"

/* Brings the coefficient to lowest terms and derives factor and degree. */
void tfr_poly_settle(struct tfr_poly_term *term);
/* Puts one settled term in its place, joining it with a like one. */
enum tfr_status tfr_poly_insert(struct tfr_poly *poly, const struct tfr_poly_term *term);

#endif
