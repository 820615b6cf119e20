// rtvs-move libvirt: a domain goes to another libvirt daemon of this host, which runs its QEMU.
#pragma once

#include "options.h"

// As move_one_run. Returns enum move_exit.
int domain_move_run(const struct options *o);
