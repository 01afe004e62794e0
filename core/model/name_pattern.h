/* name_pattern.h - patterns of Python's re for names of modules, as configs of PEFT have them. */
#ifndef TFR_MODEL_NAME_PATTERN_H
#define TFR_MODEL_NAME_PATTERN_H

/* Bytes of a pattern. */
#define TFR_NAME_PATTERN_MOST 512

enum tfr_name_match {
    TFR_NAME_DIFFERS,
    TFR_NAME_MATCHES,
    TFR_NAME_PATTERN_UNKNOWN, /* of re, but not of what is known here; or too long */
    TFR_NAME_PATTERN_WRONG    /* re takes it for no pattern */
};

/* What of the name the pattern is to match, in the words of re.fullmatch. */
enum tfr_name_part {
    TFR_NAME_WHOLE, /* pattern */
    TFR_NAME_END,   /* (.*\.)?(pattern) */
    TFR_NAME_MIDDLE /* (.*\.)?(pattern)(\..*)? */
};

/* Known are plain characters, . * + ? and the lazy ones, |, groups ( and (?:, sets, ^ $ \d \w, and escaped signs. Names are ASCII.
 * Takes a time that grows as pattern times name, whatever the pattern is: adapters are somebody else's. */
enum tfr_name_match tfr_name_pattern(const char *pattern, enum tfr_name_part part, const char *name);

#endif
