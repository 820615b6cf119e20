// The one facade of the datapath. libc types only: the control plane is built and tested without
// DPDK. All functions are for the one control thread, unless they say otherwise. They return 0 or a
// negative errno. err, where present, receives one line for people that names the field and the
// accepted range. Objects that workers use are swapped by pointer, and freed after every worker has
// passed a quiescent point. No call waits for a guest.
#pragma once

#include "rtvs/chain.h"
#include "rtvs/drop.h"
#include "rtvs/dscp.h"
#include "rtvs/event_list.h"
#include "rtvs/flow_delay.h"
#include "rtvs/geneve_ignore.h"
#include "rtvs/hist.h"
#include "rtvs/port_traits.h"
#include "rtvs/segment.h"
#include "rtvs/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DP_MAX_PORTS 4096
#define DP_MAX_SENDERS 1024 // ports that have a queue of their own at an egress port
#define DP_MAX_BRIDGES 64
#define DP_MAX_WORKERS RTVS_MAX_CPUS
#define DP_MAX_UPLINKS 8
#define DP_MAX_QUEUES 8 // queue pairs of a port
#define DP_MAX_STATIC_MACS 1024 // a bridge
#define DP_MTU_MIN 68
#define DP_MTU_MAX 9600
#define DP_UPLINK_MTU_MAX 2000 // a frame of an uplink is one buffer
#define DP_ERR_SIZE 512
#define DP_DETAIL_SIZE 192
#define DP_DEADLINE_MAX_NS UINT64_C(3600000000000)
#define DP_RATE_MIN UINT64_C(8000) // bit/s
#define DP_RATE_MAX UINT64_C(400000000000)
#define DP_BURST_MAX (UINT64_C(1) << 32) // bytes
#define DP_VNI_MAX 0xffffff
// Bytes of IP on the underlay, at most: IPv6, UDP, Geneve, its option, the inner Ethernet header
// with a tag.
#define DP_TUNNEL_OVERHEAD 110
#define DP_ETHER_OVERHEAD 22 // of an IP packet: the Ethernet header with two tags
#define DP_WEIGHT_MAX 256
#define DP_QUEUE_MIN 64 // packets
#define DP_QUEUE_MAX 65536

// Bytes of the largest frame of a sender with this MTU where it leaves, two tags included; at an
// uplink as a tunnel makes it.
static inline uint32_t
dp_frame_max(uint32_t mtu, bool is_uplink)
{
	return mtu + DP_ETHER_OVERHEAD + (is_uplink ? DP_TUNNEL_OVERHEAD : 0);
}

// The content of a sender's token bucket there: its burst, and that frame at least, or no packet
// would ever be guaranteed. Admission, the scheduler and the limit of raised DSCPs count in this
// way.
static inline uint64_t
dp_bucket_bytes(uint64_t burst_bytes, uint32_t mtu, bool is_uplink)
{
	uint32_t frame = dp_frame_max(mtu, is_uplink);

	return burst_bytes > frame ? burst_bytes : frame;
}

struct dp; // opaque, one per process (EAL's own limit)

enum dp_idle {
	DP_IDLE_BUSY, // never sleeps
	DP_IDLE_ADAPTIVE, // sleeps after idle_ns without work, until a kick, interrupt or wake-up
};
extern const char *const dp_idle_names[]; // "busy", "adaptive", NULL

// The priority of the workers' threads in the kernel's scheduler; each is better than the one
// before.
enum dp_priority {
	DP_PRIORITY_NORMAL, // nothing: they are as the process was started
	DP_PRIORITY_NICE, // nice -20, and the shortest time slice
	DP_PRIORITY_FIFO, // SCHED_FIFO, except for 6 % of the time, when waiting threads run
};
extern const char *const dp_priority_names[]; // "normal", "nice", "fifo", NULL

// What processes go on with by descriptor that earlier versions closed and opened again: bits.
enum dp_hands {
	DP_HANDS_TAPS = 1,
	DP_HANDS_XDP = 2,
	DP_HANDS_ALL = 3
};

// Who starts the next process when this one has died, and gives it the descriptors that this one
// stored. NULL: nobody does.
struct dp_fd_store {
	void *arg;
	// Control thread. A copy of fd; a name (31 characters at most) is stored once. False: it
	// could not be sent.
	bool (*store)(void *arg, const char *name, int fd);
	void (*forget)(void *arg, const char *name);
	// A descriptor that hangs up once all of these calls were executed, or -1.
	int (*barrier)(void *arg);
	uint32_t takes; // enum dp_hands: what it goes on with
};

struct dp_system_cfg {
	struct cpu_list workers; // one worker each; empty: the last CPU this process may use
	uint32_t idle; // enum dp_idle
	uint64_t idle_ns; // adaptive: 1 us to 1 s
	uint32_t worker_priority; // enum dp_priority; what the kernel refuses becomes the one below
	uint64_t memory_bytes; // for packet buffers and tables; 0: as much as n_mbufs needs
	uint32_t n_mbufs; // packet buffers of 2 KiB for all ports
	bool hugepages; // use them when the machine has free ones; else, or when false, plain pages
	// DSCPs of deadlines, as dscp_parse reads them; empty: none
	char dscp_classes[DSCP_TEXT_SIZE];
	uint32_t option_class; // Geneve: of our option, the same on all hosts
	char eal[RTVS_DEVARGS_SIZE]; // further EAL arguments, separated by spaces
	// File on a tmpfs that keeps the positions of guests' packed rings over a crash; empty:
	// none
	char ring_states[RTVS_PATH_SIZE];
	struct dp_fd_store fd_store; // of guests' connections; needs ring_states
	// It takes over from another process: workers are halted at first, and ports' sockets are
	// not opened yet.
	bool is_standby;
	int former_rings; // then: dp_hand_rings of that process, which is taken; 0: none
};

struct dp_system_info {
	char dpdk_version[64];
	uint64_t page_size; // of packet memory
	uint64_t memory_bytes, memory_free_bytes;
	uint32_t n_mbufs, n_mbufs_free;
	uint64_t log_errors; // lines that DPDK's libraries logged at level error or worse
	uint64_t bus_errors; // guest memory that was taken away under us
};

struct dp_bridge_cfg {
	char name[RTVS_NAME_SIZE];
	uint32_t mac_limit; // entries, static ones included, 16 to 1,048,576
	uint64_t mac_age_ns; // learned entries leave after this time without a packet; 1 s to 1 day
	uint32_t mac_moves; // of MACs between its ports a second: more are an event; 0: none are
};

enum dp_vhost_mode {
	DP_VHOST_LISTEN, // the daemon makes the socket, QEMU connects
	DP_VHOST_CONNECT, // QEMU makes the socket (server=on), the daemon connects, again and again
};
extern const char *const dp_vhost_mode_names[]; // "listen", "connect", NULL

enum dp_vlan_mode {
	DP_VLAN_ACCESS, // untagged frames only, all in VLAN `vlan`; tags are removed on egress
	DP_VLAN_TRUNK, // tagged with a VLAN of `trunk` (empty: all); untagged: `vlan`, 0: refused
};
extern const char *const dp_vlan_mode_names[]; // "access", "trunk", NULL

enum dp_clock {
	DP_CLOCK_SYSTEM, // both hosts keep theirs by NTP or PTP
	DP_CLOCK_PEER, // measured between the daemons
};
extern const char *const dp_clock_names[]; // "system", "peer", NULL

enum dp_feedback { // as core's feedback_mode
	DP_FEEDBACK_OFF,
	DP_FEEDBACK_MEASURE,
	DP_FEEDBACK_ACT,
};
extern const char *const dp_feedback_names[]; // "off", "measure", "act", NULL

enum dp_late {
	DP_LATE_SEND,
	DP_LATE_DROP
};
extern const char *const dp_late_names[]; // "send", "drop", NULL

enum dp_dscp {
	DP_DSCP_KEEP, // packets leave with the DSCP that they came with
	DP_DSCP_DEADLINE, // with that of their sender's deadline, if it has a class
};
extern const char *const dp_dscp_names[]; // "keep", "deadline", NULL

enum dp_mirror_dir {
	DP_MIRROR_RX = 1,
	DP_MIRROR_TX = 2,
	DP_MIRROR_BOTH = 3
}; // as the port sees it
extern const char *const dp_mirror_dir_names[]; // "none", "rx", "tx", "both", NULL

// Ends "FIELD: ", with the device, where a feature of the switch is asked for such a port.
#define DP_OFFLOADED                                                                                               \
	"the device %.120s moves this port's packets itself: scheduler, guard, bridge, capture and mirror do not " \
	"apply"

#define DP_DOMAIN_SIZE 256
#define DP_UUID_SIZE 37 // 8-4-4-4-12 hexadecimal digits

struct dp_port_cfg {
	char name[RTVS_NAME_SIZE];
	char bridge[RTVS_NAME_SIZE]; // empty: none
	uint32_t type; // enum dp_port_type; fixed for the port's life
	bool admin_up; // false: vhost socket closed (the guest sees no carrier), device stopped
	uint32_t mtu; // DP_MTU_MIN to DP_MTU_MAX; the largest IP packet, as Linux counts

	// vhost; fixed for the port's life.
	char socket[RTVS_PATH_SIZE];
	uint32_t vhost_mode; // enum dp_vhost_mode
	uint32_t socket_mode; // permission bits of the socket file, 0 to 0777
	char socket_owner[RTVS_NAME_SIZE], socket_group[RTVS_NAME_SIZE]; // empty: the daemon's
	// vhost: the vDPA device that moves the guest's packets, as DPDK's devargs: workers do not
	// poll the port, and what the switch does with packets is none of its parameters. Empty:
	// workers do. `vdpa` is what the operator said: a device, or "pool:NAME".
	char device[RTVS_DEVARGS_SIZE], vdpa[RTVS_DEVARGS_SIZE];
	bool packed; // offer packed rings
	// offer checksum and segmentation offload to the guest; geneve: csum: UDP checksums outside
	bool csum, tso;
	// May change: a sleeping guest is kicked ahead of a packet that waits for its egress.
	bool prewake;
	// ethdev; fixed for the port's life.
	char devargs[RTVS_DEVARGS_SIZE]; // "net_tap0,iface=t0", "0000:01:00.0", ...

	// geneve; fixed for the port's life.
	char uplink[RTVS_NAME_SIZE];
	struct prefix remote; // address of the other end
	uint32_t vni; // 0 to DP_VNI_MAX; one tunnel each for an uplink, remote and VNI
	// The next two may change.
	char key_file[RTVS_PATH_SIZE]; // keys shared with that daemon; empty: no exchange
	uint32_t clock; // enum dp_clock: what relates its times to ours
	bool timestamps; // packets say when they left and what deadline they have
	// critical options accepted unread, see geneve_ignore_parse; may change
	char ignore_options[GENEVE_IGNORE_TEXT];

	// segment; fixed for the port's life.
	char path[RTVS_PATH_SIZE]; // of the file, absolute; the file may appear and disappear

	uint32_t n_queues; // queue pairs at most, 1 to DP_MAX_QUEUES; fixed for the port's life

	uint32_t vlan_mode; // enum dp_vlan_mode
	uint32_t vlan; // 0 to RTVS_VLAN_MAX; 0: the untagged VLAN of the bridge
	struct vlan_set trunk;

	// Not geneve: the daemon's address on the underlay behind this port, with the length of its
	// network's prefix, and the router to other networks; len 0: none. Such a port belongs to
	// no bridge; `vlan` is the tag of the underlay. Fixed while the port has tunnels.
	struct prefix address, gateway;
	// geneve: between STAMP test packets of idle flows, 0: none, 100 ms to 1 h
	uint64_t probe_ns;
	bool stamp; // answers STAMP test packets to its address (RFC 8762)

	struct mac_list allowed_macs; // not empty: spoof guard on source MACs, ARP and ND
	struct prefix_list allowed_ips; // not empty: spoof guard on source IPs, ARP and ND
	// The owner of the interface, for people and programs; the datapath makes no difference.
	char domain[DP_DOMAIN_SIZE]; // name of the virtual machine; empty: not known
	char domain_uuid[DP_UUID_SIZE]; // empty: none; who gave it takes care of the port

	bool isolated;
	// exchanges frames to 01:80:c2:00:00:0x with other ports that do, but for PAUSE
	bool forwards_reserved;
	uint32_t mac_limit; // learned MACs, 0: no limit of its own
	// broadcast, multicast and unknown unicast it may send a second, 0: no limit
	uint32_t flood_pps;
	// A port that only receives mirrored packets, or does not exist yet; empty: none.
	char mirror_to[RTVS_NAME_SIZE];
	uint32_t mirror; // enum dp_mirror_dir, 0: off

	// Packets that the port sends, at each egress port that has a rate, or shares a bridge with
	// ports that have a guarantee. See rtvs/sched.h.
	uint64_t deadline_ns; // from arrival to departure, 0: none; up to DP_DEADLINE_MAX_NS
	uint64_t min_rate_bps; // guaranteed, bit/s, 8,000 to 4e11, 0: nothing
	// Bytes that may come at once; at least a frame of the port's MTU, up to 4 GiB.
	uint64_t burst_bytes;
	uint64_t max_rate_bps; // taken from it, bit/s; 0: no limit
	uint32_t weight; // of what is left, 1 to 256
	uint32_t late; // enum dp_late: packets whose deadline has passed
	// Enum dp_feedback: the reaction to reports of other hosts that the port's packets are
	// late.
	uint32_t feedback;
	bool force; // keep it without admission; the datapath makes no difference
	uint32_t queue; // packets of it that wait at one egress port at most, 64 to 65,536
	// Packets to the port.
	uint64_t link_rate_bps; // egress rate, bit/s; 0: as much as it takes
	uint32_t dscp; // enum dp_dscp; not of what it is given as a mirror
};

// Delays and losses of one port's packets at an egress port.
struct dp_sender {
	unsigned port; // id of the port that sent them; DP_MAX_PORTS: all beyond DP_MAX_SENDERS
	uint32_t n_queued;
	uint64_t tokens_bytes;
	uint64_t guaranteed_pkts, guaranteed_bytes, surplus_pkts, surplus_bytes;
	uint64_t missed_pkts; // left, or were dropped, after arrival + deadline
	uint64_t broken_pkts; // guaranteed ones that left, or were dropped, after theirs
	uint64_t late_pkts; // dropped because their deadline had passed
	uint64_t worst_late_ns;
	struct hist delay; // ns from arrival to departure; empty without a deadline
};

#define DP_MAX_DEVICE_STATS 256

// A number that a port's vDPA device counts for one ring.
struct dp_device_stat {
	char name[64]; // the driver's own
	unsigned queue;
	uint64_t value;
};

// A node's view of its segment.
struct dp_segment_state {
	int32_t node; // its own number; -1: it has not joined, and the rest is 0
	uint32_t n_nodes; // that live, itself among them
	// Held: by itself, including frames that wait for others.
	uint32_t n_slots, n_slots_free, n_slots_held;
	uint32_t inbox_depth, inbox_size; // frames that wait for it; and may
	struct segment_counters counters; // from its joining
};

struct dp_port_state {
	bool is_link_up; // a guest's driver (or a cable) is there; segment: as is_connected
	// vhost: a front-end holds the socket, its driver may not be ready yet; segment: the port
	// has joined.
	bool is_connected;
	bool is_packed; // vhost: ring layout negotiated
	uint32_t n_queues; // queue pairs in use
	uint64_t features; // vhost: negotiated virtio feature bits
	uint32_t mtu;
	uint64_t speed_bps; // ethdev: 0 when unknown
	struct mac mac; // ethdev: its own address
	uint16_t worker; // index of the worker that owns its egress
	// Front-ends that connected and disconnected; segment: times that the port joined and left.
	uint64_t n_connects, n_disconnects;
	// vhost with prewake: from a kick until the guest has consumed, the median; 0: not known
	// yet
	uint64_t wake_ns;
	int32_t pid; // vhost: of the process that holds the socket, 0: none or not known
	// vhost: rings whose position was recovered after a crash of the daemon.
	uint64_t n_rings_recovered;
	// Why the link is down, what the port waits for: "connecting: No such file or directory".
	char detail[DP_DETAIL_SIZE];
	struct dp_segment_state segment;
};

struct dp_port_stats {
	uint64_t rx_pkts, rx_bytes; // taken from the port
	uint64_t tx_pkts, tx_bytes; // given to the port
	uint64_t replicated; // further copies of its packets (floods, mirrors, segments)
	uint64_t to_daemon; // packets for the daemon itself: ARP, neighbour discovery, ping, peers
	// On their way to the port. Workers are read one after another, so the number may be below
	// 0 for a moment.
	int64_t queued;
	uint64_t prewakes; // kicks ahead of packets
	uint64_t guest_errors; // vhost: descriptors that lie, frames refused by the ring
	// How long its rings were not read because its queue at some egress port was full:
	// dp_port_held_ns.
	uint64_t blocked_ns;
	uint64_t drops[DROP_COUNT];
};

struct dp_worker_stats {
	uint16_t cpu; // that it was started on
	int32_t tid; // of its thread, for sched_getaffinity: others may move it; 0: not yet there
	enum dp_priority priority; // that it got
	uint64_t turns, turns_with_work, sleeps; // of its loop
	uint64_t cycles_busy, cycles_total; // TSC; busy: turns with work
	uint64_t tsc_hz;
	uint64_t pkts; // received
	uint64_t events_lost; // event ring was full
	uint64_t most_updated; // senders and ports brought up to a change of ports in one turn
	// ns above 10 us that its work does not explain: another thread had the core.
	struct hist stalls;
};

#define DP_STALLS_KEPT 1024 // of a worker

struct dp_stall {
	uint64_t number; // of the worker, from 0
	uint64_t ago_ns; // since its end
	uint64_t took_ns; // 50 us or more
};

struct dp_mac {
	struct mac mac;
	uint16_t vlan;
	unsigned port; // id
	bool is_static;
	uint64_t age_ns; // since its last packet; resolution 1 s
};

enum dp_event_type {
#define X(id, name, when) DP_EVENT_##id,
	EVENT_LIST(X)
#undef X
};
#define DP_CAUSE_SIZE 96

struct dp_event {
	enum dp_event_type type;
	unsigned port; // id; DP_MAX_PORTS: none
	unsigned bridge; // id, of DP_EVENT_MAC_MOVES
	unsigned worker;
	bool is_up;
	// Of HOLD the id of the port that holds back, of PATH_MTU bytes, of REFUSED a process, of
	// STALL ns, of others a limit or a count.
	uint64_t value;
	int32_t holder_pid; // process that has the port
	char cause[DP_CAUSE_SIZE]; // of a guest error, "": it is not known
	uint64_t time_ns; // CLOCK_REALTIME
};

// Starts EAL and one worker per CPU. Errors: -EINVAL (cfg or EAL refused), -ENOMEM, -EBUSY (second
// call).
int dp_init(const struct dp_system_cfg *cfg, struct dp **ret_dp, char err[DP_ERR_SIZE]);
// Before ports are added: a descriptor that a former process stored, which is the datapath's from
// here on.
void dp_give_fd(struct dp *dp, const char *name, int fd);
// Stops the workers, removes what is left, ends EAL. NULL is accepted.
void dp_fini(struct dp *dp);
// Does a process that takes over, and goes on with `takes` (enum dp_hands), go on with the port
// while this one runs? It opens others when this one has closed them, as TAPs and AF_XDP with
// arguments that only DPDK's driver knows.
bool dp_port_is_handed(const struct dp_port_cfg *cfg, uint32_t takes);

// Workers end their turn and make no other until dp_resume: ports keep what comes for them. Ports
// may be changed meanwhile. resume: 0 or a negative errno, and some workers may run.
void dp_halt(struct dp *dp);
int dp_resume(struct dp *dp);

// What dp_state_load found, and did not use.
struct dp_state_loaded {
	uint32_t n_records;
	uint32_t n_unknown; // of a type or version that is not known here
	uint32_t n_refused; // with content that cannot be, or of a port or bridge that is not here
	bool is_cut; // the state ends before its end
	uint32_t n_macs, n_macs_refused;
	uint32_t n_senders; // of scheduled ports
	uint32_t n_flows; // measured arrivals through tunnels
	uint32_t n_pkts; // that wait
	uint64_t n_pkts_lost; // that waited: drops of reason not_taken_over
};

// The state of a halted datapath for another one of the same host, which has the same bridges and
// ports by name, is halted, too, and loads it once. save: appends to *buf, which it grows
// (realloc), so the state begins where *len was; the datapath stays as it is. 0; -ENOMEM: *buf and
// *len are as they were, though *buf may have moved. load: each record is checked, and one that
// cannot be used is counted and skipped. 0; -ENOMEM; -EPROTO: not a state of a format that is known
// here. With an error nothing was loaded.
int dp_state_save(struct dp *dp, uint8_t **buf, size_t *len);
int dp_state_load(struct dp *dp, const uint8_t *buf, size_t len, struct dp_state_loaded *ret);
// Ids of ports, which other hosts know as numbers of flows. want: a port of this name, which is not
// there yet, gets this id, and no other port does while others are free. -EINVAL: no name, or id
// out of range; -EEXIST: the name or id is wanted already, or is in use; -ENOMEM. It ends when the
// port is added, or with dp_state_end. save: appends, as dp_state_save. load: wants the ids of
// all ports of a saved state, also of dp_state_save's; *ret_n: how many it could. -EPROTO, -ENOMEM.
int dp_ids_want(struct dp *dp, const char *name, unsigned id);
int dp_ids_save(struct dp *dp, uint8_t **buf, size_t *len);
int dp_ids_load(struct dp *dp, const uint8_t *buf, size_t len, unsigned *ret_n);
// No port of the state is added any more. Until then one whose id is wanted gets its counters.
void dp_state_end(struct dp *dp);
// The hand-over of guests' sockets and connections, of TAPs and of AF_XDP sockets to a process that
// has made the same ports (dp_system_cfg.is_standby). What is sent goes there through dp_give_fd.
// `store` must not wait, since front-ends would.
// prepare: workers run, and front-ends are served; what changes afterwards is sent again. stop: no
// front-end is served, until dp_hand_resume or the end of the process; dp_halt comes next. The end
// without dp_fini: connections and sockets are the other process's. resume: workers, too.
// Errors, after 0.3 s of attempts: -EBUSY: a port that err names cannot be handed over now; -EIO:
// `store` refused.
// rings: a descriptor for dp_system_cfg.former_rings, which stays the datapath's.
int dp_hand_rings(const struct dp *dp);
int dp_hand_prepare(struct dp *dp, const struct dp_fd_store *to, char err[DP_ERR_SIZE]);
int dp_hand_stop(struct dp *dp, const struct dp_fd_store *to, char err[DP_ERR_SIZE]);
int dp_hand_resume(struct dp *dp);
// Stopped, and the other process has taken over: closes what was not handed over.
void dp_hand_release(struct dp *dp);
// The other process, when it was sent what prepare sends: does all that can fail, without touching
// anything of the former one. -ENOMEM, -EPROTO (a port's descriptors did not come) with err.
int dp_warm(struct dp *dp, char err[DP_ERR_SIZE]);
// The other process: opens the sockets of ports, goes on with their connections, and starts the
// workers. A port that fails is logged, and stays down. raise: after it, the workers' priority, for
// which each of them must have begun: up to 10 s. -ETIMEDOUT
int dp_take_over(struct dp *dp);
int dp_raise(struct dp *dp);
// Of a running datapath: changes idle, idle_ns and dscp_classes, and ignores the rest. -EINVAL,
// -ENOMEM: nothing changed.
int dp_system_set(struct dp *dp, const struct dp_system_cfg *cfg, char err[DP_ERR_SIZE]);
void dp_system_info(const struct dp *dp, struct dp_system_info *ret_info);

// Once a second: ageing, link states, retries of connections that gave no event.
void dp_housekeeping(struct dp *dp);
// Readable when dp_event_next has something or a connector of the datapath needs a turn; then call
// dp_event_next until it returns false.
int dp_event_fd(const struct dp *dp);
bool dp_event_next(struct dp *dp, struct dp_event *ret_event);

// Bridges. id: 0 to DP_MAX_BRIDGES - 1, free to be reused after del.
int dp_bridge_add(struct dp *dp, const struct dp_bridge_cfg *cfg, unsigned *ret_id, char err[DP_ERR_SIZE]);
int dp_bridge_set(struct dp *dp, unsigned id, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE]);
int dp_bridge_del(struct dp *dp, unsigned id); // -EBUSY while ports use it
uint32_t dp_bridge_n_macs(const struct dp *dp, unsigned id);
uint64_t dp_bridge_n_moves(const struct dp *dp, unsigned id); // of MACs between its ports, ever

// MAC tables. list: entries from position *pos on, at most max; *pos advances, the end is reached
// when it returns less than max.
int dp_mac_add(struct dp *dp, unsigned bridge, const struct mac *mac, uint16_t vlan, unsigned port,
	char err[DP_ERR_SIZE]); // static; -ENOSPC
int dp_mac_del(struct dp *dp, unsigned bridge, const struct mac *mac, uint16_t vlan); // -ENOENT
unsigned dp_mac_flush(struct dp *dp, unsigned bridge); // learned ones; how many went
unsigned dp_mac_list(const struct dp *dp, unsigned bridge, uint32_t *pos, struct dp_mac *ret_macs, unsigned max);

// Ports. id: 0 to DP_MAX_PORTS - 1, free for reuse after del. set: takes the whole configuration;
// the caller keeps values that are fixed for the port's life. The bridge must exist: -ENOENT. A
// mirror waits for its port. check_qos checks deadline, rates and burst without a datapath: 0 or
// -EINVAL; add and set call it, too.
int dp_port_check_qos(const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]);
int dp_port_add(struct dp *dp, const struct dp_port_cfg *cfg, unsigned *ret_id, char err[DP_ERR_SIZE]);
int dp_port_set(struct dp *dp, unsigned id, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]);
// del: when it returns, nothing is taken from the port and nothing new is sent to it. Its device is
// closed, unless packets wait for it. Those leave for up to 100 ms, while dp_event_fd asks for
// turns; then the device is closed, and DP_EVENT_DRAINED is posted. No call waits for a device.
// Until then the id is not used again; dp_port_add of the same name or device closes it at once.
// -ENOENT; -ENOMEM: the port stays.
int dp_port_del(struct dp *dp, unsigned id);
// Checks a segment's file before a port waits for it: 0 also when there is no file yet. Returns the
// errors of segment_file_open.
int dp_port_check_segment(const char *path, char err[DP_ERR_SIZE]);
// A guest moves to another process: within for_ns one may connect to the port though another has
// it. Packets for the guest wait while it runs in none of both. -ENOENT, -EOPNOTSUPP: not a port
// whose socket listens, -ENOMEM.
int dp_port_move(struct dp *dp, unsigned id, uint64_t for_ns);
int dp_port_state(const struct dp *dp, unsigned id, struct dp_port_state *ret_state); // -ENOENT
// How many, at most max; 0: no vDPA device moves the port's packets, or it does not count.
unsigned dp_port_device_stats(const struct dp *dp, unsigned id, struct dp_device_stat *ret_stats, unsigned max);
// Monotonic since port add, as of the last dp_stats_refresh, at which each worker copied its
// counters between two turns. Over all ports and removed ones, rx + replicated == tx + queued +
// to_daemon + sum(drops), exactly, under any load. stats_gone: the sum over removed ports, with
// those that packets still wait for.
// Halted workers' counters are copied at once.
// -ETIMEDOUT: a worker did not finish its turn within 100 ms.
int dp_stats_refresh(struct dp *dp);
int dp_port_stats(const struct dp *dp, unsigned id, struct dp_port_stats *ret_stats); // -ENOENT
void dp_stats_gone(const struct dp *dp, struct dp_port_stats *ret_stats);
// Flows of an egress port, from position *pos on, at most max. Less than max returned flows mean
// the end. Counters are read while the worker writes them: each is right, they may be a moment
// apart. A flow is there from its first packet on.
unsigned dp_sender_list(const struct dp *dp, unsigned id, uint32_t *pos, struct dp_sender *ret_flows, unsigned max);
// How long port `by`, where its queue was full, held the port back. See rtvs/hold.h. 0: never, or
// no such ports.
uint64_t dp_port_held_ns(const struct dp *dp, unsigned id, unsigned by);
// Learned MACs of the port in its bridge.
uint32_t dp_port_n_macs(const struct dp *dp, unsigned id);

// Arrivals of one flow through a tunnel: packets of one port of the other host.
#define DP_MAX_DELAYS 1024 // flows of all tunnels; more are not measured

struct dp_delay {
	uint16_t flow; // number of the port there
	struct flow_delay_stats stats;
	struct hist delay, network; // ns; end to end, and less what passed at the sender
};

struct dp_report {
	unsigned tunnel; // id of the port
	uint16_t flow;
	uint64_t serial; // of the port, among all of this process
	struct flow_delay_report report;
};

// Measured flows of a tunnel from *pos on (0 at first), at most max. Fewer than max: that was all.
unsigned dp_delay_list(const struct dp *dp, unsigned tunnel, uint32_t *pos, struct dp_delay *ret_delays, unsigned max);
// Reports for senders, one by one; false: nothing more for now. As dp_datagram_next.
bool dp_report_next(struct dp *dp, struct dp_report *ret_report);
// Feedback's result for a port's packets: their scheduling deadline, up to DP_DEADLINE_MAX_NS, 0:
// as configured, and their DSCP at ports that write it, DSCP_KEEP: as configured. Beyond the port's
// min_rate they have the DSCP `excess` (RFC 3246: expedited forwarding is for packets within a
// rate). The same DSCP twice: at any rate. All packets switched after the call have it. -ENOENT,
// -EINVAL
int dp_port_set_answer(struct dp *dp, unsigned id, uint64_t deadline_ns, uint8_t dscp, uint8_t excess);
// Number of the last packet of a port that left through a tunnel, plus those that wait: later ones
// know of a change made now.
uint64_t dp_flow_seq(const struct dp *dp, unsigned tunnel, unsigned port);
// How far the clock of the other host is from ours, and how well that is known; UINT64_MAX: not at
// all, nothing is judged.
void dp_tunnel_set_clock(struct dp *dp, unsigned tunnel, int64_t offset_ns, uint64_t uncertainty_ns);
// Between reports of one flow. FLOW_DELAY_INTERVAL_NS until it is set.
void dp_tunnel_set_interval(struct dp *dp, unsigned tunnel, uint64_t interval_ns);

// Datagrams of the daemon's own, through uplinks.
#define DP_DATAGRAM_MAX 1400 // bytes

struct dp_datagram {
	unsigned uplink; // id of the port
	struct prefix from, to; // addresses of the other host: from: received; to: sent
	// Received: the MAC that sent it to us. Sent: the next hop; all 0: the known one for `to`.
	struct mac via;
	uint16_t from_port, to_port; // UDP
	uint8_t hop_limit; // 1 to 255
	uint64_t time_ns; // received: TAI, when a worker read it
	uint16_t len;
	uint8_t data[DP_DATAGRAM_MAX];
};

// Received datagrams, one by one; false: nothing more for now. To be called until false whenever
// dp_event_fd is readable.
bool dp_datagram_next(struct dp *dp, struct dp_datagram *ret_datagram);
// -EHOSTUNREACH: the next hop is not known (yet). -EINVAL: no uplink, other family. -ENOBUFS: its
// ring is full.
int dp_datagram_send(struct dp *dp, const struct dp_datagram *datagram, uint8_t tos);
uint64_t dp_tai_ns(const struct dp *dp); // TAI, as packets are stamped with it
// Reads the system's clock, which drifts away from the workers' (or is set): by 2 us in 20 ms at
// 100 ppm.
void dp_clock_follow(struct dp *dp);

unsigned dp_n_workers(const struct dp *dp);
// -ENOENT
int dp_worker_stats(const struct dp *dp, unsigned worker, struct dp_worker_stats *ret_stats);
// The last stalls, oldest first; how many. No such worker: 0.
unsigned dp_worker_stalls(const struct dp *dp, unsigned worker, struct dp_stall ret_stalls[DP_STALLS_KEPT]);

// Follows packets to a guest, one at a time, `rate` a second at most (see rtvs/chain.h). Another
// start changes the rate. next: the records since the last call, times of CLOCK_MONOTONIC; lost:
// records that were not fetched in time. Errors: -ENOENT, -EINVAL (a port that is no guest's),
// -ENOMEM.
int dp_trace_start(struct dp *dp, unsigned port, uint32_t rate, char err[DP_ERR_SIZE]);
void dp_trace_stop(struct dp *dp, unsigned port);
bool dp_trace_is_on(const struct dp *dp, unsigned port);
bool dp_trace_next(struct dp *dp, unsigned port, struct chain_record *ret_record);
uint64_t dp_trace_lost(const struct dp *dp, unsigned port);

// Packet capture of one port, one at a time per port. filter: a libpcap expression, empty: all. The
// workers copy the first snaplen bytes (0: all, 65535 at most) of matching packets, and ctl fetches
// them with next. Packets that find no room are counted; traffic is never delayed. Errors: -EINVAL
// (filter), -EBUSY.
struct dp_capture_pkt {
	uint64_t time_ns; // CLOCK_REALTIME, of the burst it came with
	bool is_tx; // given to the port, else taken from it
	uint32_t len, caplen; // on the wire; captured
	const uint8_t *data; // valid until the next call
};
int dp_capture_start(struct dp *dp, unsigned port, const char *filter, uint32_t snaplen, char err[DP_ERR_SIZE]);
bool dp_capture_next(struct dp *dp, unsigned port, struct dp_capture_pkt *ret_pkt);
void dp_capture_stop(struct dp *dp, unsigned port, uint64_t *ret_lost);
