/* units.h - numbers as people read them: three digits and a unit. No allocation. Thread rule: any thread, no state. */
#ifndef TFR_BASE_UNITS_H
#define TFR_BASE_UNITS_H

#include <tfrun/types.h>

enum { TFR_UNIT_TEXT = 48 };
/* "1.21 G", "768 ", "3.07 kB" with the unit "B". */
const char *tfr_si_text(double value, const char *unit, char text[TFR_UNIT_TEXT]);
/* "247 ns", "15.3 us". */
const char *tfr_time_text(double ns, char text[TFR_UNIT_TEXT]);

#endif
