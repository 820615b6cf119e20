// Bridges, ports and static MACs by name, and their ids in the datapath. A model with dp == NULL is
// a dry one: the same checks, no datapath. config.c runs a configuration on a dry one first.
#pragma once

#include "rtvs/dp_eswitch.h"
#include "rtvs/dp_rules.h"
#include "rtvs/flow_set.h"

#include <stdbool.h>
#include <stdint.h>

struct model_mac {
	struct mac mac;
	uint16_t vlan;
	char port[RTVS_NAME_SIZE];
};

struct model_bridge {
	unsigned id;
	struct dp_bridge_cfg cfg;
	struct model_mac *macs; // static ones, in order of VLAN and address
	unsigned n_macs;
};

#define MODEL_MAX_POOLS 64
#define MODEL_POOL_DEVICES 64
#define MODEL_POOL_NAME_SIZE 64 // of a device
#define MODEL_POOL_SIZE (MODEL_POOL_DEVICES * MODEL_POOL_NAME_SIZE)

// vDPA devices, of which ports take one each.
struct model_pool {
	char name[RTVS_NAME_SIZE];
	char devices[MODEL_POOL_SIZE]; // their names, separated by commas
};

#define MODEL_MAX_ESWITCHES 64
// Each is a device of QEMU, with a connection to this daemon, from QEMU's start on, whether the
// guest enables it or not. The places for functions on one PCI bus end at 255.
#define MODEL_ESWITCH_VFS 64
#define MODEL_ESWITCH_VFS_SIZE (MODEL_ESWITCH_VFS * RTVS_NAME_SIZE)
#define MODEL_ESWITCH_MISS_MAX 100000000
#define MODEL_ESWITCH_MACS RTVS_MAX_MACS
#define MODEL_ESWITCH_MACS_SIZE (MODEL_ESWITCH_MACS * 21) // "52:54:00:00:00:00/40,"

// A NIC with virtual functions, whose guest may change some of their ports' parameters through a
// channel. What no limit here permits stays as the host made it.
struct model_eswitch {
	char name[RTVS_NAME_SIZE];
	char pf[RTVS_NAME_SIZE]; // port of the physical function
	char vfs[MODEL_ESWITCH_VFS_SIZE]; // ports, separated by commas: VF 0, 1, ...
	char uplink[RTVS_NAME_SIZE]; // port of type eswitch; empty: never in switchdev mode
	uint32_t mode; // enum model_eswitch_mode
	char control[RTVS_PATH_SIZE]; // socket of the channel
	uint32_t socket_mode;
	char socket_owner[RTVS_NAME_SIZE], socket_group[RTVS_NAME_SIZE];
	char allowed_macs[MODEL_ESWITCH_MACS_SIZE]; // ADDRESS or ADDRESS/BITS, separated by commas
	struct vlan_set vlans;
	bool has_untagged; // VLAN 0 is permitted, too
	uint64_t max_rate_bps; // of one VF
	uint64_t min_rate_bps; // guarantees of all VFs together
	bool delegates_deadline; // the guest sets those of its VFs
	uint32_t max_rules; // of the guest, up to DP_MAX_RULES
	uint32_t miss_pps; // as dp_eswitch_cfg's
	uint64_t n_sets; // no parameter: how often it was set
};

enum model_eswitch_mode {
	MODEL_ESWITCH_LEGACY, // VFs are ports of the bridge
	MODEL_ESWITCH_SWITCHDEV // as rtvs/dp_eswitch.h
};
extern const char *const model_eswitch_modes[]; // "legacy", "switchdev", NULL

struct model_port {
	unsigned id;
	struct dp_port_cfg cfg;
	struct flow_entry *rules; // of what it sends, the highest priority first
	unsigned n_rules;
};

// what: "port.add", "bridge.del", ...
typedef void model_changed_fn(void *arg, const char *what, const char *name);

// The checks of model_port_add and model_port_set before they change anything.
enum model_asks {
	MODEL_ASKS_ALL,
	// of a list of calls, whose last state alone must keep its guarantees
	MODEL_ASKS_ADMISSION_LATER,
	MODEL_ASKS_NOTHING, // of a step towards a state that was asked about as a whole
};

// Lists are in people's order of names (vm2 before vm10).
struct model {
	struct dp *dp; // NULL: dry
	model_changed_fn *changed; // NULL: no listener
	void *changed_arg;
	enum model_asks asks;
	// The daemon ends if it fails. Its ports then end with it, as at any end: devices that
	// outlive a daemon stay for the next one.
	bool is_starting;
	struct dp_system_cfg system;
	uint32_t log_level; // enum log_level
	uint64_t n_changes; // of what config_dump shows
	unsigned n_bridges, n_ports;
	struct model_bridge *bridges[DP_MAX_BRIDGES];
	struct model_port *ports[DP_MAX_PORTS];
	struct model_port *port_by_id[DP_MAX_PORTS]; // NULL: free
	struct model_bridge *bridge_by_id[DP_MAX_BRIDGES];
	unsigned n_pools;
	struct model_pool *pools[MODEL_MAX_POOLS];
	unsigned n_eswitches;
	struct model_eswitch *eswitches[MODEL_MAX_ESWITCHES];
	// The channels of their guests. open_channel: 0 or a negative errno with err. NULL: dry.
	int (*open_channel)(void *arg, const struct model_eswitch *eswitch, char err[DP_ERR_SIZE]);
	void (*close_channel)(void *arg, const char *name);
	void (*flushed)(void *arg, const char *name); // the guest's rules went with the mode
	void *channels;
	bool has_no_channels; // not yet: model_eswitch_open_channels
};

struct model *model_create(const struct dp_system_cfg *system);
struct model *model_clone(const struct model *model); // a dry one
void model_destroy(struct model *model); // NULL is accepted; leaves the datapath as it is

struct model_bridge *model_bridge_find(const struct model *model, const char *name);
struct model_port *model_port_find(const struct model *model, const char *name);
// NULL: there is none
const struct model_port *model_port_at(const struct model *model, unsigned id);
// The next port of the bridge from place *pos on, which advances. NULL: that was the last.
const struct model_port *model_port_next(const struct model *model, const char *bridge, unsigned *pos);
// Who sent the packets of a struct dp_sender: a port, or the one named "*", which stands for all
// that share a place. NULL: it is gone.
const struct model_port *model_port_sender(const struct model *model, unsigned port);
// Ports are made in order of it, and removed against it: 0, 1: needs an uplink.
#define MODEL_PORT_RANKS 2
unsigned model_port_rank(const struct dp_port_cfg *cfg);
unsigned model_bridge_n_ports(const struct model *model, const char *name);

// All return 0 or a negative errno with err: -EEXIST, -ENOENT, -EBUSY, -EINVAL (a field, named),
// -ENOSPC, -ENOMEM, or those of dp.h. On failure nothing has changed.
int model_bridge_add(struct model *model, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE]);
int model_bridge_set(struct model *model, const struct dp_bridge_cfg *cfg, char err[DP_ERR_SIZE]);
// -EBUSY: has ports
int model_bridge_del(struct model *model, const char *name, char err[DP_ERR_SIZE]);
// The refusals of model_port_add, or of set where there is a port of this name, without the
// datapath's.
int model_port_check(const struct model *model, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]);
int model_port_add(struct model *model, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]);
// Static MACs of a port that leaves its bridge go. -EBUSY: an eswitch needs it on that bridge.
int model_port_set(struct model *model, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE]);
// -EBUSY: a tunnel goes through it, or it belongs to an eswitch
int model_port_del(struct model *model, const char *name, char err[DP_ERR_SIZE]);
// Pools of vDPA devices. As bridges; -EBUSY of del: a port has a device of it. Ports keep the
// devices that a set removes.
struct model_pool *model_pool_find(const struct model *model, const char *name);
int model_pool_add(struct model *model, const struct model_pool *cfg, char err[DP_ERR_SIZE]);
int model_pool_set(struct model *model, const struct model_pool *cfg, char err[DP_ERR_SIZE]);
int model_pool_del(struct model *model, const char *name, char err[DP_ERR_SIZE]);
// The pool's device at *pos (0 at first), which advances. False: that was the last.
bool model_pool_next(const struct model_pool *pool, unsigned *pos, char ret_device[RTVS_DEVARGS_SIZE]);
// The port that has the device; NULL: it is free.
const struct model_port *model_pool_port(const struct model *model, const char *device);
bool model_pool_has(const struct model_pool *pool, const struct model_port *port); // by its vdpa
// The device that a port to be added gets for its vdpa: "" for "". -EEXIST, -ENOENT, -ENOSPC: err
// says what is free.
int model_pool_take(
	const struct model *model, const char *vdpa, char ret_device[RTVS_DEVARGS_SIZE], char err[DP_ERR_SIZE]);
// As bridges. add: -EBUSY: a port belongs to another one. set changes the limits only.
struct model_eswitch *model_eswitch_find(const struct model *model, const char *name);
int model_eswitch_add(struct model *model, const struct model_eswitch *cfg, char err[DP_ERR_SIZE]);
int model_eswitch_set(struct model *model, const struct model_eswitch *cfg, char err[DP_ERR_SIZE]);
int model_eswitch_del(struct model *model, const char *name, char err[DP_ERR_SIZE]);
// After has_no_channels. Those that cannot be opened are logged.
void model_eswitch_open_channels(struct model *model);
// The next VF's port by name, as model_pool_next.
bool model_eswitch_next(const struct model_eswitch *eswitch, unsigned *pos, char ret_port[RTVS_NAME_SIZE]);
// NULL: there is no such VF.
const struct model_port *model_eswitch_vf(const struct model *model, const struct model_eswitch *eswitch, unsigned vf);
// The one that the port belongs to, with its VF, or -1 for the PF; NULL: none.
const struct model_eswitch *model_eswitch_of(const struct model *model, const char *port, int *ret_vf);
// The next of allowed_macs and how many bits of it count. False: that was the last.
bool model_eswitch_next_mac(
	const struct model_eswitch *eswitch, unsigned *pos, struct mac *ret_mac, unsigned *ret_bits);
bool model_eswitch_permits(const struct model_eswitch *eswitch, const struct mac *mac);
struct model_mac *model_mac_find(const struct model_bridge *bridge, const struct mac *mac, uint16_t vlan);
int model_mac_add(struct model *model, const char *bridge, const struct model_mac *mac, char err[DP_ERR_SIZE]);
int model_mac_del(struct model *model, const char *bridge, const struct mac *mac, uint16_t vlan, char err[DP_ERR_SIZE]);
// Rules of what a port sends. find: by match and priority. add: or another action of the rule with
// its match and priority. set_all: in place of those that it has. -EMLINK: they match on too many
// combinations of fields.
const struct flow_entry *model_rule_find(const struct model_port *port, const struct flow_rule *match);
bool model_rule_lists_are_same(const struct model_port *a, const struct model_port *b);
int model_rule_add(struct model *model, const char *port, const struct flow_entry *rule, char err[DP_ERR_SIZE]);
int model_rule_del(struct model *model, const char *port, const struct flow_rule *match, char err[DP_ERR_SIZE]);
int model_rule_set_all(
	struct model *model, const char *port, const struct flow_entry *rules, unsigned n, char err[DP_ERR_SIZE]);
// idle, idle_ns and dscp_classes; the rest only in a dry model.
int model_system_set(struct model *model, const struct dp_system_cfg *cfg, char err[DP_ERR_SIZE]);
void model_log_set(struct model *model, uint32_t level);

// For the files of nouns. Writes err and returns rc.
int model_fail(int rc, char err[DP_ERR_SIZE], const char *fmt, ...) __attribute__((format(printf, 3, 4)));
// Counts a change of the model, and tells the listener.
void model_tell(struct model *model, const char *what, const char *name);
void model_port_free(struct model_port *port);
// A dry model numbers its objects itself. by_id must have a place that is NULL.
unsigned model_free_id(void *const *by_id);
