/* message_check.h - whether a message means something to this engine, before it is obeyed. Thread rule: the engine's thread. */
#ifndef TFR_JOB_MESSAGE_CHECK_H
#define TFR_JOB_MESSAGE_CHECK_H

#include "job/message.h"

/* Slots, blocks, positions, rows, masks and lengths of a message are those of this engine and lie inside of the message. Ranks of
 * one build say nothing else; a rank of another one, or memory or a wire that fails, does. TFR_RUNTIME names what does not fit. */
enum tfr_status tfr_message_check(struct tfr_engine *engine, struct tfr_message *message);

#endif
