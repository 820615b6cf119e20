#!/usr/bin/env bash
# The real Prometheus with the installed scrape configuration, alert rules and dashboard, and two
# daemons with traffic, a tunnel and late packets.
. "$(dirname "$0")/lib.sh"

# Only the page is the daemon's own code here, and the other metrics' tests read it with a
# sanitizer.
sanitizer=$(meson introspect --buildoptions "$build" | json "next(o['value'] for o in d if o['name'] == 'b_sanitize')")
[ "$sanitizer" = none ] || exit 0
command -v prometheus >/dev/null || { echo "no prometheus"; exit 77; }

url=http://127.0.0.1:9090
conf=$top/conf
prom() { python3 "$top/test/smoke/prometheus.py" "$@"; }
is_value() { # EXPR PYTHON: is it true of a sample? v is its value.
	prom query "$url" "$1" | awk '{print $NF}' | python3 -c 'import sys
sys.exit(not any(eval(sys.argv[1]) for v in map(float, sys.stdin)))' "$2"
}

(umask 077 && printf '1 %s\n' "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$work/keys")
netns_add lan
ip -n lan link add lan type bridge
ip -n lan link set lan up mtu 1700
start_host() { # DAEMON NUMBER OTHER [OPTION...]
	local daemon=$1 n=$2 other=$3
	shift 3
	daemon_start "$daemon" "$@"
	ctl bridge add br0
	ctl port add "up$n" type=ethdev "devargs=net_tap14,iface=up$n" mtu=1700 "address=192.0.2.$n/24"
	netns_give lan "up$n"
	ip -n lan link set "up$n" address "02:00:00:09:00:0$n" # the daemon has the one that it was made with
	ip -n lan link set "up$n" master lan mtu 1700
	ctl port add tun type=geneve "uplink=up$n" "remote=192.0.2.$other" vni=1 bridge=br0 "key_file=$work/keys" clock=peer
}
start_host rtvsd 1 2 --metrics 127.0.0.1:9475
start_host two 2 1
tap_port t1 10.0.0.1/24 bridge=br0 deadline=2ms min_rate=1Mbit burst=15kB
tap_port t2 10.0.0.2/24 bridge=br0 allowed_macs=02:00:00:00:00:22
n_taps=8
daemon=two tap_port t4 10.0.0.4/24 bridge=br0 deadline=1s

# As an administrator's own file would be, in a hurry. Paths are those of the repository.
cat >"$work/prometheus.yml" <<END
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_config_files: [$conf/prometheus-scrape.yml]
rule_files: [$conf/prometheus-alerts.yml]
END
start prometheus prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address=127.0.0.1:9090
wait_until 30 promtool check ready --url="$url"

fetch() { curl -s -m 5 http://127.0.0.1:9475/metrics; }
files_are_right() {
	promtool check config "$work/prometheus.yml"
	promtool check rules "$conf/prometheus-alerts.yml"
	cp "$conf/prometheus-alerts.yml" "$top/test/smoke/prometheus-alerts-test.yml" "$work/"
	promtool test rules "$work/prometheus-alerts-test.yml"
	prom untested "$conf/prometheus-alerts.yml" "$top/test/smoke/prometheus-alerts-test.yml"
}
wrong_files_would_be_seen() {
	mkdir "$work/wrong"
	cp "$top/test/smoke/prometheus-alerts-test.yml" "$work/wrong/"
	sed 's/ > 0\.01$/ > 0.1/' "$conf/prometheus-alerts.yml" >"$work/wrong/prometheus-alerts.yml"
	expect_fails 'RtvswitchRemoteDeadlineMissed' promtool test rules "$work/wrong/prometheus-alerts-test.yml"
	sed 's/rate(rtvs_flow_broken/rate((rtvs_flow_broken/' "$conf/prometheus-alerts.yml" >"$work/wrong/prometheus-alerts.yml"
	expect_fails 'parse error' promtool check rules "$work/wrong/prometheus-alerts.yml"
	printf '      - alert: New\n' | cat "$conf/prometheus-alerts.yml" - >"$work/wrong/prometheus-alerts.yml"
	expect_fails '^New$' prom untested "$work/wrong/prometheus-alerts.yml" "$top/test/smoke/prometheus-alerts-test.yml"
}
metrics_are_well_formed() {
	fetch | prom classic >"$work/page.txt"
	promtool check metrics <"$work/page.txt"
	sed 's/^\(# HELP rtvs_port_rx_packets_total\).*/\1/' "$work/page.txt" >"$work/wrong.txt"
	with_wrong_page() { promtool check metrics <"$work/wrong.txt"; }
	expect_fails 'rtvs_port_rx_packets_total no help text' with_wrong_page
}
traffic_is_seen() {
	wait_for 10 can_ping t1 10.0.0.4
	wait_for 10 is_value 'up{job="rtvswitch"}' 'v == 1'
	wait_for 10 is_value 'rtvs_port_rx_packets_total{port="t1"}' 'v >= 1' # one more sample is needed for an increase
	ns t1 ping -q -c 100 -i 0.01 -W 1 10.0.0.4
	wait_for 10 is_value 'increase(rtvs_port_rx_packets_total{port="t1",bridge="br0"}[1m])' '100 <= v < 400'
	wait_for 10 is_value 'rtvs_port_link_up{port="t1"}' 'v == 1'
	wait_for 10 is_value 'sum(rate(rtvs_worker_packets_total[1m]))' 'v > 0'
	wait_for 10 is_value 'rtvs_bridge_macs{bridge="br0"}' 'v >= 2'
	wait_for 20 is_value 'rtvs_peer_known{address="192.0.2.2"}' 'v == 1'
	prom query "$url" 'rtvs_port_rx_packets_total{port="nobody"}' && fail "of a port that is not there"
	wait_for 10 is_value 'rtvs_port_rx_packets_total{port="t1"}' "v == $(port_stat t1 rx_pkts)"
}
# Packets of 1,342 bytes wait 11 ms each for their link, and are late. The other host reports that,
# until no step is left here.
congest() {
	ctl port set t1 force=true
	ctl port set up1 rate=1Mbit
}
send_late() { ns t1 ping -q -c 20 -i 0.002 -s 1300 -W 1 10.0.0.4 || :; }
alerts_fire() {
	prom query "$url" 'ALERTS{alertname="RtvswitchSpoofing"}' && fail "before anybody forged"
	expect "alerts" "$(grep -c 'alert:' "$conf/prometheus-alerts.yml")" "$(curl -s "$url/api/v1/rules" | json "sum(len(g['rules']) for g in d['data']['groups'])")"
	ns t2 ping -q -b -c 300 -i 0.005 -W 1 10.0.0.255 || :
	wait_for 20 prom alert "$url" RtvswitchSpoofing firing
	wait_for 5 is_value 'ALERTS{alertname="RtvswitchSpoofing",port="t2"}' 'v == 1'
	is_value 'ALERTS{alertname="RtvswitchSpoofing",port="t1"}' 'v == 1' && fail "the port that did not"
	congest
	late() {
		send_late
		prom alert "$url" RtvswitchFeedbackEscalated pending
	}
	wait_for 40 late
}
dashboard_has_data() {
	congest
	has_data() {
		send_late
		ns t2 ping -q -b -c 10 -i 0.005 -W 1 10.0.0.255 || :
		prom dashboard "$url" "$conf/grafana-dashboard.json"
	}
	wait_until 40 has_data || { prom dashboard "$url" "$conf/grafana-dashboard.json"; fail "expressions without data"; }
	sed 's/rtvs_bridge_macs/rtvs_bridge_marks/' "$conf/grafana-dashboard.json" >"$work/wrong.json"
	expect_fails 'rtvs_bridge_marks' prom dashboard "$url" "$work/wrong.json"
	sed 's/rate(rtvs_port_blocked/rate((rtvs_port_blocked/' "$conf/grafana-dashboard.json" >"$work/wrong.json"
	expect_fails 'parse error' prom dashboard "$url" "$work/wrong.json"
}
stopped_daemon_is_seen() {
	prom alert "$url" RtvswitchDown pending && fail "it runs"
	stop rtvsd
	wait_for 20 is_value 'up{job="rtvswitch"}' 'v == 0'
	wait_for 20 prom alert "$url" RtvswitchDown pending
}

run_case "scrape configuration, alert rules and their tests" files_are_right
run_case "a wrong rule, or one without a test, would be seen" wrong_files_would_be_seen
run_case "the page passes promtool's linter" metrics_are_well_formed
run_case "series of ports, workers, peers after traffic" traffic_is_seen
run_case "alerts fire when the daemon is in that state" alerts_fire
run_case "every expression of the dashboard gives data" dashboard_has_data
run_case "a stopped daemon is an alert" stopped_daemon_is_seen
