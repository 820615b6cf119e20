// Descriptors that a front-end sent with a memory table which librte_vhost refused: the library (24.11) forgets to close those of
// the region it refused. A front-end that tries again and again would use up the process's descriptors.
#pragma once

struct dp;

// Event thread: the connection whose message was received last is going.
void vhost_fds_connection_gone(void);
// Control thread, once a second: closes what is still open of connections that are gone.
void vhost_fds_housekeeping(void);
