// The switch as a node of two segments, and a vhost guest on the same bridge, for the tests of the
// segment's port. The segments' other nodes are the test's own, of the same process: locks and
// numbers do not know the difference.
#pragma once

#include "dp_fixture.h"
#include "rtvs/segment_file.h"

#include <signal.h>
#include <string.h>

#define N_NODES 4
#define N_SLOTS 512
#define SLOT_BYTES 2048
#define INBOX 64
#define ALONE (SLOT_BYTES / 2 + 1) // bytes of a frame that shares no slot
#define MTU 9000
#define GUEST 0 // on vhost
#define PORT 1 // of the segment A
#define OTHER_PORT 2 // of the segment B

struct node {
	struct segment_file *file;
	struct segment *seg;
	uint8_t mac;
};

extern char path_a[64], path_b[64];
// as the datapath handles them; cmocka has its own handler for each case
extern struct sigaction bus_errors;
// of segments that are created; remove_segments makes it what it was
extern struct segment_geometry geometry;
extern const uint8_t broadcast[6];

#define WAIT_FOR(condition)                                                 \
	do {                                                                \
		uint64_t wait_end = wait_limit();                           \
		while (!(condition)) {                                      \
			housekeep();                                        \
			if (rte_rdtsc() > wait_end) {                       \
				refresh_stats();                            \
				print_drops();                              \
				fail_msg("waited in vain for " #condition); \
			}                                                   \
		}                                                           \
	} while (0)

// A group begins with segment_fixture_start, the arguments of main are its own; a case has one of
// add_*, and ends with remove_segments.
int segment_fixture_start(void **state);
int add_segments(void **state);
int add_separate_segments(void **state);
int add_noncoherent_segments(void **state);
int remove_segments(void **state);
void create(const char *path);
struct dp_port_cfg segment_cfg(unsigned i, const char *path);
// Where memory is not coherent, nodes find each other when they tend: join waits for that.
struct node join(const char *path, uint8_t mac);
struct node join_as(const char *path, const char *name, uint8_t mac);
void leave(struct node *node);
// Of the datapath and of all nodes.
void housekeep(void);
// The counters of packets, for a reader of a case that waited in vain.
void print_drops(void);
// The switch has looked who is there, once at least from the beginning to the end.
void wait_tended(const char *path);
bool says(unsigned i, const char *text);
// Slots that the others gave back, and are not the sender's own.
uint32_t n_free(const struct segment *seg);
const uint8_t *mac_of(uint8_t node);
void address(uint8_t *p, const uint8_t dst[6], uint8_t src);
int put(struct node *node, uint8_t *data, uint32_t len, const struct segment_offload *offload);
void put_frame(struct node *node, const uint8_t dst[6], unsigned len);
// To these nodes, in one parcel: the switch takes all of it at once.
void put_burst(struct node *node, const uint8_t to[SEGMENT_BURST]);
// The next frame, with its offload; until WAIT_S.
uint32_t get(struct node *node, uint8_t *ret_data, struct segment_offload *ret_offload);
void expect_at(struct node *node, unsigned len);
