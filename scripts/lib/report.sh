# shellcheck shell=bash
# The results of all checks and tests: one line `ok|FAIL|skip NAME (N s)` on standard output. Below
# a failure is the end of its log, indented so that its lines are not counted as results. Sourced.

report() { # STATUS NAME SECONDS [LOG]
	printf '%s %s (%s s)\n' "$1" "$2" "$3"
	if [ "$1" = FAIL ] && [ -s "${4:-}" ]; then
		tail -n "${RTVS_LOG_LINES:-30}" "$4" | cut -c1-300 | sed 's/^/    | /'
	fi
}

# Runs COMMAND as one test: exit code 0 is ok, 77 is skip (the last line of output says why).
report_run() { # NAME COMMAND [ARG...]
	local name=$1 log begin=$SECONDS rc=0
	shift
	log=$(mktemp)
	"$@" >"$log" 2>&1 </dev/null || rc=$?
	case $rc in
	0) report ok "$name" $((SECONDS - begin)) ;;
	77) report skip "$name: $(tail -n 1 "$log")" $((SECONDS - begin)) ;;
	*) report FAIL "$name" $((SECONDS - begin)) "$log" ;;
	esac
	rm -f "$log"
	[ $rc = 0 ] || [ $rc = 77 ]
}
