# pack.cmake - joins the sources of the page into one file, without indentation and comments of whole lines, and writes it as a C
# array with its content policy: the hashes of the one script and the one style that may run.
# usage: cmake -D FOLDER=core/app/http/page -D SCRIPTS=a.js,b.js -D OUT=page_data.c -P pack.cmake; beside OUT stands page.html
cmake_minimum_required(VERSION 3.22)

# The text of files, one after the other.
function(join_files result)
  set(joined "")
  foreach(name IN LISTS ARGN)
    file(READ ${FOLDER}/${name} text)
    string(APPEND joined "${text}")
  endforeach()
  string(REGEX REPLACE "(^|\n)/[*]([^*]|[*][^/])*[*]/" "" joined "${joined}")
  string(REGEX REPLACE "\n[ \n]+" "\n" joined "${joined}")
  set(${result} "${joined}" PARENT_SCOPE)
endfunction()

# 'sha256-...' of a text, as a content policy names it: three bytes, six digits of hexadecimal, become four of base 64.
function(policy_hash result text)
  set(alphabet ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/)
  string(SHA256 hex "${text}")
  set(hash "")
  foreach(at RANGE 0 60 6) # of the 64 digits, with two behind them that say nothing
    string(SUBSTRING "${hex}00" ${at} 6 six)
    math(EXPR bits "0x${six}")
    foreach(shift 18 12 6 0)
      math(EXPR index "(${bits} >> ${shift}) & 63")
      string(SUBSTRING ${alphabet} ${index} 1 sign)
      string(APPEND hash ${sign})
    endforeach()
  endforeach()
  string(SUBSTRING ${hash} 0 43 hash)
  set(${result} "'sha256-${hash}='" PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" SCRIPTS "${SCRIPTS}")
join_files(style page.css)
join_files(script ${SCRIPTS})
set(style "\n${style}")
set(script "\n'use strict';\n(() => {${script}})();\n")
policy_hash(style_hash "${style}")
policy_hash(script_hash "${script}")
file(READ ${FOLDER}/page.html page)
string(REGEX REPLACE "\n +" "\n" page "${page}")
string(REPLACE "@STYLE@" "${style}" page "${page}")
string(REPLACE "@SCRIPT@" "${script}" page "${page}")

# The bytes of a file, as the inside of an array.
function(c_bytes result path)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  set(${result} "${hex}" PARENT_SCOPE)
endfunction()

get_filename_component(beside ${OUT} DIRECTORY)
file(WRITE ${beside}/page.html "${page}")
c_bytes(hex ${beside}/page.html)
join_files(offline offline.js)
file(WRITE ${beside}/offline.js "'use strict';${offline}")
c_bytes(offline_hex ${beside}/offline.js)
file(WRITE ${OUT} "/* Written by pack.cmake from core/app/http/page; do not edit. */
#include \"app/http/page.h\"

static const unsigned char html[] = {
${hex}};
static const unsigned char offline[] = {
${offline_hex}};
const struct tfr_page tfr_page = {
    .html = html,
    .size = sizeof html,
    .policy = \"default-src 'none'; script-src ${script_hash}; style-src ${style_hash}; connect-src 'self'; worker-src 'self'; \"
              \"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \"
              \"require-trusted-types-for 'script'; trusted-types tfrun-offline\",
    .offline = offline,
    .offline_size = sizeof offline,
};
")
