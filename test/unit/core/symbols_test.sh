#!/bin/sh
# usage: symbols_test.sh ARCHIVE...
#
# The pure libraries need only each other, a few functions of libc that compilers call by
# themselves, the compiler's 128-bit division, and its list of the CPU's features. No code there can
# read a clock, log or allocate unnoticed.

set -eu

allowed='memcpy|memmove|memset|memcmp|bcmp|strlen|__(memcpy|memmove|memset)_chk|__assert_fail|__udivti3|__cpu_(model|features2|indicator_init)|_GLOBAL_OFFSET_TABLE_'
rc=0
for archive in "$@"; do
	defined=$(nm -g --defined-only "$archive" | awk 'NF == 3 {print $3}')
	[ -n "$defined" ] || { echo "$archive: no symbols, is it an archive of objects?"; rc=1; }
	for symbol in $(nm -u "$archive" | awk 'NF == 2 && $1 == "U" {print $2}' | sort -u); do
		if ! echo "$symbol" | grep -qxE "$allowed" && ! echo "$defined" | grep -qxF "$symbol"; then
			echo "$archive: needs $symbol"
			rc=1
		fi
	done
done
exit $rc
