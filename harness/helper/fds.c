// SPDX-License-Identifier: Apache-2.0
/* Descriptors: made, read, written, passed on and closed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "actor.h"

/* open FD PATH flags */
void op_open(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	static const int flags[] = { [FLAGS_rw] = O_RDWR, [FLAGS_r] = O_RDONLY, [FLAGS_w] = O_WRONLY };

	(void)iteration;
	if (fd_free(actor, call->value[0].name, outcome))
		fd_made(actor, call->value[0].name,
			open(call->value[1].text, flags[num_or(call, 2, FLAGS_rw)] | O_NOCTTY), outcome);
}

/* Gives a file that was just made its size, or gives it up. */
static int sized(int fd, uint64_t size)
{
	int error;

	if (fd < 0 || !ftruncate(fd, size))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* memfd FD SIZE huge */
void op_memfd(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	uint64_t huge = num_or(call, 2, 0);
	unsigned int flags = huge ? MFD_HUGETLB | (unsigned int)__builtin_ctzll(huge) << MFD_HUGE_SHIFT : 0;
	int name = call->value[0].name;

	(void)iteration;
	if (fd_free(actor, name, outcome))
		fd_made(actor, name, sized(memfd_create(actor->program->fds[name], flags), num(call, 1)), outcome);
}

static const char *temporary_folder(void)
{
	const char *folder = getenv("TMPDIR");

	return folder && *folder == '/' ? folder : "/tmp";
}

/* A file without a name. Where the file system makes none, one with a name nobody can guess, unlinked at once. */
static int unlinked_file(void)
{
	const char *folder = temporary_folder();
	char path[MAX_PATH + 64];
	uint64_t chance = 0;
	int fd = open(folder, O_TMPFILE | O_RDWR, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	if (getrandom(&chance, sizeof(chance), 0) != sizeof(chance))
		return -1;
	snprintf(path, sizeof(path), "%.*s/vfio-conform-%016llx", MAX_PATH, folder, (unsigned long long)chance);
	fd = open(path, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDWR, 0600);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* file FD SIZE */
void op_file(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	(void)iteration;
	if (fd_free(actor, call->value[0].name, outcome))
		fd_made(actor, call->value[0].name, sized(unlinked_file(), num(call, 1)), outcome);
}

/* truncate FD SIZE */
void op_truncate(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int fd = fd_named(actor, call->value[0].name, outcome);

	(void)iteration;
	if (fd >= 0)
		result(outcome, ftruncate(fd, num(call, 1)));
}

/* close FD */
void op_close(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int fd = fd_named(actor, call->value[0].name, outcome);

	(void)iteration;
	if (fd < 0)
		return;
	result(outcome, close(fd));
	/* The number is free again, whatever close returned. */
	fd_forget(actor, call->value[0].name);
}

static int newest_fd(struct actor *actor)
{
	int newest = -1;

	for (int name = 0; name < actor->program->fd_count; name++)
		if (actor->fds[name].fd >= 0 && (newest < 0 || actor->fds[name].order > actor->fds[newest].order))
			newest = name;
	return newest;
}

/* shut */
void op_shut(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	(void)call;
	(void)iteration;
	for (int name; (name = newest_fd(actor)) >= 0; outcome->ret++) {
		close(actor->fds[name].fd);
		fd_forget(actor, name);
	}
}

/* dup FD FROM */
void op_dup(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int from = fd_named(actor, call->value[1].name, outcome);

	(void)iteration;
	if (from >= 0 && fd_free(actor, call->value[0].name, outcome))
		fd_made(actor, call->value[0].name, dup(from), outcome);
}

/* fds */
void op_fds(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	(void)call;
	(void)iteration;
	for (int name = 0; name < actor->program->fd_count; name++)
		outcome->ret += actor->fds[name].fd >= 0;
}

/* pread FD OFFSET SIZE */
void op_pread(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int fd = fd_named(actor, call->value[0].name, outcome);
	uint64_t size = num(call, 2);
	uint8_t *buffer;

	(void)iteration;
	if (fd < 0)
		return;
	buffer = guarded_take(size);
	result(outcome, pread(fd, buffer, size, num(call, 1)));
	guarded_check(buffer, size, outcome);
	if (outcome->ret < 0)
		return;
	outcome->out = buffer;
	outcome->out_size = outcome->ret;
}

/* pwrite FD OFFSET DATA */
void op_pwrite(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int fd = fd_named(actor, call->value[0].name, outcome);
	const struct bytes *data = call->value[2].bytes;
	uint8_t *buffer;

	(void)iteration;
	if (fd < 0)
		return;
	buffer = guarded_take(data->size);
	bytes_expand(data, buffer);
	result(outcome, pwrite(fd, buffer, data->size, num(call, 1)));
	guarded_check(buffer, data->size, outcome);
}

/* readfd FD SIZE into */
void op_readfd(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int fd = fd_named(actor, call->value[0].name, outcome);
	uint64_t size = num(call, 1);
	uintptr_t address;
	uint8_t *buffer;

	(void)iteration;
	if (fd < 0)
		return;
	if (given(call, 2)) {
		if (address_of(actor, call->value[2].place, &address, outcome))
			result(outcome, read(fd, (void *)address, size));
		return;
	}
	buffer = guarded_take(size);
	result(outcome, read(fd, buffer, size));
	guarded_check(buffer, size, outcome);
	if (outcome->ret < 0)
		return;
	outcome->out = buffer;
	outcome->out_size = outcome->ret;
}

/* writefd FD FROM SIZE */
void op_writefd(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int fd = fd_named(actor, call->value[0].name, outcome);
	uintptr_t address;

	(void)iteration;
	if (fd >= 0 && address_of(actor, call->value[1].place, &address, outcome))
		result(outcome, write(fd, (const void *)address, num(call, 2)));
}

/* poll FD EVENTS */
void op_poll(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	struct pollfd one = { .fd = fd_named(actor, call->value[0].name, outcome), .events = num(call, 1) };

	(void)iteration;
	if (one.fd < 0)
		return;
	if (poll(&one, 1, 0) < 0)
		fail(outcome, errno);
	else
		outcome->ret = one.revents;
}

/* cat PATH */
void op_cat(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	static uint8_t buffer[MAX_CAT];
	int fd = open(call->value[0].text, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t got = 1;
	size_t size = 0;

	(void)actor;
	(void)iteration;
	if (fd < 0) {
		fail(outcome, errno);
		return;
	}
	while (got > 0 && size < sizeof(buffer)) {
		got = read(fd, buffer + size, sizeof(buffer) - size);
		if (got > 0)
			size += got;
	}
	if (got < 0)
		fail(outcome, errno);
	close(fd);
	if (got < 0)
		return;
	outcome->ret = size;
	outcome->out = buffer;
	outcome->out_size = size;
}
