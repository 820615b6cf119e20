// Captures as the control thread starts, reads and ends them (rtvs/dp.h).
#include "dp_state.h"
#include "path/capture.h"
#include "views.h"

#include <rte_errno.h>
#include <rte_malloc.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPTURE_SLOTS 512 // packets on their way to the control thread
#define CAPTURE_SNAPLEN_MAX 65535

static void
capture_free(struct capture *c)
{
	if (c->has_filter)
		pcap_freecode(&c->filter);
	rte_ring_free(c->filled);
	rte_ring_free(c->empty);
	free(c->slots);
	free(c->data);
	rte_free(c);
}

static int
compile(struct capture *c, const char *filter, char err[DP_ERR_SIZE])
{
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, CAPTURE_SNAPLEN_MAX);

	if (!dead)
		return -ENOMEM;
	if (pcap_compile(dead, &c->filter, filter, 1, PCAP_NETMASK_UNKNOWN)) {
		dp_error(err, "filter: %s", pcap_geterr(dead));
		pcap_close(dead);
		return -EINVAL;
	}
	pcap_close(dead);
	c->has_filter = true;
	return 0;
}

static struct rte_ring *
make_ring(const char *kind, unsigned port)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "rtvs_cap_%s%u", kind, port);
	return rte_ring_create(name, CAPTURE_SLOTS, SOCKET_ID_ANY, RING_F_EXACT_SZ);
}

int
dp_capture_start(struct dp *dp, unsigned id, const char *filter, uint32_t snaplen, char err[DP_ERR_SIZE])
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct capture *c;
	int rc = -ENOMEM;

	if (!port)
		return -ENOENT;
	if (port->cfg.device[0]) {
		dp_error(err, "port: " DP_OFFLOADED, port->cfg.device);
		return -EINVAL;
	}
	if (port->capture) {
		dp_error(err, "port: a capture of '%s' is running", port->cfg.name);
		return -EBUSY;
	}
	c = rte_zmalloc("capture", sizeof(*c), 0);
	if (!c)
		return -ENOMEM;
	c->snaplen = snaplen && snaplen < CAPTURE_SNAPLEN_MAX ? snaplen : CAPTURE_SNAPLEN_MAX;
	c->slots = calloc(CAPTURE_SLOTS, sizeof(*c->slots));
	c->data = calloc(CAPTURE_SLOTS, c->snaplen);
	c->filled = make_ring("f", id);
	c->empty = make_ring("e", id);
	if (!c->slots || !c->data || !c->filled || !c->empty) {
		dp_error(err, "no memory for a capture");
		goto err_free;
	}
	if (filter[0]) {
		rc = compile(c, filter, err);
		if (rc)
			goto err_free;
	}
	for (unsigned i = 0; i < CAPTURE_SLOTS; i++) {
		c->slots[i].data = c->data + (size_t)i * c->snaplen;
		(void)rte_ring_enqueue(c->empty, &c->slots[i]);
	}
	port->capture = c;
	registry_touch(port);
	rc = views_publish(dp);
	if (rc) {
		port->capture = NULL;
		goto err_free;
	}
	return 0;
err_free:
	capture_free(c);
	return rc;
}

bool
dp_capture_next(struct dp *dp, unsigned id, struct dp_capture_pkt *ret_pkt)
{
	struct capture *c = id < DP_MAX_PORTS && dp->port[id] ? dp->port[id]->capture : NULL;
	struct capture_slot *slot;

	if (!c)
		return false;
	if (c->lent)
		(void)rte_ring_enqueue(c->empty, c->lent);
	c->lent = NULL;
	if (rte_ring_dequeue(c->filled, (void **)&slot))
		return false;
	c->lent = slot;
	*ret_pkt = (struct dp_capture_pkt){.time_ns = slot->time_ns,
		.is_tx = slot->is_tx,
		.len = slot->len,
		.caplen = slot->caplen,
		.data = slot->data};
	return true;
}

void
dp_capture_stop(struct dp *dp, unsigned id, uint64_t *ret_lost)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct capture *c = port ? port->capture : NULL;

	*ret_lost = 0;
	if (!c)
		return;
	port->capture = NULL;
	registry_touch(port);
	if (views_publish(dp)) {
		port->capture = c; // no memory for a view: it goes on
		return;
	}
	*ret_lost = atomic_load(&c->lost);
	capture_free(c);
}
