// Packet capture of one port: workers copy matching packets into a ring, and the control thread
// takes them out (captures.c). Never waits. A capture has its own small buffer pool, so that it
// takes no buffers from others, and one ring that all workers fill. Filters are classic BPF
// programs compiled and interpreted by libpcap. Without room the packet is counted.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <pcap/pcap.h>
#include <stdatomic.h>

struct worker;

struct capture_slot {
	uint64_t time_ns;
	uint32_t len, caplen;
	bool is_tx;
	uint8_t *data; // snaplen bytes
};

struct capture {
	struct bpf_program filter;
	bool has_filter;
	uint32_t snaplen;
	struct rte_ring *filled, *empty; // pointers to slots; many producers and consumers
	struct capture_slot *slots;
	uint8_t *data; // of all slots; the system gives memory to the pages that packets reach
	struct capture_slot *lent; // ctl: what the last next gave out
	_Atomic uint64_t lost;
};

// Worker: copies the packets of a burst that match.
void capture_burst(struct worker *w, struct capture *capture, struct rte_mbuf **pkts, uint16_t n, bool is_tx);
