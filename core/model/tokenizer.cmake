# Byte-level BPE. Included by core/model/CMakeLists.txt.
add_library(tfr_tokenizer STATIC
  ${CMAKE_CURRENT_LIST_DIR}/added_tokens.c ${CMAKE_CURRENT_LIST_DIR}/bpe.c ${CMAKE_CURRENT_LIST_DIR}/pretokenize.c
  ${CMAKE_CURRENT_LIST_DIR}/suffix_automaton.c ${CMAKE_CURRENT_LIST_DIR}/token_buffer.c ${CMAKE_CURRENT_LIST_DIR}/tokenizer.c
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_config.c ${CMAKE_CURRENT_LIST_DIR}/tokenizer_json.c
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_load.c ${CMAKE_CURRENT_LIST_DIR}/tokenizer_merges.c
  ${CMAKE_CURRENT_LIST_DIR}/tokenizer_named.c ${CMAKE_CURRENT_LIST_DIR}/tokenizer_parts.c ${CMAKE_CURRENT_LIST_DIR}/tokenizer_stages.c
  ${CMAKE_CURRENT_LIST_DIR}/unicode_tables.c ${CMAKE_CURRENT_LIST_DIR}/vocab.c)
target_link_libraries(tfr_tokenizer PUBLIC tfr_config tfr_base tfr_options)
