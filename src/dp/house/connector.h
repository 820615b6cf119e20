// Connects ports to sockets that QEMU makes, as soon as they exist: on the socket file's creation,
// after the other end has gone, and with short retries in between, or when it hangs up at once.
// Control thread only.
#pragma once

struct clock;
struct connector;
struct port;

int connector_create(const struct clock *clock, struct connector **ret_connector);
void connector_destroy(struct connector *c); // NULL is accepted
int connector_fd(const struct connector *c); // readable: connector_run has something to do
void connector_run(struct connector *c);
void connector_housekeeping(struct connector *c);

// try_cb: one attempt for the port; 0 when connected, else a negative errno. It is called from
// connector_add, and from connector_run and connector_housekeeping until it succeeds.
typedef int connector_try_fn(struct port *port);
int connector_add(struct connector *c, struct port *port, const char *path, connector_try_fn *try_cb);
void connector_del(struct connector *c, const struct port *port);
// The connection that succeeded is gone: try again. Any thread; the attempt follows on the control
// thread.
void connector_lost(struct connector *c, const struct port *port);
