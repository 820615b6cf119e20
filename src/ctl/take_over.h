// The next daemon's side of a hand-over (hand_over.h): it prepares all that it can beside the
// former one, then goes on where that one stopped.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/running_log.h"

#include <jansson.h>
#include <stdbool.h>

struct ctl;
struct model;

struct take_over {
	int fd; // to the former daemon; -1: there is none
	bool is_begun; // the guests' rings are this process's
	uint32_t hands; // enum dp_hands: what the former daemon sends
	int control, monitor; // its listening sockets, -1: it has none
	struct hand_over_page *page;
	char *ids, *state; // of its datapath
	char *peers; // what it knew of them
	size_t n_ids, n_state, n_peers; // bytes
	json_t *clients; // bodies of their messages, with the descriptor as "fd"
};

void take_over_init(struct take_over *take_over, int fd);
// Its running configuration; *ret_log is the caller's. 0 or a negative errno with err.
int take_over_hello(struct ctl *ctl, struct running_log *ret_log, char err[DP_ERR_SIZE]);
// The datapath is open, and has no port yet: they get the numbers that they had.
void take_over_ids(struct ctl *ctl);
// The datapath has the ports of take_over_first. The former daemon stops, and this one goes on.
// When it returns, guests' packets pass. On failure before is_begun nothing of the former was
// touched.
int take_over_run(struct ctl *ctl, char err[DP_ERR_SIZE]);
// All ports are there: their peers, and what was answered to those, are as they were.
void take_over_peers(struct ctl *ctl);
// The server is open: its clients are this one's. Nothing where nothing is taken over.
void take_over_clients(struct ctl *ctl);
// Tells the former daemon why, which goes on.
void take_over_fail(struct take_over *take_over, const char *why);
// The model without the ports that are not handed over. The caller destroys it. NULL: out of
// memory.
struct model *take_over_first(const struct take_over *take_over, const struct model *target);
