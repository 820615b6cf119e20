// The control plane: one thread, one event loop, the RPC table. Owns the model of bridges and ports by
// name and tells the datapath through dp.h.
#pragma once

#include <stdbool.h>

#include "rtvs/dp.h"
#include "rtvs/rpc.h"

struct ctl; // opaque

struct ctl_params {
	const char *version;
	const char *socket; // control socket
	const char *monitor_socket; // read-only methods; NULL: none
	const char *group; // of both sockets; NULL: the daemon's own
	const char *config; // file: list of calls; NULL: none
	const char *metrics; // "127.0.0.1:9090", "[::1]:9090" or "unix:PATH"; NULL: none
	struct dp_system_cfg system; // defaults and command line; calls of system.init in the file come on top
};

// Reads the file's system.init, starts the datapath, opens the sockets, runs the file's calls. On error says in err, in one line,
// what to do; nothing stays. Errors: -EINVAL (configuration), -EADDRINUSE (another daemon), others as errno.
int ctl_create(const struct ctl_params *params, struct ctl **ret_ctl, char err[DP_ERR_SIZE]);
// Serves until SIGTERM, SIGINT or system.stop. Tells systemd (ready, watchdog, stopping). 0 or a negative errno.
int ctl_run(struct ctl *ctl);
void ctl_destroy(struct ctl *ctl); // NULL is accepted

// The table of all methods; needs no ctl. Also for documentation and the CLI's build.
const struct rpc_api *ctl_api(void);
