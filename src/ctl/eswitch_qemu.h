// What QEMU has to be started with for a guest that controls its NIC.
#pragma once

#include "model.h"

#include <jansson.h>
#include <stdbool.h>

// An option and its value each, in order: VFs stand before the PF, as QEMU wants them. is_xml: the
// lines of libvirt's <qemu:commandline>, with a word of QEMU each. NULL: a
// port has no socket. New reference.
json_t *eswitch_qemu(const struct model *model, const struct model_eswitch *eswitch, bool is_xml);
