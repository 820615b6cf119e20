// Ports of a domain at the daemon: made, changed and removed so that they match the domain's XML. A
// second run, or one beside another of the same, changes nothing. Only ports with the domain's UUID
// are touched.
#pragma once

#include "domain.h"
#include "rtvs/client.h"

// Reports the changes, a line each: port made, changed, removed, or refused and ignored.
// is_problem: the last.
typedef void ports_log_fn(void *ctx, bool is_problem, const char *text);

struct ports {
	struct client *client;
	// The guest runs. Each port is handled by itself: a refused one stays unchanged, or gets no
	// bridge. All messages go to the log.
	bool is_running;
	// libvirt changes the guest at this moment: its XML may lack an interface that QEMU waits
	// for.
	bool is_busy;
	// A port that a QEMU is connected to is not removed because its domain is gone: another
	// libvirt of this host may have the domain, and its QEMU that port. n_kept is how many
	// there were.
	bool keeps_used;
	unsigned n_kept;
	const char *root; // of links_make; NULL: the machine
	ports_log_fn *log; // NULL: no reader
	void *log_ctx;
};

// All of the domain's ports, or the former ones: CLI_OK; CLI_REFUSED with err naming line, element
// and the daemon's message; CLI_UNREACHABLE. Optional ports that are refused get no bridge. Also
// refused: a socket of the domain below /run/rtvswitch that no port has, since QEMU would wait for
// it without end. A vdpa interface gets its link (links.h).
enum cli_exit ports_apply(const struct ports *p, const struct domain *d, char err[DOMAIN_ERR_SIZE]);
// One of its ports, whatever the others are. CLI_REFUSED with the daemon's message alone, and
// nothing changed.
enum cli_exit ports_apply_one(const struct ports *p, const struct domain_port *port, char err[DOMAIN_ERR_SIZE]);
// A port without a bridge that serves a socket for which a guest's QEMU waits, and libvirt with it:
// an interface was plugged in without its port. It takes any number of queues, and is no obstacle
// to any other domain's port. It goes with the interface, or when an element asks for it. CLI_OK:
// there is a port with that socket. No more than PORTS_MAX_UNKNOWN of a domain.
#define PORTS_UNKNOWN "/unknown interface" // as its domain's name; libvirt's have no /
#define PORTS_MAX_UNKNOWN 8
enum cli_exit ports_answer(const struct ports *p, const char *uuid, const char *socket, char err[DOMAIN_ERR_SIZE]);
// How the port differs from its element, and why; empty: no difference. config: of the port, NULL:
// there is none. line, element and the daemon's message; CLI_UNREACHABLE.
enum cli_exit ports_compare(
	const struct ports *p, const struct domain_port *port, const json_t *config, char ret_text[DOMAIN_ERR_SIZE]);
// Could they be? Nothing is changed. Each is asked for alone.
enum cli_exit ports_check(const struct ports *p, const struct domain *d, char err[DOMAIN_ERR_SIZE]);
// Removes all ports with this UUID, as keeps_used says; or the one that has that name, too.
// CLI_UNREACHABLE; CLI_REFUSED with the daemon's message in err (NULL: not wanted).
enum cli_exit ports_remove(struct ports *p, const char *uuid, char *err);
enum cli_exit ports_remove_one(const struct ports *p, const char *uuid, const char *name);
