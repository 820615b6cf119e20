// A guest at its NIC's channel, beside a control plane over the fake datapath: eswitch `e`, whose
// PF is port f0, and whose VFs are f1 and f2.
#pragma once

#include "ctl_fixture.h"

#include <sys/types.h>

#define CALL(method, params) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}\n"
#define HELLO CALL("nic.hello", "{\"nonce\":\"n1\"}")
#define PORTS "\"name\":\"e\",\"pf\":\"f0\",\"vfs\":\"f1,f2\""
#define EXPECT_SET(params, text) nic_expect(CALL("vf.set", params), text)
#define EXPECT_DONE(params) EXPECT_SET(params, "\"result\":true")

struct nic {
	struct fixture *f;
	char control[RTVS_PATH_SIZE];
	int fd; // the guest's end, -1: none
};
extern struct nic nic;

// Three ports on br0; the test sets the time.
int nic_setup(void **state);
int nic_teardown(void **state);
const char *nic_with_control(const char *rest); // parameters of eswitch.add
void nic_add(const char *limits); // the eswitch
int nic_connect(const char *path);
void nic_say(const char *text, size_t len);
// What the guest has not read yet; "": nothing. *ret_n as recv has it.
const char *nic_hear(ssize_t *ret_n);
void nic_greet(void);
void nic_expect(const char *call, const char *text);
json_t *nic_port_config(const char *name);
void nic_expect_config(const char *port, const char *key, const char *text);
json_int_t nic_channel_count(const char *key);
