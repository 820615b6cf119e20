// The control plane: one thread, one event loop, the RPC table. Owns the model of bridges and ports
// by name, and configures the datapath through dp.h.
#pragma once

#include "rtvs/dp.h"
#include "rtvs/rpc.h"

#include <stdbool.h>

struct ctl; // opaque

struct ctl_params {
	const char *version;
	char *const *argv; // of this process; a program that takes over is started with the same
	const char *program; // that this process was started from, absolute
	int take_over; // descriptor of the daemon that this one takes over from, 0: none
	const char *socket; // control socket
	const char *monitor_socket; // read-only methods; NULL: none
	const char *group; // of both sockets; NULL: the daemon's own
	const char *config; // file: list of calls; NULL: none
	bool is_fresh; // the configuration that the daemon before kept is removed
	const char *metrics; // "127.0.0.1:9090", "[::1]:9090" or "unix:PATH"; NULL: none
	// Defaults and command line; calls of system.init in the file override them.
	struct dp_system_cfg system;
};

// Tries the file's calls without a datapath, starts the datapath with its system.init, executes the
// calls, opens the sockets last. Objects that params points to must outlive the ctl. On error err
// says in one line what to do, and nothing remains.
// Errors: -EINVAL (configuration), -ENOENT (its file), -EEXIST (a file that is no socket),
// -EADDRINUSE (another daemon), others as errno.
// With params->take_over, and an error: the process must end at once, since all it has may be the
// former daemon's.
int ctl_create(const struct ctl_params *params, struct ctl **ret_ctl, char err[DP_ERR_SIZE]);
// Serves until SIGTERM, SIGINT or system.stop. Tells systemd (ready, watchdog, stopping). 0 or a
// negative errno.
int ctl_run(struct ctl *ctl);
void ctl_destroy(struct ctl *ctl); // NULL is accepted
// After ctl_run: another process goes on with all that this one had, so this one must end without
// ctl_destroy.
bool ctl_is_handed_over(const struct ctl *ctl);

// The table of all methods; needs no ctl. Also for documentation and the CLI's build.
const struct rpc_api *ctl_api(void);
