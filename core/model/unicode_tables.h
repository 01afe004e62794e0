/* unicode_tables.h - the three character classes that the pre-tokeniser tells apart.
 *
 * Letter is general category L*, number N*, space the White_Space property; all else (marks too) is other.
 * The data, unicode_tables.c, is written by scripts/gen_unicode.py; the Unicode version is pinned there.
 */
#ifndef TFR_MODEL_UNICODE_TABLES_H
#define TFR_MODEL_UNICODE_TABLES_H

#include <stdint.h>

enum tfr_char_class { TFR_CHAR_OTHER, TFR_CHAR_LETTER, TFR_CHAR_NUMBER, TFR_CHAR_SPACE };

#define TFR_UNICODE_BLOCK_BITS  8
#define TFR_UNICODE_BLOCK_WORDS 8 /* 256 classes of two bits */

extern const char tfr_unicode_version[];
/* Every code point from here on is "other". */
extern const uint32_t tfr_unicode_limit;
extern const uint8_t tfr_unicode_block[];
extern const uint64_t tfr_unicode_class[][TFR_UNICODE_BLOCK_WORDS];

static inline enum tfr_char_class tfr_char_class(uint32_t code_point) {
    if (code_point >= tfr_unicode_limit) {
        return TFR_CHAR_OTHER;
    }
    const uint64_t *block = tfr_unicode_class[tfr_unicode_block[code_point >> TFR_UNICODE_BLOCK_BITS]];
    return (enum tfr_char_class)(block[(code_point >> 5) & 7] >> ((code_point & 31) * 2) & 3);
}

#endif
