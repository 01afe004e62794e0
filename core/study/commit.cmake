# Writes OUTPUT, a header with the commit of the tree SOURCE, where it changed: cmake -DSOURCE=... -DOUTPUT=... -P commit.cmake
# An unpacked archive has none.
cmake_minimum_required(VERSION 3.22)
set(commit "unknown")
find_program(git git)
if(git AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND ${git} --no-optional-locks -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                  OUTPUT_VARIABLE told OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(commit "${told}")
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define TFR_COMMIT \"@commit@\"\n" @ONLY)
