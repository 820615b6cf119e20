// The words about a port for rtvs-virt's commands, and the resulting parts of a domain's XML. Pure.
#pragma once

#include "edit.h"

#include <stdint.h>

#define WORDS_MAX 40
#define WORDS_SOCKET_DIR "/run/rtvswitch"
// Where QEMU may make a socket, and which exists when the daemon does not run.
#define WORDS_SERVER_DIR "/var/lib/libvirt/qemu"

enum words_kind {
	WORDS_NEW, // of an interface that is to be: mac, name, mode, socket and type, too
	WORDS_CHANGE // of a port that is there
};

struct words {
	char mac[DOMAIN_MAC_SIZE];
	char name[EDIT_TEXT_SIZE], socket[EDIT_TEXT_SIZE];
	bool is_server; // QEMU listens
	bool is_vdpa; // type=vduse: socket is the link to QEMU's file
	unsigned n_pairs;
	struct edit_pair pairs[WORDS_MAX]; // attributes of the element
};

// KEY=VALUE each. -EINVAL with err naming the word and the accepted ones; the daemon checks values
// of ports' parameters.
int words_parse(char *const *argv, int argc, enum words_kind kind, struct words *ret_words, char err[DOMAIN_ERR_SIZE]);
// Fills in missing words: a MAC out of random, libvirt's prefix of QEMU in front; a name of the
// domain's and the MAC; a socket of the name.
void words_complete(struct words *w, const char *domain, uint64_t random);
void words_add(struct words *w, const char *name, const char *value); // unless it was said
const char *words_value(const struct words *w, const char *name); // NULL: not said

// The <interface>, indented by so many spaces; the <port> with its prefix. The caller frees it;
// NULL: out of memory.
char *words_interface(const struct words *w, unsigned indent);
char *words_port(const struct words *w, unsigned indent);
