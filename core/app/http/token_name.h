/* token_name.h - a token as text that no other token has. */
#ifndef TFR_APP_HTTP_TOKEN_NAME_H
#define TFR_APP_HTTP_TOKEN_NAME_H

#include <tfrun/tfrun.h>

/* Part of a character is its bytes, "bytes:\xE2\x80". Longer ones are cut: no token of a vocabulary is both so long and no text. */
struct tfr_token_name {
    char buffer[264];
    const char *text; /* valid as long as the vocabulary and this are */
    size_t size;
};
/* Without a vocabulary "token_id:N". */
void tfr_token_name(struct tfr_token_name *name, const struct tfr_vocabulary *vocabulary, int32_t id);

#endif
