# data races of the OpenMP team: clang, whose libomp tells the sanitizer of its barriers through libarcher
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(TFRUN_SANITIZE thread CACHE STRING "")
set(TFRUN_WITH_ONEDNN OFF CACHE BOOL "")
set(TFRUN_WITH_MPI OFF CACHE BOOL "")
