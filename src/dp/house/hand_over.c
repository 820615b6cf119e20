// The hand-over of guests' connections, of TAPs and of AF_XDP sockets to another process, and the
// taking over (rtvs/dp.h). A port's type says what is sent; link_store.c has the connections.
// Invariant: between dp_hand_stop and dp_hand_resume the loop's lock is held, so no front-end is
// served. With the workers halted, rings and connections are as the records say.
#include "dp_state.h"
#include "io/guest_loop.h"
#include "kernel_port.h"
#include "link_store.h"
#include "port.h"
#include "port_end.h"
#include "port_tap.h"
#include "port_type.h"
#include "port_xdp.h"

#include <errno.h>
#include <time.h>

// A message is handled as soon as its bytes are there: a connection is in the middle of one for
// microseconds, unless its front-end stalls there. A socket to the other process that is full is
// tried again, too: nobody waits for that process while front-ends wait for the lock.
#define HAND_TRIES 300 // more than a front-end is parked that changes its rings too often
#define HAND_WAIT_NS 1000000

static int
hand_ports(struct dp *dp, const struct dp_fd_store *to, bool is_last, char err[DP_ERR_SIZE])
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < DP_MAX_PORTS; i++)
		if (dp->port[i] && dp->port[i]->type->hand)
			rc = dp->port[i]->type->hand(dp->port[i], to, is_last, err);
	if (rc == -EIO)
		dp_error(err, "the other process does not take descriptors");
	return rc;
}

// What holds a port up may be something that its own turn ends.
static void
look_at_ports(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i] && dp->port[i]->type->hand)
			dp->port[i]->type->housekeeping(dp->port[i]);
}

// On success the loop stays locked.
static int
hand_locked(struct dp *dp, const struct dp_fd_store *to, char err[DP_ERR_SIZE])
{
	int rc = -EBUSY;

	for (unsigned i = 0; (rc == -EBUSY || rc == -EIO) && i < HAND_TRIES; i++) {
		if (i) {
			(void)nanosleep(&(struct timespec){.tv_nsec = HAND_WAIT_NS}, NULL);
			look_at_ports(dp);
		}
		err[0] = '\0'; // what held it up before does not any more
		guest_loop_lock(dp->guests);
		rc = hand_ports(dp, to, i + 1 == HAND_TRIES, err);
		if (rc)
			guest_loop_unlock(dp->guests);
	}
	return rc;
}

int
dp_hand_prepare(struct dp *dp, const struct dp_fd_store *to, char err[DP_ERR_SIZE])
{
	int rc;

	dp->n_hands++;
	dp->hands = to->takes;
	rc = hand_locked(dp, to, err);
	if (!rc)
		guest_loop_unlock(dp->guests);
	return rc;
}

int
dp_hand_stop(struct dp *dp, const struct dp_fd_store *to, char err[DP_ERR_SIZE])
{
	return hand_locked(dp, to, err);
}

int
dp_hand_resume(struct dp *dp)
{
	int rc = dp_resume(dp);

	guest_loop_unlock(dp->guests);
	return rc;
}

bool
dp_port_is_handed(const struct dp_port_cfg *cfg, uint32_t takes)
{
	if (port_tap_is(cfg))
		return takes & DP_HANDS_TAPS;
	if (port_xdp_is(cfg))
		return takes & DP_HANDS_XDP;
	return port_has(cfg->type, PORT_IS_HANDED) && !cfg->device[0];
}

void
dp_hand_release(struct dp *dp)
{
	guest_loop_freeze(dp->guests);
	dp->is_ending = true;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i] && !dp_port_is_handed(&dp->port[i]->cfg, dp->hands))
			(void)dp_port_del(dp, i);
	(void)port_end_now(dp, NULL);
}

int
dp_warm(struct dp *dp, char err[DP_ERR_SIZE])
{
	int rc = 0;

	for (unsigned i = 0; !rc && i < DP_MAX_PORTS; i++)
		if (dp->port[i] && dp->port[i]->type->warm)
			rc = dp->port[i]->type->warm(dp->port[i], err);
	return rc;
}

// A tunnel may have been started before its uplink.
static void
follow_uplinks(struct dp *dp)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i] && port_has(dp->port[i]->cfg.type, PORT_IS_TUNNEL))
			dp->port[i]->type->housekeeping(dp->port[i]);
}

int
dp_take_over(struct dp *dp)
{
	dp->cfg.is_standby = false;
	atomic_store(&dp->is_taking_over, true);
	port_start_all(dp);
	follow_uplinks(dp);
	atomic_store(&dp->is_taking_over, false);
	link_store_end_given(dp);
	kernel_port_end_given(dp);
	guest_link_cool();
	return dp_resume(dp);
}
