// Rules that match on fields of a packet, each under a mask, with priorities. A tuple-space search
// (Srinivasan, Suri, Varghese, SIGCOMM 1999): rules with the same mask are in one hash table, and
// masks are searched in the order of their highest priority, until none that is left can win.
//
// A table never changes once it is made: flow_table_apply makes the next one of it, which shares
// all masks without a change. One thread (control) makes and frees tables; any number of others
// search one that it has not freed.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLOW_KEY_WORDS 8
#define FLOW_TABLE_MASKS_MAX 32
#define FLOW_TABLE_RULES_MAX 65536
#define FLOW_TABLE_NONE UINT32_MAX // no rule

// One cache line. Numbers are as on the wire, except `in`; what a packet does not have is 0.
struct flow_key {
	union {
		uint64_t word[FLOW_KEY_WORDS];
		struct {
			uint16_t in; // the port, as the caller numbers them
			uint16_t vlan; // 802.1Q's TCI with bit 12 set; 0: untagged
			uint16_t ether_type; // behind that tag
			uint16_t tcp_flags; // bytes 12 and 13 of the header, without its length
			uint8_t eth_dst[6];
			uint16_t l4_src; // or ICMP's type
			uint8_t eth_src[6];
			uint16_t l4_dst; // or ICMP's code
			uint8_t ip_src[16], ip_dst[16]; // of IPv4 and ARP four bytes
			uint8_t ip_proto; // or ARP's operation
			uint8_t ip_tos, ip_ttl;
			uint8_t ip_frag; // enum flow_frag
			uint32_t unused; // 0
		};
	};
};

enum flow_frag { // bits
	FLOW_FRAG_ANY = 1, // it is a fragment
	FLOW_FRAG_LATER = 2 // and not the first one, which has the L4 header
};

struct flow_rule {
	struct flow_key key, mask; // no bit of the key is outside the mask
	uint32_t priority; // of two that match the higher one wins; of equal ones the lower slot
	uint32_t slot; // the caller's name for it, not FLOW_TABLE_NONE
};

struct flow_change {
	struct flow_rule rule; // to take one out, its slot does not count
	bool is_add;
	// 0. Added: -EINVAL, key and mask or the slot; -EEXIST, there is one with this key, mask
	// and priority; -ENOSPC, as many rules as the table may have; -EMLINK, as many masks.
	// Taken out: -ENOENT.
	int ret;
};

// Where tables have their memory from, which bounds them.
struct flow_memory {
	void *(*take)(void *arg, size_t size); // NULL: there is none
	void (*give)(void *arg, void *at, size_t size); // back; NULL is accepted
	void *arg;
};

struct flow_table;

// An empty one. seed: any, unknown to who may choose packets. 1 to FLOW_TABLE_RULES_MAX rules, 1 to
// FLOW_TABLE_MASKS_MAX masks. -EINVAL, -ENOMEM.
int flow_table_create(const struct flow_memory *memory, uint32_t max_rules, uint32_t max_masks, uint64_t seed,
	struct flow_table **ret_table);
// The changes one after the other; those that are refused change nothing. `from` stays as it is.
// -ENOMEM: there is no new table.
int flow_table_apply(
	const struct flow_table *from, struct flow_change *changes, size_t n, struct flow_table **ret_table);
void flow_table_free(struct flow_table *table); // NULL is accepted

uint32_t flow_table_n_rules(const struct flow_table *table);
uint32_t flow_table_n_masks(const struct flow_table *table);
// All rules, in no order.
void flow_table_each(const struct flow_table *table, void (*fn_cb)(void *arg, const struct flow_rule *rule), void *arg);

// The slot of the rule that wins, or FLOW_TABLE_NONE. Any thread. Takes some ns for each mask.
uint32_t flow_table_find(const struct flow_table *table, const struct flow_key *key);
