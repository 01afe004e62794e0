# What a distribution asks of binaries. scripts/check_hygiene looks whether they have it (lint.hygiene).
option(TFRUN_HARDEN "Position independent programs, read-only relocations, stack protector, checked libc calls" ON)
option(TFRUN_REPRODUCIBLE "No folder of this machine in what is built, so that two folders give the same bytes" ON)

# tfr_harden(TARGET): the options that sources and links get through an interface target.
function(tfr_harden target)
  include(CheckCSourceCompiles)
  include(CheckLinkerFlag)
  include(CheckPIESupported)
  check_pie_supported(LANGUAGES C) # programs are linked as what they are compiled as
  target_compile_options(${target} INTERFACE -fstack-protector-strong)

  # Level 3 where compiler and libc know it. Without optimisation libc has a warning instead of checks, and sanitizers check more.
  set(level 2)
  set(CMAKE_REQUIRED_FLAGS "-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
  check_c_source_compiles("#include <stdlib.h>
    #if __USE_FORTIFY_LEVEL != 3
    #error another level
    #endif
    int main(void) { return 0; }" TFR_FORTIFY_3)
  if(TFR_FORTIFY_3)
    set(level 3)
  endif()
  if(NOT TFRUN_SANITIZE AND NOT TFRUN_BUILD_FUZZ)
    target_compile_options(${target} INTERFACE
      $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release,RelWithDebInfo,MinSizeRel>:-D_FORTIFY_SOURCE=${level}>)
  endif()

  foreach(word relro now noexecstack)
    check_linker_flag(C "-Wl,-z,${word}" TFR_LINKER_HAS_${word})
    if(TFR_LINKER_HAS_${word})
      target_link_options(${target} INTERFACE "-Wl,-z,${word}")
    endif()
  endforeach()
endfunction()

# tfr_forget_folders(TARGET): debug information and __FILE__ name sources from the project's folder on. Folders of the build come
# first, as they often lie in the other. Coverage keeps the whole names, which gcov looks for.
function(tfr_forget_folders target)
  foreach(what debug macro)
    target_compile_options(${target} INTERFACE $<$<NOT:$<CONFIG:Debug>>:-f${what}-prefix-map=${PROJECT_SOURCE_DIR}=.>
                                               $<$<NOT:$<CONFIG:Debug>>:-f${what}-prefix-map=${PROJECT_BINARY_DIR}=./build>)
  endforeach()
endfunction()
