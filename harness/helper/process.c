// SPDX-License-Identifier: Apache-2.0
/* Processes: forked, ended, and the descriptors they pass each other. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

bool die_with_supervisor(pid_t supervisor)
{
	/* It may have died before this was asked for. */
	return !prctl(PR_SET_PDEATHSIG, SIGKILL) && getppid() == supervisor;
}

void silence(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int standard = 0; standard < 3; standard++)
		if (fd < 0 || (fd != standard && dup2(fd, standard) < 0))
			close(standard);
	if (fd > 2)
		close(fd);
}

/* spawn CHILD */
void op_spawn(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int child = call->value[0].name;
	struct seat *seat = &actor->shared->seats[child];
	pid_t pid;

	(void)iteration;
	if (seat->pid) {
		bad(outcome, "there was an actor of this name already:", actor->program->actors[child]);
		return;
	}
	/* A sibling, not a child: it does not die with this actor, and is reaped by the supervisor. */
	seat->alive = true;
	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		actor_live(actor->shared, actor->program, actor->shared_fd, child);
	if (pid > 0) {
		seat->pid = pid;
	} else {
		seat->alive = false;
		fail(outcome, errno);
	}
}

/* exec */
void op_exec(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	char shared_fd[16], number[16];
	char *const argv[] = { "vfio-conform-helper", "actor", shared_fd, number, NULL };
	char *const envp[] = { NULL };

	(void)call;
	(void)iteration;
	snprintf(shared_fd, sizeof(shared_fd), "%d", actor->shared_fd);
	snprintf(number, sizeof(number), "%d", actor->number);
	/* Descriptors are kept, also those that the kernel made to be closed here: a VFIO device's. */
	for (int name = 0; name < actor->program->fd_count; name++)
		if (actor->fds[name].fd >= 0)
			fcntl(actor->fds[name].fd, F_SETFD, 0);
	memcpy(actor->shared->fds, actor->fds, actor->program->fd_count * sizeof(*actor->fds));
	actor->shared->fd_order = actor->fd_order;
	fcntl(actor->shared_fd, F_SETFD, 0);
	execve("/proc/self/exe", argv, envp);
	fail(outcome, errno);
	fcntl(actor->shared_fd, F_SETFD, FD_CLOEXEC);
}

/* Asks the supervisor to do something, and waits for its answer. */
static int ask(struct actor *actor, enum asked asked, int other, int fd)
{
	struct shared *shared = actor->shared;
	uint32_t seen = shared->answered;

	shared->asked_actor = other;
	shared->asked_fd = fd;
	shared->asked = ++shared->wishes << ASKED_BITS | asked;
	shared_wake(&shared->event);
	while (shared->answered == seen)
		shared_wait(&shared->answered, seen, -1);
	return shared->answer;
}

static bool is_alive(struct actor *actor, int other, struct outcome *outcome)
{
	if (actor->shared->seats[other].alive)
		return true;
	mishap(outcome, MISHAP_GONE, actor->program->actors[other], "is gone");
	return false;
}

/* kill VICTIM */
void op_kill(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int victim = call->value[0].name;

	(void)iteration;
	if (!is_alive(actor, victim, outcome))
		return;
	outcome->ret = ask(actor, ASKED_KILL, victim, 0);
	if (outcome->ret < 0)
		mishap(outcome, MISHAP_STUCK, actor->program->actors[victim], "was killed and is still there");
}

/* exit STATUS */
void op_exit(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	(void)iteration;
	(void)outcome;
	actor->shared->seats[actor->number].leaving = true;
	_exit(num(call, 0));
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* send FD TO */
void op_send(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int fd = fd_named(actor, call->value[0].name, outcome), to = call->value[1].name;
	union control control = { .bytes = { 0 } };
	struct iovec nothing = { "", 1 };
	struct msghdr message = {
		.msg_iov = &nothing,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	(void)iteration;
	if (fd < 0 || !is_alive(actor, to, outcome))
		return;
	if (to == actor->number) {
		bad(outcome, "an actor has what it would send itself:", actor->program->fds[call->value[0].name]);
		return;
	}
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(actor->shared->sockets[0], &message, MSG_NOSIGNAL) < 0) {
		fail(outcome, errno);
		return;
	}
	switch (ask(actor, ASKED_RECEIVE, to, call->value[0].name)) {
	case 0:
		return;
	case -EEXIST:
		bad(outcome, "the receiver has this descriptor already:", actor->program->fds[call->value[0].name]);
		return;
	case -ESRCH:
		mishap(outcome, MISHAP_DIED, actor->program->actors[to], "died while it received");
		return;
	default:
		fail(outcome, -actor->shared->answer);
	}
}

int receive_fd(struct actor *actor, int name)
{
	union control control;
	char nothing;
	struct iovec one = { &nothing, 1 };
	struct msghdr message = {
		.msg_iov = &one,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(actor->shared->sockets[1], &message, MSG_DONTWAIT) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	/* The kernel leaves out what the receiver has no number for. */
	if (!header || header->cmsg_len != CMSG_LEN(sizeof(fd)))
		return -EMFILE;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	if (actor->fds[name].fd >= 0) {
		close(fd);
		return -EEXIST;
	}
	actor->fds[name] = (struct named_fd){ fd, ++actor->fd_order };
	return 0;
}
