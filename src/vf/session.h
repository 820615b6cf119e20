// A session on the channel of the guest's NIC: a virtio serial port, or a unix socket.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSION_ERR_SIZE 512
#define SESSION_NONCE_SIZE 33

struct session {
	int fd;
	bool is_socket;
	char nonce[SESSION_NONCE_SIZE];
	unsigned n_calls;
	unsigned timeout_ms; // of each step
	char *in;
	size_t in_len, in_size;
	bool is_skipping; // the rest of a line that was too long
	json_t *events; // that came before an answer
};

#define SESSION_CHANNEL "/dev/virtio-ports/org.rtvswitch.nic.0"
#define SESSION_AGENT "/run/rtvs-vf.sock"

// The channel that is meant: `named`, or else the agent's socket if an agent is there, or else the
// first serial port.
const char *vf_session_channel(const char *named, const char *agent);

// Opens and greets. wants_events: of vf_session_event. 0, or a negative errno with err: there is no
// channel, or nobody answers.
int vf_session_open(
	struct session *session, const char *path, unsigned timeout_ms, bool wants_events, char err[SESSION_ERR_SIZE]);
void vf_session_close(struct session *session);
// params is stolen; NULL: none. 0 with a new reference; 1: refused, err says why; a negative errno
// with err.
int vf_session_call(
	struct session *session, const char *method, json_t *params, json_t **ret_result, char err[SESSION_ERR_SIZE]);
// Waits for the next event, {method, params}, for as long as it takes. 0 with a new reference, or a
// negative errno with err.
int vf_session_event(struct session *session, json_t **ret_event, char err[SESSION_ERR_SIZE]);
// Does not wait: 0 with NULL, there is none.
int vf_session_poll(struct session *session, json_t **ret_event, char err[SESSION_ERR_SIZE]);
