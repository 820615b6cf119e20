// Captures: the workers copy packets into a ring, and this file moves them to the disk from the
// control thread. A slow disk delays other calls, never traffic; the datapath counts packets that
// find no room in the ring.
#include "capture.h"

#include "ctl.h"
#include "rtvs/log.h"
#include "rtvs/pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPTURE_BURST 1024 // packets of one capture a turn

struct capture {
	struct capture *next;
	struct capture_params params;
	unsigned port; // id
	FILE *file;
	uint64_t n_pkts, n_bytes; // written
	uint8_t buf[CAPTURE_MAX_SNAPLEN + PCAPNG_PACKET_OVERHEAD];
};

static struct capture **
find(struct ctl *ctl, const char *port)
{
	struct capture **link = &ctl->captures;

	while (*link && strcmp((*link)->params.port, port) != 0)
		link = &(*link)->next;
	return link;
}

// A file that exists is never overwritten: the daemon runs as root.
static int
open_file(struct capture *c, const char *version, char err[DP_ERR_SIZE])
{
	char app[64];
	size_t len;
	int fd = open(c->params.file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	int rc;

	if (fd < 0)
		goto err_errno;
	c->file = fdopen(fd, "w");
	if (!c->file)
		goto err_errno;
	(void)snprintf(app, sizeof(app), "rtvswitchd %.40s", version);
	len = pcapng_header(c->buf, sizeof(c->buf), app, c->params.port, c->params.filter, c->params.snaplen);
	if (fwrite(c->buf, 1, len, c->file) != len || fflush(c->file) != 0)
		goto err_errno;
	return 0;

err_errno:
	rc = -errno;
	(void)snprintf(err, DP_ERR_SIZE, "file %.150s: %s", c->params.file, strerror(-rc));
	if (c->file)
		(void)fclose(c->file);
	else if (fd >= 0)
		close(fd);
	if (fd >= 0)
		(void)unlink(c->params.file);
	return rc;
}

int
capture_start(struct ctl *ctl, const struct capture_params *params, char err[DP_ERR_SIZE])
{
	const struct model_port *port = model_port_find(ctl->plane.live, params->port);
	struct capture *c;
	uint64_t lost;
	int rc;

	if (!port) {
		(void)snprintf(err, DP_ERR_SIZE, "port %s does not exist", params->port);
		return -ENOENT;
	}
	if (*find(ctl, params->port)) {
		(void)snprintf(err, DP_ERR_SIZE, "port %s has a capture already", params->port);
		return -EBUSY;
	}
	if (params->file[0] != '/') {
		(void)snprintf(err, DP_ERR_SIZE, "file: must be an absolute path");
		return -EINVAL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->params = *params;
	c->port = port->id;
	// The filter first: a wrong one leaves no file.
	rc = dp_capture_start(ctl->plane.dp, c->port, params->filter, params->snaplen, err);
	if (rc < 0)
		goto err_free;
	rc = open_file(c, ctl->params.version, err);
	if (rc < 0)
		goto err_dp;
	c->next = ctl->captures;
	ctl->captures = c;
	log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PORT", params->port}, {"FILE", params->file}),
		"port %s: capture to %s started", params->port, params->file);
	return 0;

err_dp:
	dp_capture_stop(ctl->plane.dp, c->port, &lost);
err_free:
	free(c);
	return rc;
}

int
capture_stop(struct ctl *ctl, const char *port, const char *reason)
{
	struct capture **link = find(ctl, port);
	struct capture *c = *link;
	uint64_t lost = 0;

	if (!c)
		return -ENOENT;
	*link = c->next;
	dp_capture_stop(ctl->plane.dp, c->port, &lost);
	if (fclose(c->file) != 0)
		reason = "the file could not be written";
	log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PORT", c->params.port}, {"FILE", c->params.file}),
		"port %s: capture to %s ended (%s): %llu packets, %llu lost", c->params.port, c->params.file, reason,
		(unsigned long long)c->n_pkts, (unsigned long long)lost);
	events_emit(ctl, "capture.end",
		json_pack("{s:s, s:s, s:s, s:I, s:I}", "port", c->params.port, "file", c->params.file, "reason", reason,
			"pkts", (json_int_t)c->n_pkts, "lost", (json_int_t)lost));
	free(c);
	return 0;
}

void
capture_stop_all(struct ctl *ctl)
{
	while (ctl->captures)
		(void)capture_stop(ctl, ctl->captures->params.port, "the daemon stops");
}

// True: there may be more at once.
static bool
drain(struct ctl *ctl, struct capture *c, const char **ret_end)
{
	struct dp_capture_pkt pkt;
	unsigned n = 0;

	for (; n < CAPTURE_BURST && dp_capture_next(ctl->plane.dp, c->port, &pkt); n++) {
		uint32_t caplen = pkt.caplen < c->params.snaplen ? pkt.caplen : c->params.snaplen;
		size_t len = pcapng_packet(c->buf, sizeof(c->buf), pkt.time_ns, pkt.is_tx, pkt.len, pkt.data, caplen);
		if (fwrite(c->buf, 1, len, c->file) != len)
			break;
		c->n_pkts++;
		c->n_bytes += caplen;
		if (c->params.count > 0 && c->n_pkts == c->params.count) {
			*ret_end = "count reached";
			break;
		}
	}
	if (ferror(c->file) || (n > 0 && fflush(c->file) != 0))
		*ret_end = "the file could not be written";
	return n == CAPTURE_BURST;
}

int
capture_poll(struct ctl *ctl)
{
	int timeout_ms = ctl->captures ? CAPTURE_POLL_MS : -1;
	struct capture *next;

	for (struct capture *c = ctl->captures; c; c = next) {
		const char *end = NULL;
		next = c->next;
		if (drain(ctl, c, &end))
			timeout_ms = 0;
		if (end)
			(void)capture_stop(ctl, c->params.port, end);
	}
	return timeout_ms;
}

json_t *
capture_json(const struct ctl *ctl)
{
	json_t *list = json_array();

	for (const struct capture *c = ctl->captures; c; c = c->next)
		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I}", "port", c->params.port, "filter",
				c->params.filter, "file", c->params.file, "snaplen", (int)c->params.snaplen, "count",
				(json_int_t)c->params.count, "pkts", (json_int_t)c->n_pkts, "bytes",
				(json_int_t)c->n_bytes));
	return list;
}
