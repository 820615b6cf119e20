// Rules of what a port sends, as the control thread makes them: each change makes the next snapshot
// (path/rules.h), which shares all rules that stay. Control thread.
#pragma once

struct port;
struct rules;

// No worker knows the port any more.
void port_rules_free(struct port *port);
void port_rules_free_list(struct rules *rules); // no worker knows them any more; NULL is accepted
