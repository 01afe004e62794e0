/* suffix_automaton.h - for every place of a text the longest of many words that starts there, in linear time.
 *
 * The automaton of Aho and Corasick over the words read backwards: a text read from its end leads to the
 * state of the longest word end that stands at the present place, and each state knows the longest word that
 * is a beginning of it. Thread rule: built on one thread, then read-only.
 */
#ifndef TFR_MODEL_SUFFIX_AUTOMATON_H
#define TFR_MODEL_SUFFIX_AUTOMATON_H

#include <tfrun/types.h>

struct tfr_suffix_word {
    const uint8_t *text;
    size_t size;
    uint32_t name; /* the caller's, not 0 */
};

struct tfr_suffix_state {
    uint32_t fall;       /* the next shorter state */
    uint32_t word;       /* name of the longest word that starts here; 0: none */
    uint32_t first;      /* the states one byte longer lie together, sorted by that byte */
    uint16_t n_children; /* up to 256 */
    uint8_t byte;
};

struct tfr_suffix_automaton {
    struct tfr_suffix_state *state; /* the first is the empty one; NULL: not built */
    size_t n;
    size_t longest; /* size of the longest word */
};

/* All words differ and none is empty; `words` gets another order. */
enum tfr_status tfr_suffix_open(struct tfr_suffix_automaton *automaton, struct tfr_suffix_word *words, size_t n);
void tfr_suffix_close(struct tfr_suffix_automaton *automaton);

/* word[i] for i of [begin, end): name of the longest word that starts at text[i], 0 if none does. Gives the
 * steps taken: at most two for each byte from `begin` to `end` and as far behind it as the longest word
 * reaches. */
uint64_t tfr_suffix_look(const struct tfr_suffix_automaton *automaton, const uint8_t *text, size_t size, size_t begin, size_t end,
                         uint32_t *word);

#endif
