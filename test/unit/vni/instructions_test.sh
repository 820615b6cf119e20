#!/bin/sh
# usage: instructions_test.sh ARCHIVE
#
# Code for memory that hosts do not see alike reads and writes nothing in one step: no locked
# instruction, no exchange with memory. The code for coherent memory, beside it in the archive,
# does, so the test would see it.

set -eu

count() { # OBJECT: such instructions in it
	objdump -d --no-show-raw-insn "$archive" | awk -v object="$1:" '
		/file format/ { sub(/.*\//, "", $1); is_here = $1 == object; n_seen += is_here }
		is_here && /^ +[0-9a-f]+:\t(.*[ \t])?(lock|xchg|cmpxchg|xadd)/ && /lock|\(/ { n++ }
		END { if (!n_seen) exit 1; print n + 0 }'
}

case $(uname -m) in
x86_64) ;;
*) exit 77 ;;
esac
archive=$1
rc=0
for object in noncoherent.c.o node.c.o piece.c.o lane.c.o lane_rx.c.o lane_tx.c.o; do
	n=$(count "$object") || { echo "$archive: no $object"; exit 1; }
	[ "$n" = 0 ] || { echo "$object: $n locked instructions"; rc=1; }
done
[ "$(count slot.c.o)" -gt 0 ] || { echo "slot.c.o: no locked instructions; does this test see any?"; rc=1; }
exit $rc
