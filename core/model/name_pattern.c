/* name_pattern.c - patterns for names of modules: compiled to a program of few instructions, all of whose ways are gone at once,
 * character by character (Thompson, Regular Expression Search Algorithm, 1968). A pattern that makes a matcher try again, or a
 * compiler copy, costs nothing more here. */
#include "model/name_pattern.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A character makes one instruction, a repeat or a choice two. */
enum { MAX_CODE = 2 * TFR_NAME_PATTERN_MOST + 2 };

enum op { BYTE, ANY, SET, DIGIT, WORD, BEGIN, END, JUMP, SPLIT, MATCH };

/* Ways are counted from the instruction itself, so that code can be moved. */
struct code {
    enum op op;
    int first, second; /* JUMP: the way; SPLIT: both; BYTE: the byte; SET: where it begins in the pattern */
};

struct compiler {
    const char *pattern, *c;
    struct code code[MAX_CODE];
    int n;
    enum tfr_name_match fault; /* TFR_NAME_MATCHES: none */
};

static bool is_digit(int byte) {
    return byte >= '0' && byte <= '9';
}

static bool is_letter(int byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_word(int byte) {
    return is_digit(byte) || is_letter(byte) || byte == '_';
}

/* The first fault counts. */
static void fail(enum tfr_name_match *fault, enum tfr_name_match found) {
    if (*fault == TFR_NAME_MATCHES) {
        *fault = found;
    }
}

static void emit(struct compiler *compiler, enum op op, int first) {
    compiler->code[compiler->n++] = (struct code){op, first, 1};
}

/* Puts a SPLIT before the code from `start` on: into it, or to what is `second` away. */
static void insert_split(struct compiler *compiler, int start, int second) {
    struct code *at = &compiler->code[start];
    memmove(at + 1, at, (size_t)(compiler->n - start) * sizeof *at);
    *at = (struct code){SPLIT, 1, second};
    compiler->n++;
}

/* ---- sets ----------------------------------------------------------------------------------------------- */

/* One item of a set: a byte, or -1 for \d and \w, whose letter goes to *kind. */
static int read_item(const char **c, enum tfr_name_match *fault, char *kind) {
    const int byte = (uint8_t) * (*c)++;
    if (byte != '\\') {
        return byte;
    }
    const int escaped = (uint8_t) * *c;
    *c += escaped != '\0';
    if (escaped == 'd' || escaped == 'w') {
        *kind = (char)escaped;
        return -1;
    }
    if (escaped == '\0' || is_digit(escaped) || is_letter(escaped)) {
        fail(fault, escaped == '\0' ? TFR_NAME_PATTERN_WRONG : TFR_NAME_PATTERN_UNKNOWN);
    }
    return escaped;
}

static bool is_of_kind(char kind, int byte) {
    return kind == 'd' ? is_digit(byte) : is_word(byte);
}

/* Reads a set behind its [ and says whether it holds the byte. A ] in front is one of the set. */
static bool read_set(const char **c, enum tfr_name_match *fault, int byte) {
    const bool is_negated = **c == '^';
    bool is_in = false;
    *c += is_negated;
    for (bool is_front = true; (**c != ']' || is_front) && *fault == TFR_NAME_MATCHES; is_front = false) {
        char kind = '\0', last_kind = '\0';
        if (**c == '\0') {
            fail(fault, TFR_NAME_PATTERN_WRONG);
            return false;
        }
        const int first = read_item(c, fault, &kind);
        int last = first;
        if (**c == '-' && (*c)[1] != ']' && (*c)[1] != '\0') {
            (*c)++;
            last = read_item(c, fault, &last_kind);
            if (kind != '\0' || last_kind != '\0' || last < first) {
                fail(fault, TFR_NAME_PATTERN_WRONG);
            }
        }
        is_in |= kind != '\0' ? is_of_kind(kind, byte) : byte >= first && byte <= last;
    }
    *c += **c == ']';
    return is_in != is_negated;
}

/* The pattern has been read before: nothing fails. */
static bool set_holds(const char *set, int byte) {
    enum tfr_name_match fault = TFR_NAME_MATCHES;
    return read_set(&set, &fault, byte);
}

/* ---- compiling ------------------------------------------------------------------------------------------ */

static void read_choices(struct compiler *compiler);

static void read_escape(struct compiler *compiler) {
    const int byte = (uint8_t)*compiler->c;
    if (byte == 'd' || byte == 'w') {
        emit(compiler, byte == 'd' ? DIGIT : WORD, 0);
    } else if (byte == '\0' || is_digit(byte) || is_letter(byte)) {
        fail(&compiler->fault, byte == '\0' ? TFR_NAME_PATTERN_WRONG : TFR_NAME_PATTERN_UNKNOWN);
        return;
    } else {
        emit(compiler, BYTE, byte);
    }
    compiler->c++;
}

static void read_group(struct compiler *compiler) {
    if (*compiler->c == '?') {
        if (compiler->c[1] != ':') {
            fail(&compiler->fault, TFR_NAME_PATTERN_UNKNOWN);
            return;
        }
        compiler->c += 2;
    }
    read_choices(compiler);
    if (*compiler->c != ')') {
        fail(&compiler->fault, TFR_NAME_PATTERN_WRONG);
        return;
    }
    compiler->c++;
}

static void read_atom(struct compiler *compiler) {
    const char *begin = compiler->c++;
    switch (*begin) {
    case '(':
        read_group(compiler);
        return;
    case '[':
        emit(compiler, SET, (int)(compiler->c - compiler->pattern));
        read_set(&compiler->c, &compiler->fault, 0);
        return;
    case '\\':
        read_escape(compiler);
        return;
    case '.':
        emit(compiler, ANY, 0);
        return;
    case '^':
    case '$':
        emit(compiler, *begin == '^' ? BEGIN : END, 0);
        return;
    case '*':
    case '+':
    case '?':
        fail(&compiler->fault, TFR_NAME_PATTERN_WRONG); /* nothing to repeat */
        return;
    case '{':
        fail(&compiler->fault, TFR_NAME_PATTERN_UNKNOWN);
        return;
    default:
        emit(compiler, BYTE, (uint8_t)*begin);
    }
}

/* The code from `start` on, once or not, again and again. */
static void repeat(struct compiler *compiler, int start, char how) {
    const int length = compiler->n - start;
    if (how == '+') {
        compiler->code[compiler->n++] = (struct code){SPLIT, -length, 1};
    } else if (how == '*') {
        insert_split(compiler, start, length + 2);
        emit(compiler, JUMP, -length - 1);
    } else {
        insert_split(compiler, start, length + 1);
    }
}

static bool is_repeat(char c) {
    return c == '*' || c == '+' || c == '?';
}

static void read_piece(struct compiler *compiler) {
    const int start = compiler->n;
    const char place = *compiler->c;
    read_atom(compiler);
    const char how = *compiler->c;
    if (compiler->fault != TFR_NAME_MATCHES || !is_repeat(how)) {
        return;
    }
    if (place == '^' || place == '$') {
        fail(&compiler->fault, TFR_NAME_PATTERN_WRONG);
        return;
    }
    repeat(compiler, start, how);
    compiler->c++;
    compiler->c += *compiler->c == '?'; /* lazy: other ways first, the same names */
    if (is_repeat(*compiler->c)) {
        fail(&compiler->fault, TFR_NAME_PATTERN_UNKNOWN); /* possessive, or none */
    }
}

/* To the ) of a group, or to the end. */
static void read_choices(struct compiler *compiler) {
    int begun = -1, start = compiler->n; /* begun: the JUMP behind the last choice; each has the distance to that before it */
    while (compiler->fault == TFR_NAME_MATCHES && *compiler->c != '\0' && *compiler->c != ')') {
        if (*compiler->c != '|') {
            read_piece(compiler);
            continue;
        }
        compiler->c++;
        insert_split(compiler, start, compiler->n - start + 2);
        compiler->code[compiler->n] = (struct code){JUMP, 0, begun < 0 ? 0 : compiler->n - begun};
        begun = compiler->n++;
        start = compiler->n;
    }
    for (int before = begun < 0 ? 0 : 1; before != 0; begun -= before) {
        compiler->code[begun].first = compiler->n - begun;
        before = compiler->code[begun].second;
    }
}

static void compile(struct compiler *compiler, const char *pattern) {
    compiler->pattern = compiler->c = pattern;
    compiler->n = 0;
    compiler->fault = TFR_NAME_MATCHES;
    if (strnlen(pattern, TFR_NAME_PATTERN_MOST + 1) > TFR_NAME_PATTERN_MOST) {
        fail(&compiler->fault, TFR_NAME_PATTERN_UNKNOWN);
        return;
    }
    read_choices(compiler);
    if (*compiler->c != '\0') {
        fail(&compiler->fault, TFR_NAME_PATTERN_WRONG); /* a ) of no group */
    }
    emit(compiler, MATCH, 0);
}

/* ---- running -------------------------------------------------------------------------------------------- */

/* The instructions that stand before one character of the name. */
struct states {
    int at[MAX_CODE], n;
};

struct run {
    const struct compiler *program;
    const char *name;
    size_t length;
    size_t seen[MAX_CODE]; /* place + 1 of the last character that an instruction stood before */
};

/* Adds an instruction and all that jumps lead to from it. */
static void add(struct run *run, struct states *states, int from, size_t place) {
    int waiting[MAX_CODE + 1], n = 0; /* of each instruction one way is gone on at once: no more wait than there are */
    waiting[n++] = from;
    while (n > 0) {
        const int at = waiting[--n];
        const struct code *code = &run->program->code[at];
        if (run->seen[at] == place + 1) {
            continue;
        }
        run->seen[at] = place + 1;
        if (code->op == SPLIT) {
            waiting[n++] = at + code->second;
        }
        if (code->op == SPLIT || code->op == JUMP) {
            waiting[n++] = at + code->first;
        } else if (code->op != BEGIN && code->op != END) {
            states->at[states->n++] = at;
        } else if (place == (code->op == BEGIN ? 0 : run->length)) {
            waiting[n++] = at + 1;
        }
    }
}

static bool takes(const struct run *run, const struct code *code, int byte) {
    switch (code->op) {
    case BYTE:
        return byte == code->first;
    case ANY:
        return byte != '\n';
    case SET:
        return set_holds(run->program->pattern + code->first, byte);
    case DIGIT:
        return is_digit(byte);
    case WORD:
        return is_word(byte);
    default:
        return false;
    }
}

/* Whether a way that is at its end at this place has the part that is wanted. */
static bool may_end(const struct run *run, enum tfr_name_part part, size_t place) {
    return place == run->length || (part == TFR_NAME_MIDDLE && run->name[place] == '.');
}

static bool match(struct run *run, enum tfr_name_part part) {
    struct states states[2];
    states[0].n = 0;
    for (size_t place = 0; place <= run->length; place++) {
        struct states *now = &states[place % 2], *next = &states[(place + 1) % 2];
        next->n = 0;
        if (place == 0 || (part != TFR_NAME_WHOLE && run->name[place - 1] == '.')) {
            add(run, now, 0, place);
        }
        for (int i = 0; i < now->n; i++) {
            const struct code *code = &run->program->code[now->at[i]];
            if (code->op == MATCH && may_end(run, part, place)) {
                return true;
            }
            if (place < run->length && takes(run, code, (uint8_t)run->name[place])) {
                add(run, next, now->at[i] + 1, place + 1);
            }
        }
    }
    return false;
}

enum tfr_name_match tfr_name_pattern(const char *pattern, enum tfr_name_part part, const char *name) {
    struct compiler program;
    compile(&program, pattern);
    if (program.fault != TFR_NAME_MATCHES) {
        return program.fault;
    }
    struct run run = {.program = &program, .name = name, .length = strlen(name)};
    return match(&run, part) ? TFR_NAME_MATCHES : TFR_NAME_DIFFERS;
}
