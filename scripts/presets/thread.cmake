# data races; the team is the pthread back end, because libgomp's barriers are invisible to the sanitizer
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(TFRUN_SANITIZE thread CACHE STRING "")
set(TFRUN_WITH_ONEDNN OFF CACHE BOOL "")
set(TFRUN_WITH_OPENMP OFF CACHE BOOL "")
set(TFRUN_WITH_MPI OFF CACHE BOOL "")
