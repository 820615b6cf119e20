// rtvs-virt attach, detach and set: an interface, its element in the domain's metadata and its port at the daemon, changed as one.
#pragma once

#include "rtvs/client.h"
#include "words.h"

#include <libvirt/libvirt.h>

struct plug_options {
	const char *uri, *socket;
	bool is_live, is_config,
		is_current; // as virsh has them; none: what runs and what is stored, where there is both
	uint64_t timeout_ms; // for the guest to let go of an interface
	bool is_json;
};

// Each tells on stderr what was refused, by libvirt's or the daemon's own words, after things are as they were.
enum cli_exit plug_attach(const struct plug_options *o, const char *domain, const struct words *words);
enum cli_exit plug_detach(const struct plug_options *o, const char *domain, const char *iface);
enum cli_exit plug_set(const struct plug_options *o, const char *domain, const char *iface, const struct words *words);
