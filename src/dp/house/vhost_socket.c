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

// The uid and gid of the socket file, -1 where they stay the daemon's.
static int
find_owner(const struct dp_port_cfg *cfg, uid_t *ret_uid, gid_t *ret_gid, char err[DP_ERR_SIZE])
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

static int
open_socket(const char *path, struct sockaddr_un *ret_addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*ret_addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(ret_addr->sun_path, sizeof(ret_addr->sun_path), "%s", path);
	return fd < 0 ? -errno : fd;
}

int
vhost_socket_connect(const char *path)
{
	struct sockaddr_un addr;
	int fd = open_socket(path, &addr), rc;

	if (fd < 0 || !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int
clear_stale(const char *path, char err[DP_ERR_SIZE])
{
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
	fd = vhost_socket_connect(path);
	if (fd >= 0)
		close(fd);
	if (fd != -ECONNREFUSED) {
		dp_error(err, "socket: another process listens on %s", path);
		return -EADDRINUSE;
	}
	log_info("removed the stale socket %s", path);
	return unlink(path) && errno != ENOENT ? -errno : 0;
}

static int
check_dir(const char *path, char err[DP_ERR_SIZE])
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

static int
bind_and_listen(const struct dp_port_cfg *cfg, uid_t uid, gid_t gid, char err[DP_ERR_SIZE])
{
	struct sockaddr_un addr;
	int fd = open_socket(cfg->socket, &addr), rc;
	mode_t mask;

	if (fd < 0) {
		dp_error(err, "socket: %s", strerror(-fd));
		return fd;
	}
	// The file must never be there with wider permissions than asked for.
	mask = umask(0177 | (0777 & ~cfg->socket_mode));
	rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	umask(mask);
	if (rc) {
		dp_error(err, "socket: cannot listen on %s: %s", cfg->socket, strerror(-rc));
		close(fd);
		return rc;
	}
	if (((uid != (uid_t)-1 || gid != (gid_t)-1) && lchown(cfg->socket, uid, gid)) ||
		chmod(cfg->socket, cfg->socket_mode) || listen(fd, SOMAXCONN)) {
		rc = -errno;
		dp_error(err, "socket: owner and mode of %s: %s", cfg->socket, strerror(-rc));
		close(fd);
		(void)unlink(cfg->socket);
		return rc;
	}
	return fd;
}

int
vhost_socket_listen(const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	uid_t uid;
	gid_t gid;
	int rc = check_dir(cfg->socket, err);

	if (!rc)
		rc = find_owner(cfg, &uid, &gid, err);
	if (!rc)
		rc = clear_stale(cfg->socket, err);
	return rc ? rc : bind_and_listen(cfg, uid, gid, err);
}
