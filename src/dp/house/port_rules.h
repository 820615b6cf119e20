// Rules of what a port sends, as the control thread makes them: each change makes the next snapshot
// (path/rules.h), which shares all rules that stay. Control thread.
#pragma once

struct port;

// No worker knows the port any more.
void port_rules_free(struct port *port);
