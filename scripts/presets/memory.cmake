# uninitialised values in kernels; libraries that are not compiled with it (cJSON, cmocka) would be told of falsely, so kernels alone
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(TFRUN_SANITIZE memory CACHE STRING "")
foreach(library ONEDNN OPENMP MPI HWLOC LIBZIP LIBEDIT)
  set(TFRUN_WITH_${library} OFF CACHE BOOL "")
endforeach()
