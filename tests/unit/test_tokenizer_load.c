/* test_tokenizer_load.c - opening: which files count, what they may say, and what is refused with which
 * words. */
#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "model/tokenizer.h"
#include "tiny_tokenizer.h"

static void check_encoding(const struct tfr_tokenizer *tokenizer, const char *text, const int32_t *expected, size_t n) {
    struct tfr_ids ids = {0};
    assert_ok(tfr_tokenizer_encode(tokenizer, text, strlen(text), TFR_SPECIAL_PARSE, &ids));
    assert_int_equal(ids.n, n);
    assert_true(n == 0 || memcmp(ids.data, expected, n * sizeof(*expected)) == 0);
    tfr_ids_free(&ids);
}
#define CHECK_ENCODING(tokenizer, text, ...)                                                                                       \
    check_encoding(tokenizer, text, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static struct tfr_tokenizer *open_ok(const char *path) {
    struct tfr_tokenizer *tokenizer;
    assert_ok(tfr_tokenizer_open(&tokenizer, path));
    return tokenizer;
}

/* Opening fails with TFR_MODEL and these words; the folder is removed. */
static void check_refused(const char *folder, const char *words) {
    struct tfr_tokenizer *tokenizer;
    assert_refused(tfr_tokenizer_open(&tokenizer, folder), TFR_MODEL, words);
    assert_null(tokenizer);
    tiny_remove(folder);
}

static void check_plain_refused(const char *tail, const char *merges, const char *words) {
    check_refused(tiny_plain(tail, merges), words);
}

/* A plain folder with one more file. */
static const char *plain_and(const char *tail, const char *name, const char *content) {
    const char *folder = tiny_plain(tail, TINY_MERGES);
    tiny_write(folder, name, content);
    return folder;
}

TFR_TEST(plain_files_open) {
    TFR_UNUSED_STATE;
    const char *folder = tiny_plain(TINY_VOCAB_TAIL ",\"<|endoftext|>\":258", TINY_MERGES);
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    assert_int_equal(tfr_tokenizer_vocab_size(tokenizer), 259);
    assert_int_equal(tfr_tokenizer_eos(tokenizer), 258);
    CHECK_ENCODING(tokenizer, "abcab<|endoftext|>\xff", 257, 256, 258, 255);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(end_of_text_that_nobody_names_gets_the_next_id) {
    TFR_UNUSED_STATE;
    const char *folder = tiny_plain(TINY_VOCAB_TAIL, TINY_MERGES);
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    assert_int_equal(tfr_tokenizer_eos(tokenizer), 258);
    CHECK_ENCODING(tokenizer, "a<|endoftext|>", 'a', 258);
    assert_int_equal(tfr_tokenizer_n_model(tokenizer), 258);
    tfr_tokenizer_close(tokenizer);
    tiny_write(folder, "tokenizer_config.json", "{\"eos_token\":null,\"bos_token\":null,\"unk_token\":null}");
    tokenizer = open_ok(folder);
    assert_int_equal(tfr_tokenizer_eos(tokenizer), -1);
    assert_int_equal(tfr_tokenizer_vocab_size(tokenizer), 258);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(holes_in_the_ids_have_no_token) {
    TFR_UNUSED_STATE;
    const char *folder = tiny_plain("\"ab\":300,\"abc\":257", TINY_MERGES);
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    size_t size;
    assert_int_equal(tfr_tokenizer_vocab_size(tokenizer), 301);
    assert_null(tfr_tokenizer_bytes(tokenizer, 299, &size));
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(missing_files_are_named) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer;
    const char *folder = tiny_folder();
    assert_refused(tfr_tokenizer_open(&tokenizer, folder), TFR_RESOURCE, "needs tokenizer.json, or vocab.json");
    tiny_write(folder, "vocab.json", "{}");
    assert_refused(tfr_tokenizer_open(&tokenizer, folder), TFR_RESOURCE, "merges.txt is missing");
    tiny_remove(folder);
    assert_refused(tfr_tokenizer_open(&tokenizer, folder), TFR_RESOURCE, "tokenizer_");
}

TFR_TEST(bad_vocabularies_are_refused) {
    TFR_UNUSED_STATE;
    check_plain_refused("\"ab\":256,\"abc\":256", TINY_MERGES, "id 256 belongs to two tokens");
    check_plain_refused("\"ab\":256,\"abc\":97", TINY_MERGES, "id 97 belongs to two tokens");
    check_plain_refused("\"ab\":256,\"ab\":257", TINY_MERGES, "vocab.json:1:");
    check_plain_refused("\"ab\":256,\"abc\":4194304", TINY_MERGES, "ids go from 0 to 4194303");
    check_plain_refused("\"ab\":256,\"abc\":-1", TINY_MERGES, "has id -1");
    check_plain_refused("\"ab\":256,\"abc\":257.5", TINY_MERGES, "must be a whole number");
    check_plain_refused("\"ab\":256,\"abc\":\"257\"", TINY_MERGES, "must be a whole number");
    check_plain_refused("\"ab\":256,", TINY_MERGES, "vocab.json:1:");
    const char *folder = tiny_folder();
    tiny_write(folder, "vocab.json", "[1]");
    tiny_write(folder, "merges.txt", "#version: 0.2\n");
    check_refused(folder, "must be an object");
}

static int n_warnings;
static void count_warnings(void *user, enum tfr_log_level level, const char *area, const char *text) {
    (void)user, (void)area;
    n_warnings += level == TFR_LOG_WARN;
    assert_true(level != TFR_LOG_WARN || strstr(text, "byte 0x62 has no token") != NULL);
}

/* Of a tokenizer, not of each text. */
TFR_TEST(bytes_without_a_token_are_told_of_once) {
    TFR_UNUSED_STATE;
    const char *folder = tiny_folder();
    tiny_write(folder, "vocab.json", "{\"a\":0,\"c\":1}");
    tiny_write(folder, "merges.txt", "#version: 0.2\n");
    tfr_log_set_callback(count_warnings, NULL);
    for (int opened = 1; opened <= 2; opened++) {
        struct tfr_tokenizer *tokenizer = open_ok(folder);
        n_warnings = 0;
        CHECK_ENCODING(tokenizer, "ac", 0, 1);
        assert_int_equal(n_warnings, 0);
        for (int i = 0; i < 3; i++) {
            CHECK_ENCODING(tokenizer, "abcx", 0, 1);
            check_encoding(tokenizer, "yz", NULL, 0);
        }
        assert_int_equal(n_warnings, 1);
        tfr_tokenizer_close(tokenizer);
    }
    tfr_log_set_callback(NULL, NULL);
    tiny_remove(folder);
}

TFR_TEST(bytes_without_a_token_are_left_out_or_refused_when_they_come) {
    TFR_UNUSED_STATE;
    const char *folder = tiny_folder();
    tiny_write(folder, "vocab.json", "{\"a\":0,\"c\":1,\"ac\":2}");
    tiny_write(folder, "merges.txt", "#version: 0.2\na c\n");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "ac", 2);
    CHECK_ENCODING(tokenizer, "abca", 2, 0); /* what is left merges, as in tokenizers */
    check_encoding(tokenizer, "zz", NULL, 0);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

/* Any line ends; a first line that is no header is a merge, and so is a last one that does not end.
 * \141 is an a, which as such would be a digit of the byte before it. */
TFR_TEST(merges_in_any_form_are_the_same) {
    TFR_UNUSED_STATE;
    static const char *const forms[] = {
        "#version: 0.2\r\na b\r\nab c\r\n",       "#version: 0.2\ra b\rab c\r", "a b\nab c\n", "#version: 0.2\na b\nab c",
        "\xef\xbb\xbf#version: 0.2\na b\nab c\n", "\xef\xbb\xbf\141 b\r\nab c"};
    for (size_t i = 0; i < TFR_COUNT_OF(forms); i++) {
        const char *folder = tiny_plain(TINY_VOCAB_TAIL, forms[i]);
        struct tfr_tokenizer *tokenizer = open_ok(folder);
        CHECK_ENCODING(tokenizer, "abcab", 257, 256);
        tfr_tokenizer_close(tokenizer);
        tiny_remove(folder);
    }
    const char *folder = tiny_plain(TINY_VOCAB_TAIL, "");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "ab", 'a', 'b');
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(pointers_of_git_lfs_are_named) {
    TFR_UNUSED_STATE;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    static const char *const names[] = {
        "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json"};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        check_refused(plain_and(TINY_VOCAB_TAIL, names[i], pointer), "git lfs pull");
    }
}

TFR_TEST(bad_merges_are_refused_with_their_line) {
    TFR_UNUSED_STATE;
    check_plain_refused(TINY_VOCAB_TAIL, "#version: 0.2\na b\nab zz\n", "merges.txt:3: the merge names token \"zz\"");
    check_plain_refused(TINY_VOCAB_TAIL, "#version: 0.2\nqq b\n", "merges.txt:2: the merge names token \"qq\"");
    check_plain_refused(TINY_VOCAB_TAIL, "#version: 0.2\nb c\n", "makes a token that is not in the vocabulary");
    check_plain_refused(TINY_VOCAB_TAIL, "#version: 0.2\na b c\n", "merges.txt:2: a merge is two tokens");
    check_plain_refused(TINY_VOCAB_TAIL, "#version: 0.2\na b\n\n", "merges.txt:3: a merge is two tokens");
    check_plain_refused(TINY_VOCAB_TAIL, "#version: 0.2\n b\n", "a merge is two tokens");
    check_plain_refused(TINY_VOCAB_TAIL, "#version: 0.2\na \n", "a merge is two tokens");
    check_plain_refused(TINY_VOCAB_TAIL, "#version: 0.2\r\na b\r\n\r\n", "merges.txt:3: a merge is two tokens");
}

TFR_TEST(files_beside_the_vocabulary_are_honoured) {
    TFR_UNUSED_STATE;
    const char *folder = plain_and(TINY_VOCAB_TAIL, "added_tokens.json", "{\"<x>\":258,\"<pad>\":259}");
    tiny_write(folder, "special_tokens_map.json",
               "{\"pad_token\":\"<pad>\",\"eos_token\":{\"content\":\"abc\"},\"unk_token\":null}");
    tiny_write(folder, "tokenizer_config.json",
               "{\"add_prefix_space\":true,\"eos_token\":\"</s>\",\"bos_token\":null,\"sep_token\":\"</s>\","
               "\"extra_special_tokens\":{\"x_token\":\"ab\"},\"model_max_length\":1024}");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    assert_int_equal(tfr_tokenizer_vocab_size(tokenizer), 261);
    assert_int_equal(tfr_tokenizer_eos(tokenizer), 257); /* special_tokens_map.json has the last word */
    assert_true(tfr_tokenizer_is_special(tokenizer, 259));
    assert_true(tfr_tokenizer_is_special(tokenizer, 260));
    assert_true(tfr_tokenizer_is_special(tokenizer, 256));
    assert_false(tfr_tokenizer_is_special(tokenizer, 258));
    assert_true(tfr_tokenizer_adds_prefix_space(tokenizer));
    CHECK_ENCODING(tokenizer, "a<x>b</s><pad> c", ' ', 'a', 258, ' ', 'b', 260, 259, ' ', 'c');
    check_encoding(tokenizer, "", NULL, 0);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(added_tokens_decoder_says_it_all) {
    TFR_UNUSED_STATE;
    const char *folder = plain_and(TINY_VOCAB_TAIL, "added_tokens.json", "{\"<x>\":258}");
    tiny_write(folder, "special_tokens_map.json", "{\"pad_token\":\"<pad>\"}");
    tiny_write(folder, "tokenizer_config.json",
               "{\"added_tokens_decoder\":{\"301\":{\"content\":\"<late>\",\"special\":false},\"300\":{"
               "\"content\":\"</s>\","
               "\"special\":true,\"lstrip\":false}},\"eos_token\":\"</"
               "s>\",\"mask_token\":\"<m>\",\"split_special_tokens\":false}");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    assert_int_equal(tfr_tokenizer_eos(tokenizer), 258); /* the next free ids, in the order of those of the file */
    CHECK_ENCODING(tokenizer, "</s><late><m><x>", 258, 259, 261, '<', 'x', '>');
    CHECK_ENCODING(tokenizer, "<|endoftext|><pad>", 260, '<', 'p', 'a', 'd', '>');
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

/* A special token is found before the others, also where its name and its id come from two files. */
TFR_TEST(names_make_added_tokens_special_from_the_start) {
    TFR_UNUSED_STATE;
    const char *folder = plain_and(TINY_VOCAB_TAIL, "added_tokens.json", "{\"b<x>\":258}");
    tiny_write(folder, "special_tokens_map.json", "{\"pad_token\":\"<x>\",\"mask_token\":\"b<x>\"}");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "ab<x><x>", 'a', 258, 260); /* 259 is <|endoftext|> */
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
    folder = plain_and(TINY_VOCAB_TAIL, "added_tokens.json", "{\"b<x>\":258}");
    tiny_write(folder, "special_tokens_map.json", "{\"pad_token\":\"<x>\",\"extra_special_tokens\":{\"a\":\"b<x>\"}}");
    tokenizer = open_ok(folder); /* but of an object, later */
    CHECK_ENCODING(tokenizer, "ab<x><x>", 256, 260, 260);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

/* Each added token was looked for in the whole list: for minutes. */
TFR_TEST(many_added_tokens_beside_many_special_ones_open) {
    TFR_UNUSED_STATE;
    enum { MANY = 200000, ROOM = 24 };
    char *added = calloc(MANY, ROOM), *special = calloc(MANY, ROOM);
    assert_non_null(added);
    assert_non_null(special);
    size_t n_added = 0, n_special = (size_t)sprintf(special, "{\"additional_special_tokens\":");
    for (int i = 0; i < MANY; i++) {
        n_added += (size_t)sprintf(added + n_added, "%c\"<%d>\":%d", i == 0 ? '{' : ',', i, 300 + i);
        n_special += (size_t)sprintf(special + n_special, "%c\"<%d>\"", i == 0 ? '[' : ',', MANY - 1 + i);
    }
    added[n_added] = '}';
    memcpy(special + n_special, "]}", 2);
    const char *folder = plain_and(TINY_VOCAB_TAIL, "added_tokens.json", added);
    tiny_write(folder, "special_tokens_map.json", special);
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    for (int i = MANY - 2; i < MANY; i++) {
        char name[ROOM];
        const int length = snprintf(name, sizeof name, "<%d>", i);
        const int32_t id = tfr_tokenizer_find(tokenizer, name, (size_t)length);
        assert_true(id >= 0);
        assert_int_equal(tfr_tokenizer_is_special(tokenizer, id), i == MANY - 1);
    }
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
    free(added);
    free(special);
}

/* The next token is looked for behind the token itself: one inside the blanks that were taken along is found
 * too. */
TFR_TEST(tokens_take_blanks_along) {
    TFR_UNUSED_STATE;
    const char *folder = plain_and(TINY_VOCAB_TAIL, "special_tokens_map.json",
                                   "{\"sep_token\":{\"content\":\"<r>\",\"rstrip\":true},\"cls_token\":{"
                                   "\"content\":\"<l>\",\"lstrip\":true},"
                                   "\"mask_token\":{\"content\":\"\\n\",\"rstrip\":true}}");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "a<r> \t b <l> c", 'a', 259, 'b', 260, ' ', 'c');
    CHECK_ENCODING(tokenizer, "<r> <l>  <l>", 259, 260, 260);
    CHECK_ENCODING(tokenizer, "<r> \n\n a", 259, 261, 261, 'a');
    char blanks[40001];
    memset(blanks, '\n', sizeof blanks - 1); /* quick, though each of them takes all behind it along */
    blanks[sizeof blanks - 1] = '\0';
    struct tfr_ids ids = {0};
    assert_ok(tfr_tokenizer_encode(tokenizer, blanks, sizeof blanks - 1, TFR_SPECIAL_PARSE, &ids));
    assert_int_equal(ids.n, sizeof blanks - 1);
    tfr_ids_free(&ids);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(split_special_tokens_makes_them_text) {
    TFR_UNUSED_STATE;
    const char *folder =
        plain_and(TINY_VOCAB_TAIL, "tokenizer_config.json", "{\"split_special_tokens\":true,\"pad_token\":\"ab\"}");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "abc", 257);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(added_tokens_match_longest_and_special_ones_first) {
    TFR_UNUSED_STATE;
    const char *folder = plain_and(TINY_VOCAB_TAIL, "added_tokens.json", "{\"<x>\":258,\"<x>y\":259,\"a b\":260,\"x<\":261}");
    tiny_write(folder, "special_tokens_map.json", "{\"eos_token\":\"y<\",\"bos_token\":\"y<\",\"unk_token\":\"y<\"}");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "<x>yz", 259, 'z');
    CHECK_ENCODING(tokenizer, "<x>y<", 258, 262);
    CHECK_ENCODING(tokenizer, "<x<xx", '<', 261, 'x', 'x');
    CHECK_ENCODING(tokenizer, "a a b", 'a', ' ', 260);
    size_t size;
    assert_memory_equal(tfr_tokenizer_bytes(tokenizer, 260, &size), "a b", 3); /* no names of bytes, but text */
    assert_int_equal(size, 3);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(bad_files_beside_the_vocabulary_are_refused) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *file, *content, *words;
    } cases[] = {
        {"special_tokens_map.json", "{\"mask_token\":{\"content\":\"ab\",\"single_word\":true}}", "single_word is not supported"},
        {"special_tokens_map.json", "{\"eos_token\":\"\"}", "must not be empty"},
        {"special_tokens_map.json", "{\"eos_token\":7}", "must be a string or an object"},
        {"special_tokens_map.json", "[]", "must be an object"},
        {"added_tokens.json", "{\"<x>\":\"y\"}", "must be a whole number"},
        {"tokenizer_config.json", "{\"add_bos_token\":true}", "add_bos_token is not supported"},
        {"tokenizer_config.json", "{\"split_special_tokens\":1}", "split_special_tokens must be true or false"},
        {"tokenizer_config.json", "{\"clean_up_tokenization_spaces\":\"x\"}", "clean_up_tokenization_spaces must be"},
        {"tokenizer_config.json", "{\"add_prefix_space\":1}", "add_prefix_space must be true or false"},
        {"tokenizer_config.json", "{\"tokenizer_class\":\"RobertaTokenizer\"}", "this is RobertaTokenizer"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"ab\"}}}", "\"x\" is not an id"},
        {"tokenizer_config.json", "{", "tokenizer_config.json:1:"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        check_refused(plain_and(TINY_VOCAB_TAIL, cases[i].file, cases[i].content), cases[i].words);
    }
}

#define STAGE "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define JSON_HEAD                                                                                                                  \
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":258,\"content\":"                         \
    "\"<s>\","                                                                                                                     \
    "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],"                             \
    "\"normalizer\":null,\"pre_tokenizer\":" STAGE ",\"post_processor\":" STAGE ",\"decoder\":" STAGE                              \
    ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":\"\","                         \
    "\"end_of_word_suffix\":\"\",\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,"                              \
    "\"vocab\":{"
#define JSON_TAIL TINY_VOCAB_TAIL "},\"merges\":[\"a b\",[\"ab\",\"c\"]]}}"

/* A tokenizer.json in which the first `from` of head or tail is `to`. */
static const char *json_with(const char *from, const char *to) {
    static const char *const parts[] = {JSON_HEAD, JSON_TAIL};
    struct tfr_text text = {0};
    bool changed = from[0] == '\0';
    for (size_t i = 0; i < 2; i++) {
        const char *place = changed ? NULL : strstr(parts[i], from);
        if (place != NULL) {
            assert_ok(tfr_text_append(&text, parts[i], (size_t)(place - parts[i])));
            tiny_put(&text, to);
            changed = true;
        }
        tiny_put(&text, place != NULL ? place + strlen(from) : parts[i]);
        if (i == 0) {
            tiny_put_bytes(&text);
        }
    }
    assert_true(changed);
    const char *folder = tiny_folder();
    tiny_write(folder, "tokenizer.json", text.data);
    tfr_text_free(&text);
    return folder;
}

TFR_TEST(tokenizer_json_opens_from_folder_and_by_path) {
    TFR_UNUSED_STATE;
    const char *folder = json_with("", "");
    char path[640];
    snprintf(path, sizeof(path), "%s/tokenizer.json", folder);
    const char *const paths[] = {folder, path};
    for (size_t i = 0; i < 2; i++) {
        struct tfr_tokenizer *tokenizer = open_ok(paths[i]);
        assert_int_equal(tfr_tokenizer_vocab_size(tokenizer), 259);
        assert_int_equal(tfr_tokenizer_eos(tokenizer), -1);
        CHECK_ENCODING(tokenizer, "abc<s>ab a", 257, 258, 256, ' ', 'a');
        tfr_tokenizer_close(tokenizer);
    }
    tiny_remove(folder);
}

/* What tokenizer_config.json says of a token counts, in either line of transformers. */
TFR_TEST(added_tokens_decoder_wins_over_tokenizer_json) {
    TFR_UNUSED_STATE;
    const char *folder = json_with("", "");
    tiny_write(folder, "tokenizer_config.json",
               "{\"added_tokens_decoder\":{\"258\":{\"content\":\"<s>\",\"special\":true,\"rstrip\":true}}}");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "a<s>  b", 'a', 258, 'b');
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(tokenizer_json_wins_over_plain_files) {
    TFR_UNUSED_STATE;
    const char *folder = json_with("", "");
    tiny_write(folder, "vocab.json", "{}");
    tiny_write(folder, "merges.txt", "");
    tfr_tokenizer_close(open_ok(folder));
    tiny_remove(folder);
}

TFR_TEST(prefix_space_of_tokenizer_json) {
    TFR_UNUSED_STATE;
    const char *folder = json_with("\"add_prefix_space\":false", "\"add_prefix_space\":true");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "a<s>b", ' ', 'a', 258, ' ', 'b');
    CHECK_ENCODING(tokenizer, " a", ' ', 'a');
    CHECK_ENCODING(tokenizer, "\na", ' ', '\n', 'a');
    tfr_tokenizer_close(tokenizer);
    tiny_write(folder, "tokenizer_config.json", "{\"add_prefix_space\":false}");
    tokenizer = open_ok(folder);
    CHECK_ENCODING(tokenizer, "a", 'a');
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

/* Such a folder names no class because it has no config.json; no memory to look for one must not look like one. */
TFR_TEST(no_memory_does_not_change_how_a_bare_folder_is_read) {
    TFR_UNUSED_STATE;
    const char *folder = json_with("\"add_prefix_space\":false", "\"add_prefix_space\":true");
    enum tfr_status status = TFR_RESOURCE;
    for (uint64_t i = 1; status != TFR_OK; i++) {
        struct tfr_tokenizer *tokenizer;
        tfr_alloc_fail_after(i);
        status = tfr_tokenizer_open(&tokenizer, folder);
        tfr_alloc_fail_after(0);
        if (status == TFR_OK) {
            CHECK_ENCODING(tokenizer, "a", ' ', 'a');
            tfr_tokenizer_close(tokenizer);
        }
    }
    tiny_remove(folder);
}

TFR_TEST(what_tokenizer_json_asks_for_and_we_do_not_do_is_refused) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *from, *to, *words;
    } cases[] = {
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}",
         "this one is Sequence"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", "normalizer is not supported"},
        {"\"version\"", "\"flavour\":1,\"version\"", "\"flavour\" is not supported"},
        {"\"pre_tokenizer\":{\"type\":\"ByteLevel\"", "\"pre_tokenizer\":{\"type\":\"Whitespace\"", "this one is Whitespace"},
        {"\"pre_tokenizer\":" STAGE, "\"pre_tokenizer\":null", "pre_tokenizer must be of type ByteLevel"},
        {"\"add_prefix_space\":false,", "", "lacks add_prefix_space"},
        {"\"use_regex\":true", "\"use_regex\":false", "use_regex false is not supported"},
        {"\"post_processor\":{\"type\":\"ByteLevel\"", "\"post_processor\":{\"type\":\"TemplateProcessing\"",
         "(TemplateProcessing) puts tokens around"},
        {"\"decoder\":" STAGE, "\"decoder\":null", "decoder must be of type ByteLevel"},
        {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", "type must be BPE"},
        {"\"dropout\":null", "\"dropout\":0.1", "dropout is not supported"},
        {"\"continuing_subword_prefix\":\"\"", "\"continuing_subword_prefix\":\"##\"",
         "continuing_subword_prefix is not supported"},
        {"\"end_of_word_suffix\":\"\"", "\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix is not supported"},
        {"\"byte_fallback\":false", "\"byte_fallback\":1", "byte_fallback must be true or false"},
        {"\"ignore_merges\":false,\"vocab\":{", "\"ignore_merges\":true,\"vocab\":{\"bc\":258,", "no merges make token \"bc\""},
        {"\"lstrip\":false", "\"lstrip\":7", "lstrip must be true or false"},
        {"\"single_word\":false", "\"single_word\":true", "single_word is not supported"},
        {"\"id\":258", "\"id\":-1", "must be a whole number from 0"},
        {"[\"a b\",", "[\"a b\",\"a\",", "a merge is \"left right\""},
        {"[\"ab\",\"c\"]", "[\"ab\",\"c\",\"d\"]", "a merge is \"left right\""},
        {"[\"ab\",\"c\"]", "[\"ab\",\"zz\"]", "names token \"zz\""},
        {"\"merges\":", "\"merges\":7,\"x\":", "\"x\" is not supported"},
        {"\"merges\":[\"a b\",[\"ab\",\"c\"]]", "\"merges\":7", "merges must be an array"},
        {"\"model\":{", "\"model\":7}", "tokenizer.json:1:"},
        {"\"vocab\":{", "\"vocab\":[],\"unk_token2\":{", "\"unk_token2\" is not supported"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        check_refused(json_with(cases[i].from, cases[i].to), cases[i].words);
    }
}

/* Each changes no id. */
TFR_TEST(what_tokenizer_json_says_without_effect_is_let_pass) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\"truncation\":null", "\"truncation\":{\"direction\":\"Right\",\"max_length\":1,\"strategy\":"
                                "\"LongestFirst\",\"stride\":0}"},
        {"\"padding\":null", "\"padding\":{\"strategy\":{\"Fixed\":16},\"pad_id\":258,\"pad_token\":\"<s>\"}"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]}"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
                                "\"Sequence\",\"normalizers\":[]}]}"},
        {"\"pre_tokenizer\":" STAGE, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" STAGE "]}"},
        {"\"post_processor\":" STAGE, "\"post_processor\":null"},
        {"\"post_processor\":" STAGE,
         "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[" STAGE ",{\"type\":\"TemplateProcessing\","
         "\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]}]}"},
        {"\"decoder\":" STAGE, "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[" STAGE "]}"},
        {"\"byte_fallback\":false", "\"byte_fallback\":true"},
        {"\"ignore_merges\":false", "\"ignore_merges\":true"},
        {"\"dropout\":null", "\"dropout\":0.0"},
        {"\"id\":258", "\"id\":300"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        const char *folder = json_with(cases[i].from, cases[i].to);
        struct tfr_tokenizer *tokenizer = open_ok(folder);
        CHECK_ENCODING(tokenizer, "abc<s>ab a", 257, 258, 256, ' ', 'a');
        tfr_tokenizer_close(tokenizer);
        tiny_remove(folder);
    }
}

/* Beside a config.json the class is GPT2Tokenizer, which has its prefix space from tokenizer_config.json
 * alone. */
TFR_TEST(prefix_space_belongs_to_the_class) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *config, *refused;
        bool adds;
    } cases[] = {
        {"{}", NULL, false},
        {"{\"tokenizer_class\":\"GPT2TokenizerFast\",\"add_prefix_space\":true}", NULL, true},
        {"{\"tokenizer_class\":\"TokenizersBackend\"}", NULL, true},
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"add_prefix_space\":true}", NULL, true},
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}", "make them the same", false},
        {"{\"tokenizer_class\":\"TokenizersBackend\",\"add_prefix_space\":false}", "make them the same", false},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        const char *folder = json_with("\"add_prefix_space\":false", "\"add_prefix_space\":true");
        tiny_write(folder, "tokenizer_config.json", cases[i].config);
        if (cases[i].refused != NULL) {
            check_refused(folder, cases[i].refused);
            continue;
        }
        struct tfr_tokenizer *tokenizer = open_ok(folder);
        assert_int_equal(tfr_tokenizer_adds_prefix_space(tokenizer), cases[i].adds);
        tfr_tokenizer_close(tokenizer);
        tiny_remove(folder);
    }
}

TFR_TEST(other_classes_are_refused_beside_a_tokenizer_json_too) {
    TFR_UNUSED_STATE;
    const char *folder = json_with("", "");
    tiny_write(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"LlamaTokenizerFast\"}");
    check_refused(folder, "this is LlamaTokenizerFast");
}

TFR_TEST(bytes_without_a_token_beside_an_unknown_token_are_refused_when_they_come) {
    TFR_UNUSED_STATE;
    const char *folder = tiny_folder();
    tiny_write(folder, "tokenizer.json",
               "{\"pre_tokenizer\":" STAGE ",\"decoder\":" STAGE
               ",\"model\":{\"unk_token\":\"a\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}");
    struct tfr_tokenizer *tokenizer = open_ok(folder);
    struct tfr_ids ids = {0};
    CHECK_ENCODING(tokenizer, "ab", 0, 1);
    assert_refused(tfr_tokenizer_encode(tokenizer, "axb", 3, TFR_SPECIAL_PARSE, &ids), TFR_MODEL, "byte 0x78 of the text");
    tfr_ids_free(&ids);
    tfr_tokenizer_close(tokenizer);
    tiny_remove(folder);
}

TFR_TEST(a_tokenizer_json_of_nothing_is_refused) {
    TFR_UNUSED_STATE;
    static const char *const texts[] = {"{}", "[]", "null", "{\"model\":{}}", ""};
    for (size_t i = 0; i < TFR_COUNT_OF(texts); i++) {
        const char *folder = tiny_folder();
        tiny_write(folder, "tokenizer.json", texts[i]);
        check_refused(folder, "tokenizer.json:1:");
    }
}

TFR_TEST(lack_of_memory_while_opening_leaves_nothing) {
    TFR_UNUSED_STATE;
    const char *folder = plain_and(TINY_VOCAB_TAIL, "tokenizer_config.json", "{\"eos_token\":\"ab\"}");
    enum tfr_status status = TFR_RESOURCE;
    for (uint64_t n = 1; status != TFR_OK && n < 5000; n++) {
        struct tfr_tokenizer *tokenizer;
        tfr_alloc_fail_after(n);
        status = tfr_tokenizer_open(&tokenizer, folder);
        tfr_alloc_fail_after(0);
        assert_true(status == TFR_OK || (status == TFR_RESOURCE && tokenizer == NULL));
        tfr_tokenizer_close(tokenizer);
    }
    assert_int_equal(status, TFR_OK);
    tiny_remove(folder);
}

TFR_TEST_MAIN(TFR_CASE(plain_files_open), TFR_CASE(many_added_tokens_beside_many_special_ones_open),
              TFR_CASE(end_of_text_that_nobody_names_gets_the_next_id), TFR_CASE(holes_in_the_ids_have_no_token),
              TFR_CASE(missing_files_are_named), TFR_CASE(bad_vocabularies_are_refused),
              TFR_CASE(bad_merges_are_refused_with_their_line), TFR_CASE(files_beside_the_vocabulary_are_honoured),
              TFR_CASE(added_tokens_match_longest_and_special_ones_first), TFR_CASE(bad_files_beside_the_vocabulary_are_refused),
              TFR_CASE(tokenizer_json_opens_from_folder_and_by_path), TFR_CASE(tokenizer_json_wins_over_plain_files),
              TFR_CASE(prefix_space_of_tokenizer_json), TFR_CASE(no_memory_does_not_change_how_a_bare_folder_is_read),
              TFR_CASE(what_tokenizer_json_asks_for_and_we_do_not_do_is_refused), TFR_CASE(a_tokenizer_json_of_nothing_is_refused),
              TFR_CASE(lack_of_memory_while_opening_leaves_nothing), TFR_CASE(bytes_without_a_token_are_told_of_once),
              TFR_CASE(bytes_without_a_token_are_left_out_or_refused_when_they_come), TFR_CASE(merges_in_any_form_are_the_same),
              TFR_CASE(pointers_of_git_lfs_are_named), TFR_CASE(added_tokens_decoder_says_it_all),
              TFR_CASE(names_make_added_tokens_special_from_the_start), TFR_CASE(added_tokens_decoder_wins_over_tokenizer_json),
              TFR_CASE(tokens_take_blanks_along), TFR_CASE(split_special_tokens_makes_them_text),
              TFR_CASE(what_tokenizer_json_says_without_effect_is_let_pass), TFR_CASE(prefix_space_belongs_to_the_class),
              TFR_CASE(other_classes_are_refused_beside_a_tokenizer_json_too),
              TFR_CASE(bytes_without_a_token_beside_an_unknown_token_are_refused_when_they_come))
