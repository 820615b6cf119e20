// The daemon's side: the watched ports, and reading the daemon's traces of them. Survives the
// daemon's restart.
#pragma once

#include "rtvs/client.h"
#include "stages.h"

#include <jansson.h>

#define SESSION_MAX_PORTS 1024

struct session;

// names, n_names: the ports to watch; none: all that are vhost ports, including later ones. rate:
// packets a second. The names stay the caller's. CLI_REFUSED, CLI_UNREACHABLE: with a message on
// stderr.
enum cli_exit session_open(
	const char *path, const char *const *names, unsigned n_names, uint64_t rate, struct session **ret_session);
// Ends what was started.
void session_close(struct session *s);
// The result of trace.read; NULL: the daemon is away. Each call tries again; both changes are
// printed on stderr once. New reference.
json_t *session_read(struct session *s, uint64_t now_ns);
uint32_t session_daemon_pid(const struct session *s); // 0: not known
