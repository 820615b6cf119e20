// Programs in C that are nodes of a segment: Ethernet over one object of shared memory, without a
// switch in between. They write frames into the segment's slots and read them there, without a
// copy. `rtvs-vni create` makes a segment; docs/segment.md describes segments. Compile with
// `pkg-config --cflags --libs rtvswitch-segment`.
//
// Functions return 0 or a negative errno and print nothing. A node may use three threads, also at
// once. One sends (route, reserve, piece, shorten, unreserve, send, put), one receives (receive,
// piece, copy, release, wait), and one tends (tend, stats). open, rejoin and close are called while
// the others keep off.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RTVS_SEGMENT_ERR_SIZE 256
// Bytes: a super-frame of 65,535 bytes of IP, Ethernet header and one VLAN tag.
#define RTVS_SEGMENT_MAX_FRAME 65553
#define RTVS_SEGMENT_MAX_PIECES 33
#define RTVS_SEGMENT_MAX_MACS 16
#define RTVS_SEGMENT_TEND_MS 50
#define RTVS_SEGMENT_ANY_NUMBER (-1)

struct rtvs_segment;

// The joining node. The name of a living node is refused; that of a dead one is taken over at once.
struct rtvs_segment_node {
	const char *name; // 1 to 79 of [A-Za-z0-9_.:-]
	int number; // 0 to the segment's number of nodes - 1, or RTVS_SEGMENT_ANY_NUMBER
	bool is_bridge; // takes frames for addresses that no node has
	unsigned n_macs; // 0 to RTVS_SEGMENT_MAX_MACS
	uint8_t mac[RTVS_SEGMENT_MAX_MACS][6]; // addresses that lead here
};

// As of virtio's network header (virtio 1.3, 5.1.6), little-endian. All zero: a frame as it is on
// the wire.
struct rtvs_segment_offload {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

// A frame in its slots. Programs use len, from and offload; n_pieces is for rtvs_segment_piece.
struct rtvs_segment_frame {
	uint32_t len; // bytes, from the Ethernet header on
	uint16_t n_pieces;
	uint8_t from; // received: number of the sender
	bool is_shared; // received: other nodes read the same bytes, which are not to be changed
	uint64_t to; // to send: set of nodes, bit i: node i
	struct rtvs_segment_offload offload;
	uint16_t offset; // the library's
	uint64_t slot[RTVS_SEGMENT_MAX_PIECES]; // the library's
};

// Counted from joining on.
struct rtvs_segment_stats {
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	uint64_t tx_no_slot; // dropped: the pool is empty
	uint64_t tx_inbox_full; // dropped: the receiver's inbox has no room
	uint64_t tx_nobody; // dropped: no node has the address
	uint64_t tx_gone; // dropped: the receiver left meanwhile
	uint64_t rx_stale; // dropped: the sender died before
	uint64_t rx_bad; // dropped: what the segment says of the frame cannot be true
};

// Maps the segment and joins it. On failure err has the error and the remedy. -ENOENT, -EACCES;
// -ENODATA, -EPROTO, -EINVAL,
// -EFBIG: no segment, or of another version, or damaged; -EEXIST: the name is taken, -EBUSY: the
// number is, or all are.
int rtvs_segment_open(const char *path, const struct rtvs_segment_node *node, struct rtvs_segment **ret_segment,
	char err[RTVS_SEGMENT_ERR_SIZE]);
void rtvs_segment_close(struct rtvs_segment *s); // leaves; NULL is accepted
int rtvs_segment_number(const struct rtvs_segment *s); // this node's
// Of all pieces of a frame but the last.
uint32_t rtvs_segment_piece_bytes(const struct rtvs_segment *s);

// A program that may write the segment's file may also truncate it. The next access is then a
// SIGBUS, which ends a program without a handler. The first function installs a handler that maps
// empty pages there; rejoin then fails with -EFBIG. The second is for a program's own handler.
// True: the address was a segment's, and is mended.
int rtvs_segment_catch_truncation(void);
bool rtvs_segment_mend(const void *address);

// Call it each RTVS_SEGMENT_TEND_MS. It tells other nodes that this one lives, and takes back the
// slots of dead ones. -ESTALE: others took this node for dead, while it did not run. No frame is
// sent or received any more: rejoin.
int rtvs_segment_tend(struct rtvs_segment *s);
int rtvs_segment_rejoin(struct rtvs_segment *s, char err[RTVS_SEGMENT_ERR_SIZE]); // as open
void rtvs_segment_stats(const struct rtvs_segment *s, struct rtvs_segment_stats *ret_stats);

// The nodes that a frame to this address goes to: one, all others, all bridges, or none: 0.
uint64_t rtvs_segment_route(struct rtvs_segment *s, const uint8_t mac[6]);
// Room for a frame of len bytes, 14 to RTVS_SEGMENT_MAX_FRAME, to these nodes. The program writes
// its pieces, and its offload if it has any.
// -ENOBUFS: the pool is empty; -EMSGSIZE; -ENOTCONN: see tend.
int rtvs_segment_reserve(struct rtvs_segment *s, uint64_t to, uint32_t len, struct rtvs_segment_frame *ret_frame);
// Piece i of a frame, 0 to n_pieces - 1, and its bytes: where to write, or what was received.
void *rtvs_segment_piece(
	const struct rtvs_segment *s, const struct rtvs_segment_frame *frame, unsigned i, uint32_t *ret_bytes);
void rtvs_segment_shorten(struct rtvs_segment *s, struct rtvs_segment_frame *frame, uint32_t len);
void rtvs_segment_unreserve(struct rtvs_segment *s, const struct rtvs_segment_frame *frame);
// Sends n reserved frames, best 32 at once, and wakes sleeping nodes. The frames are gone
// afterwards, also those that were dropped (see stats). Returns how many reached a node.
unsigned rtvs_segment_send(struct rtvs_segment *s, struct rtvs_segment_frame *frames, unsigned n);
// Route, reserve, copy and send in one, for a frame in the program's memory. offload NULL: none. 0,
// or as reserve; -EHOSTUNREACH: no node took it.
int rtvs_segment_put(
	struct rtvs_segment *s, const void *data, uint32_t len, const struct rtvs_segment_offload *offload);

// Takes up to n frames that wait. They stay where they are until they are released, in any order.
unsigned rtvs_segment_receive(struct rtvs_segment *s, struct rtvs_segment_frame *ret_frames, unsigned n);
// frame->len bytes
void rtvs_segment_copy(const struct rtvs_segment *s, const struct rtvs_segment_frame *frame, void *ret_data);
void rtvs_segment_release(struct rtvs_segment *s, const struct rtvs_segment_frame *frames, unsigned n);
// Sleeps until a frame comes, but for max_ns at most. True: there may be one.
bool rtvs_segment_wait(struct rtvs_segment *s, uint64_t max_ns);

#ifdef __cplusplus
}
#endif
