// Descriptors that a front-end sent with a memory table which librte_vhost refused: the library (24.11) forgets to close those of
// the region it refused. A front-end that tries again and again would use up the process's descriptors.
#pragma once

struct dp;

// Event thread: the connection whose message was received last is going.
void vhost_fds_connection_gone(void);
// Control thread, once a second: closes what is still open of connections that are gone.
void vhost_fds_housekeeping(void);
// Control thread, before and after rte_vhost_driver_start of a port that connects: what comes from the connection meanwhile is not read.
void vhost_fds_connect_begin(void);
void vhost_fds_connect_end(void);
