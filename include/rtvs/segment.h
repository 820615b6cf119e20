// Ethernet over one object of shared memory: a segment. Its nodes are processes, containers,
// virtual machines, partitions of a computer, or hosts that share CXL memory. A sender copies a
// frame into a slot of the pool, and puts the slot's number into the inbox of the receiving node;
// no switch is between them. docs/segment.md has every byte, and why a node that dies at any
// instruction loses its own frames and nothing else.
//
// Pure: over memory that the caller provides, without system calls, clock or allocation. Every
// value of the segment is checked before use. A lying node can spoil frames and take slots, since
// all nodes may write everything, but it makes no other node crash or hang.
//
// A node may use three threads. One sends (route, reserve, send, put, unreserve), one receives
// (receive, release, sleep), and one tends (tend, sweep). join and leave are called while the
// others keep off. The rest is for any thread. Functions return 0 or a negative errno.
#pragma once

#include "rtvs/types.h"

#include <stddef.h>
#include <stdint.h>

#define SEGMENT_VERSION 1
#define SEGMENT_MAX_NODES 64 // a set of nodes is 64 bits
#define SEGMENT_MIN_SLOTS 64
#define SEGMENT_MAX_SLOTS (1u << 21)
#define SEGMENT_MIN_SLOT_BYTES 2048
#define SEGMENT_MAX_SLOT_BYTES 65536
#define SEGMENT_MIN_INBOX 64
#define SEGMENT_MAX_INBOX 65536
// A super-frame of 65,535 bytes of IP, Ethernet header and one VLAN tag.
#define SEGMENT_MAX_FRAME 65553
#define SEGMENT_MAX_CHAIN 33 // slots of one frame
#define SEGMENT_MAX_MACS 16 // of a node
#define SEGMENT_BURST 32 // frames that one call takes at best
#define SEGMENT_TEND_NS UINT64_C(50000000) // segment_tend is called this often
// A node without a known lock is dead when its heart has not beaten for so long.
#define SEGMENT_SILENCE_NS UINT64_C(600000000)

enum segment_memory {
	SEGMENT_COHERENT, // all nodes see one memory: one computer, its virtual machines, CXL 3
	// CXL 2.0: hosts write lines back and drop them themselves; nothing is atomic between
	// hosts.
	SEGMENT_NONCOHERENT,
};

enum segment_buffers {
	SEGMENT_POOL, // each slot may go to any node
	SEGMENT_SEPARATE, // each ordered pair of nodes has slots of its own: for comparison
};

struct segment_geometry {
	enum segment_memory memory;
	enum segment_buffers buffers;
	uint32_t n_nodes; // 2 to SEGMENT_MAX_NODES
	uint32_t n_slots; // SEGMENT_MIN_SLOTS to SEGMENT_MAX_SLOTS
	uint32_t slot_bytes; // of a frame in one slot: a power of two
	// Slots that wait for a node at most, non-coherent: from each other node; a power of two.
	uint32_t inbox_size;
};

enum segment_state {
	SEGMENT_FREE,
	SEGMENT_JOINING,
	SEGMENT_LIVE,
	SEGMENT_REAPING, // has left or died; its slots are being collected
};

enum segment_flag {
	SEGMENT_BRIDGE = 1, // takes frames for addresses that no node has
	// Holds the lock of its number at the file, by which nodes of its host see that it lives.
	SEGMENT_LOCKED = 2,
	// Waits for a wake-up by its host's kernel; nodes of other hosts cannot wake it.
	SEGMENT_SLEEPS = 4,
	// Takes super-frames of UDP, which no node sends while a node lives that does not.
	SEGMENT_USO = 8,
};

// A node's identity. Written when it joins.
struct segment_identity {
	char name[RTVS_NAME_SIZE];
	uint8_t host[16]; // the same for nodes of one running kernel
	uint32_t pid; // there
	uint32_t flags; // enum segment_flag
	uint32_t mtu;
	uint8_t n_macs;
	struct mac mac[SEGMENT_MAX_MACS];
};

// Counted by the node itself, from its joining.
struct segment_counters {
	uint64_t tx_frames, tx_bytes; // handed over; a frame for several nodes counts once
	uint64_t tx_no_slot; // dropped: the pool, or what it may take of it, is empty
	uint64_t tx_inbox_full; // dropped, each for a node that did not take it
	uint64_t tx_nobody; // dropped: no node has the address, and none is a bridge
	uint64_t tx_gone; // dropped: the node left meanwhile
	uint64_t rx_frames, rx_bytes;
	uint64_t rx_stale; // dropped: the sender died before the frame was taken
	uint64_t rx_bad; // dropped: what the segment says of the frame cannot be true
	uint64_t rx_refused; // dropped by the node after it was received: segment_count_refused
};

struct segment_node_info {
	enum segment_state state;
	uint16_t epoch; // counts the nodes that had the number
	uint64_t beat;
	uint32_t inbox_depth; // slots that wait for it
	struct segment_identity identity;
	struct segment_counters counters;
};

struct segment_pool_info {
	uint32_t n_free;
	uint32_t n_held[SEGMENT_MAX_NODES]; // by whom; a frame that waits is still its sender's
	uint64_t n_reaped; // slots taken back from dead nodes since the segment was made
};

// As of virtio's network header (virtio 1.3, 5.1.6), without the number of buffers; little-endian.
struct segment_offload {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

// A frame in its slots: piece i is at segment_piece(), all but the last are slot_bytes long. Opaque
// except for len, from and offload.
struct segment_frame {
	uint32_t len;
	uint16_t n_slots;
	uint8_t from; // received: the sender's number
	bool is_shared; // received: others read the same slots, they are not to be written
	uint64_t to; // to send: set of nodes; sent: those of them that it reached
	struct segment_offload offload;
	uint16_t offset; // of a small frame that shares its slot with others of one burst
	uint64_t slot[SEGMENT_MAX_CHAIN]; // number | generation << 32
};

struct segment; // what a node knows by itself; in memory of its own

// The fewest slots that such a segment may have; n_slots is not looked at.
uint32_t segment_min_slots(const struct segment_geometry *g);
// -EINVAL, and *ret_field names the field that is out of range.
int segment_check_geometry(const struct segment_geometry *g, const char **ret_field);
size_t segment_bytes(const struct segment_geometry *g); // of the object, 0: bad geometry
size_t segment_own_bytes(const struct segment_geometry *g); // of struct segment

// Makes an empty segment; mem is zero, aligned to a page. -EINVAL: bad geometry, -ENOSPC: size is
// too small for it.
int segment_format(void *mem, size_t size, const struct segment_geometry *g, const uint8_t id[16]);
// Reads the header of an object of size bytes once. -ENODATA: not (yet) a segment, -EPROTO: of
// another version,
// -EINVAL: its geometry is out of range, -EFBIG: the object is shorter than its header says.
int segment_read_geometry(const void *mem, size_t size, struct segment_geometry *ret_g);
// own: segment_own_bytes(g), zero, aligned to 64 bytes. g: as read; the header is not read again.
struct segment *segment_attach(void *own, void *mem, const struct segment_geometry *g);
const struct segment_geometry *segment_geometry_of(const struct segment *seg);

// Takes the number. -EBUSY: another node has it, or is being reaped. After an exit without leave
// the number is free when a node has tended. A caller that knows that the former node is dead can
// free it at once by segment_expel.
int segment_join(struct segment *seg, unsigned node, const struct segment_identity *identity);
// Frames that the node has sent and no node has taken are lost; frames that it reserved or received
// are void. A node that did not join is accepted.
void segment_leave(struct segment *seg);
// The caller knows that the node of that number is dead. Takes back its slots. False: it is not
// there. Non-coherent: the result is known to this node alone, which may then join with the number.
// The dead node was one of this host, or of a host that was restarted.
bool segment_expel(struct segment *seg, unsigned node);
int segment_self(const struct segment *seg); // number, or -1
// others took it for dead: leave, then join again
bool segment_is_expelled(const struct segment *seg);
// Addresses that lead to this node, from here on. n: 0 to SEGMENT_MAX_MACS. The tending thread.
int segment_set_macs(struct segment *seg, const struct mac *macs, unsigned n);

// The set of nodes that a frame to this address goes to: one, all, all bridges, or none. VLANs do
// not matter.
uint64_t segment_route(struct segment *seg, const uint8_t mac[6]);
// Room for a frame of len bytes, 14 to SEGMENT_MAX_FRAME, to these nodes; the caller then writes
// its pieces and its offload.
// -ENOBUFS: no slots are left (counted); -EMSGSIZE: bad len; -ENOTCONN: not joined, or expelled. A
// segment with separate buffers needs the right set of one node here.
int segment_reserve(struct segment *seg, uint64_t to, uint32_t len, struct segment_frame *ret_frame);
void segment_unreserve(struct segment *seg, const struct segment_frame *frame);
// The frame is shorter than reserved: gives back what is left over.
void segment_shorten(struct segment *seg, struct segment_frame *frame, uint32_t len);
// Sends n frames, in order, to frame->to. The slots then belong to the segment, also those of
// frames that were dropped (and counted). frame->to is afterwards the set of nodes that the frame
// reached. *ret_wake |= sleeping nodes that must be woken. Returns how many frames reached a node.
unsigned segment_send(struct segment *seg, struct segment_frame *frames, unsigned n, uint64_t *ret_wake);
// Route, reserve, copy, send. offload NULL: none. 0, or as reserve; -EHOSTUNREACH: no node took it.
int segment_put(
	struct segment *seg, const void *data, uint32_t len, const struct segment_offload *offload, uint64_t *ret_wake);

// Takes up to n frames out of the inbox. Their slots are this node's until release.
unsigned segment_receive(struct segment *seg, struct segment_frame *ret_frames, unsigned n);
void segment_release(struct segment *seg, const struct segment_frame *frames, unsigned n);
uint8_t *segment_piece(const struct segment *seg, const struct segment_frame *frame, unsigned i, uint32_t *ret_len);
// Copies a received frame; size at least frame->len. The other writes a reserved one.
void segment_copy(const struct segment *seg, const struct segment_frame *frame, void *ret_data);
void segment_fill(const struct segment *seg, const struct segment_frame *frame, const void *data);
// The interface, or other receiver, behind the node did not take a frame. The receiving thread.
void segment_count_refused(struct segment *seg);
// Before the receiving thread sleeps. False: a frame waits, do not sleep. The word is 1 until a
// sender wakes the node.
bool segment_sleep(struct segment *seg);
void segment_awake(struct segment *seg);
_Atomic uint32_t *segment_sleep_word(const struct segment *seg, unsigned node);

// Any thread.
// false: the number is free
bool segment_look(const struct segment *seg, unsigned node, struct segment_node_info *ret_info);
void segment_look_pool(const struct segment *seg, struct segment_pool_info *ret_info);

// 1: a process of this host holds the lock of that number, 0: none does, -1: it cannot be told.
// Asked of nodes of this node's host; a node that has not joined asks of all nodes.
typedef int (*segment_lock_fn)(void *ctx, unsigned node);
// Each SEGMENT_TEND_NS: beats this node's heart, if it has joined, and takes back the slots of dead
// nodes. Returns the number of nodes that it found dead.
unsigned segment_tend(struct segment *seg, segment_lock_fn has_lock, void *ctx, uint64_t now_ns);
// Takes back every slot that no living node has; for who doubts. Returns their number.
uint32_t segment_sweep(struct segment *seg);
