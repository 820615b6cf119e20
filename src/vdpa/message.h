// Messages of the kernel's generic netlink families "nlctrl" and "vdpa". Pure: buffers in, buffers
// out.
#pragma once

#include "rtvs/vdpa.h"

#include <stddef.h>

#define MESSAGE_SIZE 8192 // room for a request, or for what the kernel sends at once
#define MESSAGE_TEXT_SIZE 256

struct message_answer {
	uint16_t family; // of "vdpa"; 0: not said
	struct vdpa_dev dev;
	char text[MESSAGE_TEXT_SIZE]; // why the kernel refused, in its words; "": it does not say
};

// What is written has this many bytes; buf has MESSAGE_SIZE and is aligned as struct nlmsghdr.
size_t message_get_family(void *buf, uint32_t seq);
// cmd is one of VDPA_CMD_DEV_*; mgmtdev is NULL but for DEV_NEW. Names are shorter than
// VDPA_NAME_SIZE.
size_t message_dev(void *buf, uint32_t seq, uint16_t family, uint8_t cmd, const char *name, const char *mgmtdev);
// Adds what the messages with this sequence number say to *answer. 1: there is more to come; 0: the
// kernel has done what was asked; else why not, as it says: a negative errno. -EBADMSG: not as the
// protocol has it.
int message_read(const void *buf, size_t len, uint32_t seq, struct message_answer *answer);
// Why the request failed, for people. rc is negative, and name what was asked for.
void message_describe(int rc, const struct message_answer *answer, uint8_t cmd, const char *name, const char *mgmtdev,
	char err[VDPA_ERR_SIZE]);
