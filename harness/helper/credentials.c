// SPDX-License-Identifier: Apache-2.0
/* What a process may do: its user, its capabilities, its limits; and what root may do to test modules. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

/* user UID */
void op_user(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	uid_t uid = num(call, 0);

	(void)iteration;
	/* Root's groups are of no use to another user; who may not change them has none that matter. */
	(void)!setgroups(0, NULL);
	if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid)) {
		fail(outcome, errno);
		return;
	}
	/* It is taken from a process that changes its user. */
	if (!die_with_supervisor(actor->shared->supervisor))
		_exit(1);
}

/* Drops one capability for good: exec does not bring it back. */
static bool drop(int capability, struct outcome *outcome)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	uint32_t bit = 1u << capability % 32;

	/* Who may not touch the bounding set could not have gained anything from it. */
	if (prctl(PR_CAPBSET_DROP, capability) && errno != EPERM && errno != EINVAL) {
		fail(outcome, errno);
		return false;
	}
	if (syscall(SYS_capget, &header, data)) {
		fail(outcome, errno);
		return false;
	}
	data[capability / 32].effective &= ~bit;
	data[capability / 32].permitted &= ~bit;
	data[capability / 32].inheritable &= ~bit;
	result(outcome, syscall(SYS_capset, &header, data));
	return !outcome->error;
}

/* drop CAPABILITY */
void op_drop(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	static const int capabilities[] = {
		[CAP_ipc_lock] = CAP_IPC_LOCK,	       [CAP_sys_admin] = CAP_SYS_ADMIN,
		[CAP_sys_rawio] = CAP_SYS_RAWIO,       [CAP_sys_resource] = CAP_SYS_RESOURCE,
		[CAP_dac_override] = CAP_DAC_OVERRIDE,
	};

	(void)actor;
	(void)iteration;
	if (num(call, 0) != CAP_all) {
		drop(capabilities[num(call, 0)], outcome);
		return;
	}
	/* The one that dropping needs goes last. */
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
		if (capability != CAP_SETPCAP && !drop(capability, outcome))
			return;
	drop(CAP_SETPCAP, outcome);
}

static const int resources[] = {
	[RESOURCE_memlock] = RLIMIT_MEMLOCK,
	[RESOURCE_nofile] = RLIMIT_NOFILE,
	[RESOURCE_as] = RLIMIT_AS,
	[RESOURCE_data] = RLIMIT_DATA,
};

/* limit RESOURCE SOFT */
void op_limit(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	struct rlimit limit;

	(void)actor;
	(void)iteration;
	getrlimit(resources[num(call, 0)], &limit);
	limit.rlim_cur = num(call, 1);
	result(outcome, setrlimit(resources[num(call, 0)], &limit));
}

/* limits RESOURCE */
void op_limits(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	struct rlimit limit;

	(void)actor;
	(void)iteration;
	if (getrlimit(resources[num(call, 0)], &limit))
		fail(outcome, errno);
	else
		outcome->ret = limit.rlim_cur;
}

/* unload MODULE */
void op_unload(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	(void)actor;
	(void)iteration;
	result(outcome, syscall(SYS_delete_module, test_modules[num(call, 0)], O_NONBLOCK));
}
