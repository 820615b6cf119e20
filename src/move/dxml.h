// A libvirt domain's XML: what it says against a local move, and the XML of the destination. Text
// in, text out; libvirt calls the second one dxml.
#pragma once

#include "reasons.h"

#include <stdbool.h>

#define DXML_SUFFIX ".rtvs-move"
#define DXML_CHARDEV "rtvs-move" // id of the QMP socket's character device in the destination

// Adds a reason for each device and setting that a second QEMU of this host cannot have. is_plain:
// the memory is copied. False: a reason was added.
bool dxml_check(const char *xml, bool is_plain, struct reasons *reasons);
// The destination's XML. Sockets that QEMU or libvirt listens on have the suffix, or no longer have
// it; files of consoles are appended to. qmp: the path of one more QMP socket, NULL: none.
// Allocated, with libxml2's allocator (free). NULL: it is no XML of a domain, or there is no
// memory. *ret_renamed: how many sockets have another path.
char *dxml_make(const char *xml, const char *qmp, unsigned *ret_renamed);
