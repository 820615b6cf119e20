// Ports of an eswitch, as the control thread knows them (rtvs/dp_eswitch.h). All of them have the
// object that workers have by the view.
#pragma once

struct port;

// The port goes: its eswitch ends first. 0 or -ENOMEM.
int eswitches_leave(struct port *port);
