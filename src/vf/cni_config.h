// What a container's network configuration asks of a virtual function (CNI specification 1.0.0,
// section 1; the keys are sriov-cni's). Pure, but for the directory of PCI devices.
#pragma once

#include <jansson.h>

#define CNI_ERR_SIZE 512
#define CNI_TEXT_SIZE 256

struct cni_config {
	json_t *params; // of vf.set, with vf; owned
	const json_t *previous; // result of the plugin before, borrowed from the configuration
	char version[CNI_TEXT_SIZE], channel[CNI_TEXT_SIZE], data_dir[CNI_TEXT_SIZE];
};

// sys: where the kernel has its devices ("/sys"). 0, or -1 with err. The configuration stays the
// caller's, and lives longer. vf_cni_config_free also after a failure.
int vf_cni_config_read(const json_t *config, const char *sys, struct cni_config *ret, char err[CNI_ERR_SIZE]);
void vf_cni_config_free(struct cni_config *config);
// The number of the virtual function with this PCI address; -1 with err.
int vf_cni_config_number(const char *sys, const char *pci, char err[CNI_ERR_SIZE]);
// The result for the runtime: that of the plugin before, with the interface's address, if it has
// been set (NULL: not). New reference.
json_t *vf_cni_config_result(const struct cni_config *config, const char *interface, const char *mac);
// The first of the params that the VF, a row of nic.get, has otherwise; NULL: none.
const char *vf_cni_config_difference(const json_t *params, const json_t *row);
// The params that bring back what the row has of them.
json_t *vf_cni_config_restore(const json_t *params, const json_t *row);
