/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as they come in (docs/program-format.md): read from memory, so that they can be tested and fuzzed alone. */
#ifndef VFIO_CONFORM_FRAME_H
#define VFIO_CONFORM_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_HEADER 128
#define MAX_STEP_MS 600000u
#define MAX_PROGRAM_MS 3600000u

enum frame_kind {
	/* The bytes are the beginning of a frame. */
	FRAME_PARTIAL,
	FRAME_RUN,
	FRAME_BYE,
	/* Nothing that follows can be understood: where a next frame would begin is not known. */
	FRAME_MALFORMED,
};

struct frame {
	enum frame_kind kind;
	uint64_t id;
	uint32_t step_ms;
	uint32_t program_ms;
	const char *text;
	size_t text_size;
	/* The bytes of the whole frame; what follows is the next one. */
	size_t size;
	/* What is wrong with a malformed one. */
	const char *wrong;
};

void frame_read(struct frame *frame, const char *bytes, size_t size);

#endif
