// The effects of a front-end's messages (rtvs/vhost_user.h) for fuzz targets, with their promises:
// each descriptor goes to one effect, each mapping is undone, and rings run only in mapped memory.
#pragma once

#include "promise.h"
#include "rtvs/vhost_user.h"

#include <errno.h>

#define MEMORY 65536

static uint8_t memory[MEMORY];
static int n_open, n_maps, next_fd;
static bool is_running[VHOST_USER_MAX_RINGS], has_call[VHOST_USER_MAX_RINGS];

static void
do_close(void *arg, int fd)
{
	(void)arg;
	PROMISE(fd >= 0 && fd < next_fd && n_open > 0);
	n_open--;
}

static int
do_map(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	do_close(arg, fd);
	if (offset > MEMORY || n_bytes > MEMORY - offset)
		return -EINVAL;
	*ret_host = memory + offset;
	n_maps++;
	return 0;
}

static void
do_unmap(void *arg, uint8_t *host, uint64_t n_bytes)
{
	(void)arg;
	PROMISE(host >= memory && n_bytes <= MEMORY);
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++)
		PROMISE(!is_running[i]);
	n_maps--;
}

static bool
is_mapped(const void *at, uint64_t n_bytes)
{
	return (const uint8_t *)at >= memory && (const uint8_t *)at + n_bytes <= memory + MEMORY;
}

static int
do_start(void *arg, unsigned ring, const struct guest_ring_cfg *cfg, int kick)
{
	struct guest_ring_bytes n = guest_ring_bytes(cfg->size, cfg->is_packed);
	struct guest_ring r;

	(void)arg;
	PROMISE(ring < VHOST_USER_MAX_RINGS && !is_running[ring] && kick < next_fd);
	PROMISE(is_mapped(cfg->desc, n.desc) && is_mapped(cfg->driver, n.driver) && is_mapped(cfg->device, n.device));
	PROMISE(guest_ring_init(&r, cfg) == 0);
	is_running[ring] = true;
	return 0;
}

static void
do_stop(void *arg, unsigned ring, struct guest_ring_pos *ret_pos)
{
	(void)arg;
	(void)ret_pos;
	PROMISE(is_running[ring]);
	is_running[ring] = false;
}

static void
do_enable(void *arg, unsigned ring, bool is_enabled)
{
	(void)arg;
	(void)is_enabled;
	PROMISE(ring < VHOST_USER_MAX_RINGS);
}

static void
do_set_call(void *arg, unsigned ring, int fd)
{
	if (has_call[ring])
		do_close(arg, 0);
	has_call[ring] = fd >= 0;
}

static void
do_announce(void *arg, const uint8_t mac[6])
{
	(void)arg;
	(void)mac;
}

static int
do_set_mtu(void *arg, uint64_t mtu)
{
	(void)arg;
	return mtu < 68 ? -ERANGE : 0;
}

static void
do_set_status(void *arg, uint8_t status)
{
	(void)arg;
	(void)status;
}

static const struct vhost_user_ops effects = {.map = do_map,
	.unmap = do_unmap,
	.close = do_close,
	.start = do_start,
	.stop = do_stop,
	.enable = do_enable,
	.set_call = do_set_call,
	.announce = do_announce,
	.set_mtu = do_set_mtu,
	.set_status = do_set_status};

// As init, with descriptors numbered from 1 on.
static inline void
effects_begin(struct vhost_user *u)
{
	static const struct vhost_user_cfg cfg = {.ops = &effects, .features = UINT64_C(0x530018000), .n_pairs = 2};

	next_fd = 1;
	PROMISE(vhost_user_init(u, &cfg) == 0);
}

static inline void
effects_end(struct vhost_user *u)
{
	vhost_user_fini(u);
	PROMISE(n_open == 0 && n_maps == 0);
}
