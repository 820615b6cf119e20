#!/usr/bin/env bash
# The worked examples of docs/architecture.md, followed: the patches of examples/ change a copy of
# the tree in the places that the document names, and no others; what they change is built and
# tested. A row of a block of code there is one of the patches.
. "$(dirname "$0")/lib.sh"

# The copy is built without sanitizers, whatever $build has: once is enough.
[ "$(meson introspect --buildoptions "$build" | json 'next(o["value"] for o in d if o["name"] == "b_sanitize")')" = none ] || exit 0

tree=$work/tree examples=$top/test/smoke/examples
mkdir "$tree"
tar -C "$top" --exclude=./build --exclude=./.git -c . | tar -C "$tree" -x

places() { sed -n 's/^+++ b\///p' "$examples/$1.patch" | sort | tr '\n' ' '; } # EXAMPLE
# Lines around that changed are refused: without them a patch could land elsewhere.
apply() { # EXAMPLE
	patch -d "$tree" -p1 -F0 <"$examples/$1.patch" || fail "$1.patch must follow the lines around its own"
}

documented_rows_are_in_the_patches() {
	local rows
	rows=$(sed -n '/^## Worked examples/,$p' "$top/docs/architecture.md" | sed -n '/^```c$/,/^```$/{/^```/d;p;}')
	expect_match X.arg "$rows"
	while IFS= read -r row; do
		grep -qxF -- "+$row" "$examples"/*.patch || fail "in no patch: $row"
	done < <(sed 's/^    /\t/' <<<"$rows")
}

port_type_is_a_row_a_file_and_a_test() {
	expect "places" "include/rtvs/port_traits.h src/dp/house/port_sink.c test/unit/dp/port_sink_test.c " \
		"$(places port_type)"
	apply port_type
}

reason_parameter_and_event_are_a_row_each_and_their_use() {
	expect "places" "include/rtvs/dp.h include/rtvs/drop.h include/rtvs/event_list.h src/ctl/port_params.c src/dp/house/port_sink.c test/unit/dp/port_sink_test.c " \
		"$(places reason_parameter_event)"
	apply reason_parameter_event
}

both_are_built_and_pass() {
	local copy=$tree/build/examples test targets=()
	for test in core/drop core/port_traits ctl/port dp/port_sink; do
		targets+=("test/unit/${test%/*}/${test/\//_}_test")
	done
	(cd "$tree" && CC=${CC:-gcc} meson setup -Doptimization=0 -Ddebug=false "$copy" >"$work/examples.out" &&
		ninja -C "$copy" "${targets[@]}" >>"$work/examples.out") || { tail -n 20 "$work/examples.out"; return 1; }
	meson test -C "$copy" --no-rebuild --print-errorlogs \
		core/drop core/port_traits ctl/port dp/port_sink@1 dp/port_sink@2
}

run_case "the document's rows are the patches'" documented_rows_are_in_the_patches
run_case "a port type is a row, a file and a test" port_type_is_a_row_a_file_and_a_test
run_case "a drop reason, a parameter and an event are a row each, and their use" reason_parameter_and_event_are_a_row_each_and_their_use
run_case "both are built and pass their tests" both_are_built_and_pass
