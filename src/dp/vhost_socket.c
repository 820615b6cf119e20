// The unix sockets of vhost ports, as far as librte_vhost leaves them to its user: where the file may stand, whose it is, what a
// crash left there, and how long a front-end may take for a message.
#include "vhost_socket.h"

#include "dp_state.h"
#include "rtvs/log.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_FDS_SEEN 65536 // of the process, when looking for a connection's descriptor
#define MESSAGE_TIMEOUT_MS 200 // a front-end sends a message's parts at once

// Reads in the middle of a message would block librte_vhost's one thread, and so every other guest's connection. The
// library does not tell the descriptor: it is the unix socket with the port's path that has no time limit yet.
pid_t
vhost_socket_adopt(const char *path)
{
	pid_t pid = 0;
	struct timeval limit = {.tv_usec = MESSAGE_TIMEOUT_MS * 1000};
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	for (unsigned i = 0; dir && i < MAX_FDS_SEEN && (entry = readdir(dir)); i++) {
		struct sockaddr_un addr;
		socklen_t len = sizeof(addr), opt_len = sizeof(int), had_len = sizeof(struct timeval);
		struct timeval had = {0};
		struct ucred peer = {0};
		int fd = (int)strtol(entry->d_name, NULL, 10), is_listening = 0;
		bool is_ours;

		memset(&addr, 0, sizeof(addr));
		is_ours = !getsockname(fd, (struct sockaddr *)&addr, &len) && addr.sun_family == AF_UNIX &&
			!strncmp(addr.sun_path, path, sizeof(addr.sun_path));
		if (!is_ours) {
			memset(&addr, 0, sizeof(addr));
			len = sizeof(addr);
			is_ours = !getpeername(fd, (struct sockaddr *)&addr, &len) && addr.sun_family == AF_UNIX &&
				!strncmp(addr.sun_path, path, sizeof(addr.sun_path));
		}
		if (!is_ours || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &opt_len) || is_listening)
			continue;
		if (getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &had, &had_len) || had.tv_sec || had.tv_usec)
			continue;
		len = sizeof(peer);
		if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
			pid = peer.pid;
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	}
	if (dir)
		closedir(dir);
	return pid;
}

int
vhost_socket_owner(const struct dp_port_cfg *cfg, uid_t *ret_uid, gid_t *ret_gid, char err[DP_ERR_SIZE])
{
	char buf[4096];
	struct passwd pw, *pw_found = NULL;
	struct group gr, *gr_found = NULL;

	*ret_uid = (uid_t)-1;
	*ret_gid = (gid_t)-1;
	if (cfg->socket_owner[0]) {
		if (getpwnam_r(cfg->socket_owner, &pw, buf, sizeof(buf), &pw_found) || !pw_found) {
			dp_error(err, "socket_owner: there is no user '%s'", cfg->socket_owner);
			return -EINVAL;
		}
		*ret_uid = pw.pw_uid;
	}
	if (cfg->socket_group[0]) {
		if (getgrnam_r(cfg->socket_group, &gr, buf, sizeof(buf), &gr_found) || !gr_found) {
			dp_error(err, "socket_group: there is no group '%s'", cfg->socket_group);
			return -EINVAL;
		}
		*ret_gid = gr.gr_gid;
	}
	return 0;
}

int
vhost_socket_clear_stale(const char *path, char err[DP_ERR_SIZE])
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct stat st;
	int fd, rc;

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return 0;
		rc = -errno;
		dp_error(err, "socket: %s: %s", path, strerror(-rc));
		return rc;
	}
	if (!S_ISSOCK(st.st_mode)) {
		dp_error(err, "socket: %s exists and is not a socket", path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	rc = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	close(fd);
	if (rc != -ECONNREFUSED) {
		dp_error(err, "socket: another process listens on %s", path);
		return -EADDRINUSE;
	}
	log_info("removed the stale socket %s", path);
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

int
vhost_socket_check_dir(const char *path, char err[DP_ERR_SIZE])
{
	char dir[RTVS_PATH_SIZE];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || path[0] != '/') {
		dp_error(err, "socket: '%s' must be an absolute path", path);
		return -EINVAL;
	}
	*(slash == dir ? slash + 1 : slash) = '\0';
	if (access(dir, W_OK | X_OK)) {
		dp_error(err, "socket: directory %s: %s", dir, strerror(errno));
		return -errno;
	}
	return 0;
}
