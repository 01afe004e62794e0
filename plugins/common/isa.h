/* isa.h - which instruction sets this CPU, this system and this process may use, as bits of enum tfr_isa.
 *
 * Compiled without ISA flags, so that the question itself runs anywhere. Used by the host and by tests;
 * kernels never ask.
 */
#ifndef TFR_PLUGINS_ISA_H
#define TFR_PLUGINS_ISA_H

#include <tfrun/plugin.h>

/* Bits of enum tfr_isa. Asks the kernel once for permission to use AMX tiles (a process-wide grant). Any
 * thread. */
uint32_t tfr_isa_probe(void);

#endif
