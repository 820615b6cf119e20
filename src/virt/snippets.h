// rtvs-virt xml: the pieces that a domain needs to have a port, as text for an editor.
#pragma once

#include "words.h"

#include <stdio.h>

// Of a new domain (e is NULL), or the pieces that this one lacks: shared memory, elements of its
// vhost-user interfaces. If it has none, or words name another MAC, an interface with its element.
// Pure. 0 or -ENOMEM.
int snippets_print(const struct edit *e, const struct words *words, const char *domain, uint64_t random, FILE *out);
