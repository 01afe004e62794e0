# The line by line analysis. Each lines_RELEASE.def becomes an array; to add a release is to add its file.
file(GLOB tfr_line_tables CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/lines_[0-9]*.def)
list(SORT tfr_line_tables COMPARE NATURAL)
set(tfr_line_arrays "")
set(tfr_line_names "")
foreach(table IN LISTS tfr_line_tables)
  get_filename_component(name ${table} NAME_WE)
  string(APPEND tfr_line_arrays "static const struct entry ${name}[] = {\n#include \"cost/${name}.def\"\n    {.kind = ENTRY_END},\n};\n")
  string(APPEND tfr_line_names "{${name}}, ")
endforeach()
file(CONFIGURE OUTPUT line_releases.inc CONTENT "${tfr_line_arrays}static const struct tfr_line_release releases[] = {${tfr_line_names}};\n" @ONLY)

target_sources(tfr_cost PRIVATE lines.c line_classes.c line_count.c line_item.c line_path.c line_sum.c)
target_include_directories(tfr_cost PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
