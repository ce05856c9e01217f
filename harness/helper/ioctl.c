// SPDX-License-Identifier: Apache-2.0
/* ioctl with raw bytes in which pointers, descriptors and strides are put, and all that came back of them. */
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "actor.h"

static void add_stride(uint8_t *at, uint64_t amount)
{
	uint64_t number;

	memcpy(&number, at, sizeof(number));
	number += amount;
	memcpy(at, &number, sizeof(number));
}

static bool apply(struct actor *actor, const struct patch *patch, uint8_t *buffer, struct outcome *outcome)
{
	uintptr_t address;
	int32_t fd;

	switch (patch->kind) {
	case PATCH_POINTER:
		if (!address_of(actor, &patch->place, &address, outcome))
			return false;
		memcpy(buffer + patch->at, &address, sizeof(address));
		return true;
	case PATCH_FD:
		fd = fd_named(actor, patch->fd, outcome);
		if (fd < 0)
			return false;
		memcpy(buffer + patch->at, &fd, sizeof(fd));
		return true;
	case PATCH_STRIDE:
		break;
	}
	return true;
}

/* Strides come after all other patches: a pointer moves too. */
static bool apply_all(struct actor *actor, const struct arg *arg, uint8_t *buffer, uint32_t iteration,
		      struct outcome *outcome)
{
	for (uint32_t i = 0; i < arg->patches; i++)
		if (!apply(actor, &arg->patch[i], buffer, outcome))
			return false;
	for (uint32_t i = 0; iteration && i < arg->patches; i++)
		if (arg->patch[i].kind == PATCH_STRIDE)
			add_stride(buffer + arg->patch[i].at, arg->patch[i].stride * iteration);
	return true;
}

/* Shows patched pointers and descriptors that did not change as they were written: their values differ from run to run. */
static void mask(const struct arg *arg, uint8_t *buffer, const uint8_t *before)
{
	static uint8_t written[MAX_INLINE];

	bytes_expand(&arg->bytes, written);
	for (uint32_t i = 0; i < arg->patches; i++) {
		const struct patch *patch = &arg->patch[i];
		size_t size = patch->kind == PATCH_FD ? sizeof(int32_t) : sizeof(uintptr_t);

		if (patch->kind != PATCH_STRIDE && !memcmp(buffer + patch->at, before + patch->at, size))
			memcpy(buffer + patch->at, written + patch->at, size);
	}
}

static int64_t call_ioctl(int fd, const struct call *call, uintptr_t argument)
{
	/* Not libc's, whose result is an int: what the kernel returned is shown whole. */
	return syscall(SYS_ioctl, fd, num(call, 1), argument);
}

static void ioctl_inline(struct actor *actor, const struct call *call, int fd, uint32_t iteration,
			 struct outcome *outcome)
{
	static uint8_t before[MAX_INLINE];
	const struct arg *arg = call->value[2].arg;
	uint32_t size = arg->bytes.size;
	uint8_t *buffer = guarded_take(size);

	bytes_expand(&arg->bytes, buffer);
	if (!apply_all(actor, arg, buffer, iteration, outcome))
		return;
	memcpy(before, buffer, size);
	result(outcome, call_ioctl(fd, call, (uintptr_t)buffer));
	guarded_check(buffer, size, outcome);
	if (!memcmp(before, buffer, size))
		return;
	mask(arg, buffer, before);
	outcome->out = buffer;
	outcome->out_size = size;
}

/* Whether the descriptor that is to be named has room in the argument, where it is not the result. */
static bool has_room(const struct call *call, struct outcome *outcome)
{
	const struct arg *arg = call->value[2].arg;

	if (!given(call, 4) || (arg->kind == ARG_INLINE && num(call, 4) + sizeof(int32_t) <= arg->bytes.size))
		return true;
	bad(outcome, "no room in the argument for", "a descriptor");
	return false;
}

/* Names the descriptor that the call made: its result, or what it left in its argument. */
static void name_made(struct actor *actor, const struct call *call, struct outcome *outcome)
{
	int32_t fd;

	if (!given(call, 4)) {
		fd_made(actor, call->value[3].name, outcome->ret, outcome);
		return;
	}
	/* Nothing changed: then the number that was there before is none of the kernel's. */
	if (!outcome->out)
		return;
	memcpy(&fd, outcome->out + num(call, 4), sizeof(fd));
	if (fcntl(fd, F_GETFD) >= 0)
		fd_name(actor, call->value[3].name, fd);
}

/* ioctl FD REQUEST ARG to at */
void op_ioctl(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome)
{
	int fd = fd_named(actor, call->value[0].name, outcome);
	const struct arg *arg = call->value[2].arg;
	uintptr_t address;

	if (fd < 0 || (given(call, 3) && !fd_free(actor, call->value[3].name, outcome)) || !has_room(call, outcome))
		return;
	switch (arg->kind) {
	case ARG_VALUE:
		result(outcome, call_ioctl(fd, call, arg->value));
		break;
	case ARG_PLACE:
		if (address_of(actor, &arg->place, &address, outcome))
			result(outcome, call_ioctl(fd, call, address));
		break;
	case ARG_INLINE:
		ioctl_inline(actor, call, fd, iteration, outcome);
		break;
	}
	if (given(call, 3) && !outcome->error && !outcome->mishap)
		name_made(actor, call, outcome);
}
