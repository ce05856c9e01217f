// SPDX-License-Identifier: Apache-2.0
/* Frames are read within the bytes that are there, and the same however few of them came first. */
#include <stdlib.h>

#include "../frame.h"
#include "../program.h"

static void check(const struct frame *frame, const char *at, size_t left)
{
	struct frame shorter;

	if (frame->kind == FRAME_MALFORMED && !frame->wrong)
		abort();
	if (frame->kind != FRAME_RUN && frame->kind != FRAME_BYE)
		return;
	if (!frame->size || frame->size > left)
		abort();
	frame_read(&shorter, at, frame->size - 1);
	if (shorter.kind != FRAME_PARTIAL)
		abort();
	if (frame->kind == FRAME_RUN &&
	    (frame->text < at || frame->text + frame->text_size != at + frame->size || frame->text_size > MAX_TEXT ||
	     !frame->step_ms || frame->step_ms > MAX_STEP_MS || !frame->program_ms || frame->program_ms > MAX_PROGRAM_MS))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct frame frame;

	do {
		frame_read(&frame, at, end - at);
		check(&frame, at, end - at);
		at += frame.size;
	} while (frame.kind == FRAME_RUN);
	return 0;
}
