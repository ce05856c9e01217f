/* SPDX-License-Identifier: Apache-2.0 */
/* Inside an actor: its state, and the operations of ops.def. */
#ifndef VFIO_CONFORM_ACTOR_H
#define VFIO_CONFORM_ACTOR_H

#include <errno.h>

#include "run.h"

#define GUARD_BYTE 0xa5

/* A memory that a program named. `base` is its byte 0, [start, end) are its pages. */
struct memory {
	uintptr_t base;
	uint64_t size;
	uintptr_t start;
	uintptr_t end;
	/* Bytes of guard pages on each side of its pages. */
	size_t margin;
	/* Bytes of its pages that are not part of it are guard bytes; pages of a file are left alone. */
	bool guarded;
	bool there;
};

struct actor {
	struct shared *shared;
	const struct program *program;
	int number;
	int shared_fd;
	size_t page;
	/* By name. */
	struct memory *memories;
	struct named_fd *fds;
	uint32_t fd_order;
	/* Where the next memory goes: no address is used twice, so that what was unmapped stays a hole. */
	uintptr_t next_place;
};

/* One operation. It begins with an outcome of 0, no error and nothing to report. */
typedef void operation_fn(struct actor *actor, const struct call *call, uint32_t iteration, struct outcome *outcome);

#define OP(name, parameters, observes) operation_fn op_##name;
#include "ops.def"
#undef OP

/* What a call failed with, for the outcome. */
void fail(struct outcome *outcome, int error);
/* Takes what a system call of libc's returned: -1 is errno. */
void result(struct outcome *outcome, int64_t ret);
/* The program cannot be carried out as written; `name` is put behind the words. */
void bad(struct outcome *outcome, const char *what, const char *name);
void mishap(struct outcome *outcome, enum mishap mishap, const char *name, const char *what);

/* process.c: takes the descriptor that was just sent, under that name: 0, or a negative errno. */
int receive_fd(struct actor *actor, int name);

/* names.c: what names stand for. Those that look something up fail the outcome when it is not there. */
int fd_named(struct actor *actor, int name, struct outcome *outcome);
/* Fails the outcome when the name is taken. */
bool fd_free(struct actor *actor, int name, struct outcome *outcome);
/* Names a new descriptor and makes its number the result; or takes the error of -1. */
void fd_made(struct actor *actor, int name, int fd, struct outcome *outcome);
/* Names a descriptor, and leaves the outcome as it is. */
void fd_name(struct actor *actor, int name, int fd);
void fd_forget(struct actor *actor, int name);
struct memory *memory_named(struct actor *actor, int name, struct outcome *outcome);
bool address_of(struct actor *actor, const struct place *place, uintptr_t *address, struct outcome *outcome);

/* guarded.c: buffers for system calls, with guard bytes on both sides. One at a time. */
#define GUARD_BYTES 256
bool guarded_init(struct actor *actor);
uint8_t *guarded_take(size_t size);
/* Lists what changed outside of the buffer (and mends it). */
void guarded_check(const uint8_t *buffer, size_t size, struct outcome *outcome);
/* Gives back what was taken, if anything is. */
void guarded_give_back(void);

/* touch.c: memory that may not be there is touched here only. False: a fault (SIGSEGV, SIGBUS) stopped it. */
void touch_init(void);
bool touch_copy(uint8_t *to, const uint8_t *from, size_t size);
bool touch_fill(uint8_t *to, uint8_t byte, size_t size);
bool touch_expand(uint8_t *to, const struct bytes *bytes);
bool touch_hash(const uint8_t *from, size_t size, uint64_t *hash);
/* Adds the number of bytes that are not `byte`. */
bool touch_count_other(const uint8_t *from, uint8_t byte, size_t size, uint64_t *count);
/* One load, one store, of 1, 2, 4 or 8 bytes. */
bool touch_load(const uint8_t *from, int width, uint64_t *value);
bool touch_store(uint8_t *to, int width, uint64_t value);

#endif
