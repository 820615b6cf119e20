// rtvs-virt attach, detach and set: an interface, its element in the domain's metadata and its port
// at the daemon, changed as one.
#pragma once

#include "rtvs/client.h"
#include "words.h"

#include <libvirt/libvirt.h>

struct plug_options {
	const char *uri, *socket;
	// As virsh has them; none: the running and the stored domain, where there are both.
	bool is_live, is_config, is_current;
	uint64_t timeout_ms; // for the guest to let go of an interface
	bool is_json;
};

// Each prints a refusal on stderr, in libvirt's or the daemon's own words, after all steps were
// undone.
enum cli_exit plug_attach(const struct plug_options *o, const char *domain, const struct words *words);
enum cli_exit plug_detach(const struct plug_options *o, const char *domain, const char *iface);
enum cli_exit plug_set(const struct plug_options *o, const char *domain, const char *iface, const struct words *words);
