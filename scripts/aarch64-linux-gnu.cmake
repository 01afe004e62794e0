# Toolchain file: cross-builds for 64-bit ARM with Debian's gcc-aarch64-linux-gnu; tests run under qemu-user.
# Used by scripts/test_aarch64.
# TFR_SYSROOT holds the headers and libraries beside libc (cJSON, cmocka), as arm64 packages unpacked there.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES TFR_SYSROOT)

set(CMAKE_FIND_ROOT_PATH ${TFR_SYSROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# Programs that link libtfrun alone: a cross linker does not follow its RUNPATH to cJSON.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${TFR_SYSROOT}/usr/lib/aarch64-linux-gnu")
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${TFR_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${TFR_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)

find_program(TFR_QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
if(TFR_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${TFR_QEMU_AARCH64} -L /usr/aarch64-linux-gnu
      -E LD_LIBRARY_PATH=${TFR_SYSROOT}/usr/lib/aarch64-linux-gnu)
endif()
