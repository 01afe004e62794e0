/* settings.h - what a config says, for a program that runs an engine: the options of the table by their keys, and the model's name.
 *
 * A part of tfrun.h, whose conventions hold here; include that one. */
#ifndef TFRUN_SETTINGS_H
#define TFRUN_SETTINGS_H

#ifndef TFRUN_TFRUN_H
#error "include <tfrun/tfrun.h>, which has this part"
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct tfr_settings; /* read-only once open, for any thread */

/* As tfr_engine_open reads them, with the same failures, and nothing of the weights. */
TFR_API enum tfr_status tfr_settings_open(struct tfr_settings **settings, const char *path, const struct tfr_override *overrides,
                                          size_t n_overrides);
TFR_API void tfr_settings_close(struct tfr_settings *settings);

/* By a key of tfr_option_table whose type is BOOL; INT, COUNT (0: auto) or SEED (-1: null); REAL or INT; TEXT, PATH (from
 * the folder of the config, or as the command line has it; NULL: null) or CHOICE (its word, this thread's); LIST. What is given is
 * borrowed. Another key is a fault of the program: false, 0, NULL. */
TFR_API bool tfr_settings_bool(const struct tfr_settings *settings, const char *key);
TFR_API int64_t tfr_settings_int(const struct tfr_settings *settings, const char *key);
TFR_API double tfr_settings_real(const struct tfr_settings *settings, const char *key);
TFR_API const char *tfr_settings_text(const struct tfr_settings *settings, const char *key);
TFR_API size_t tfr_settings_list(const struct tfr_settings *settings, const char *key, char *const **items);

/* The config or the command line says it; else it has its default. */
TFR_API bool tfr_settings_is_given(const struct tfr_settings *settings, const char *key);

/* model.name, or the name of the config's folder. */
TFR_API const char *tfr_settings_model_name(const struct tfr_settings *settings);
/* Of the model: the tokens that begin and end a text, -1: none. */
TFR_API int32_t tfr_settings_bos(const struct tfr_settings *settings);
TFR_API int32_t tfr_settings_eos(const struct tfr_settings *settings);

#ifdef __cplusplus
}
#endif

#endif
