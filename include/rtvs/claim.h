// Who may have a guest port's socket: one front-end at a time, so that a second virtual machine that names the same socket by mistake takes
// nothing from the first. A successor may connect when the first has gone, or once after a move was asked for. After a fault that made
// others wait nobody may connect for a while: a ban is the port's, since a process that is banned can have another one at once.
// Times are ns on one monotonic clock. Not thread-safe.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLAIM_BAN_NS UINT64_C(1000000000)
#define CLAIM_TELL_NS UINT64_C(10000000000) // between two reports of one process that is refused again and again
#define CLAIM_TELL_OTHER_NS \
	UINT64_C(1000000000) // between those of different processes, of which there may be any number

struct claim {
	uint64_t banned_until_ns, move_until_ns, told_ns; // 0: never
	bool is_refusing; // somebody wants the port in vain
	int32_t refused_pid, holder_pid; // then
};

enum claim_answer {
	CLAIM_GRANTED,
	CLAIM_BANNED,
	CLAIM_REFUSED, // another front-end has the port
	CLAIM_REFUSED_TELL, // likewise, and whoever looks after the port is to be told
};

void claim_ban(struct claim *c, uint64_t now_ns);
bool claim_is_banned(const struct claim *c, uint64_t now_ns);
// One successor may connect within that time.
void claim_move(struct claim *c, uint64_t for_ns, uint64_t now_ns);
// A front-end of process pid connects. is_held: that of process holder_pid is connected.
enum claim_answer claim_ask(struct claim *c, int32_t pid, bool is_held, int32_t holder_pid, uint64_t now_ns);
