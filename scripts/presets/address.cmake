# address, leak and undefined behaviour: cmake -C scripts/presets/address.cmake -S . -B build-address
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(TFRUN_SANITIZE address,undefined CACHE STRING "")
