// The unix sockets of vhost ports, as far as librte_vhost leaves them to its user: the file's
// directory, its owner, and the remains of a crash.
#include "vhost_socket.h"

#include "base/dp_error.h"
#include "rtvs/log.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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
