// SPDX-License-Identifier: Apache-2.0
/* What a program's names stand for in one actor, and what to say when they stand for nothing. */
#include <stdio.h>

#include "actor.h"

void fail(struct outcome *outcome, int error)
{
	outcome->ret = -1;
	outcome->error = error;
}

void result(struct outcome *outcome, int64_t ret)
{
	if (ret == -1)
		fail(outcome, errno);
	else
		outcome->ret = ret;
}

void mishap(struct outcome *outcome, enum mishap mishap, const char *name, const char *what)
{
	outcome->mishap = mishap;
	snprintf(outcome->detail, sizeof(outcome->detail), "%s %s", name, what);
}

void bad(struct outcome *outcome, const char *what, const char *name)
{
	mishap(outcome, MISHAP_BAD, what, name);
}

int fd_named(struct actor *actor, int name, struct outcome *outcome)
{
	int fd = actor->fds[name].fd;

	if (fd < 0)
		fail(outcome, EBADF);
	return fd;
}

bool fd_free(struct actor *actor, int name, struct outcome *outcome)
{
	if (actor->fds[name].fd < 0)
		return true;
	bad(outcome, "this descriptor is open already:", actor->program->fds[name]);
	return false;
}

void fd_name(struct actor *actor, int name, int fd)
{
	actor->fds[name] = (struct named_fd){ fd, ++actor->fd_order };
}

void fd_made(struct actor *actor, int name, int fd, struct outcome *outcome)
{
	result(outcome, fd);
	if (fd >= 0)
		fd_name(actor, name, fd);
}

void fd_forget(struct actor *actor, int name)
{
	actor->fds[name].fd = -1;
}

struct memory *memory_named(struct actor *actor, int name, struct outcome *outcome)
{
	struct memory *memory = &actor->memories[name];

	if (memory->there)
		return memory;
	fail(outcome, EFAULT);
	return NULL;
}

bool address_of(struct actor *actor, const struct place *place, uintptr_t *address, struct outcome *outcome)
{
	struct memory *memory;

	*address = place->offset;
	if (place->mem < 0)
		return true;
	memory = memory_named(actor, place->mem, outcome);
	if (!memory)
		return false;
	*address += memory->base;
	return true;
}
