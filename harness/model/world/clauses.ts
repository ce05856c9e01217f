import type { Clause } from '../../spec/clause.ts';

/** What the processor and the rest of the kernel do for a program, as far as the model relies on it. */
const clause = (id: `world/${string}`, says: string, source: string): Clause => ({ id, level: 'must', says, source });

export const MEMORY_CONTENT = clause(
  'world/memory-content',
  'Memory holds what a process last wrote to it, or a device through a mapping that allows it; memory that nobody wrote reads as zeros.',
  'mmap(2): MAP_ANONYMOUS, MAP_SHARED, MAP_PRIVATE',
);

export const MEMORY_ACCESS = clause(
  'world/memory-access',
  'Touching memory that is not mapped, not allowed, or behind the end of its file fails, and changes nothing behind the first byte that cannot be touched.',
  'mmap(2): SIGSEGV, SIGBUS; mm/memory.c: handle_mm_fault()',
);

export const MEMORY_GUARDS = clause(
  'world/memory-guards',
  'Nothing is written outside of what was given away: the guard bytes round a memory stay as they are.',
  'mmap(2); the bytes outside [offset, offset+size) of a memory belong to nobody',
);

export const MEMORY_MAPPING = clause(
  'world/memory-mapping',
  'Memory can be mapped where nothing is mapped, taken away and protected in whole pages, and is inherited by fork (shared, or as a copy) but not by exec.',
  'mmap(2), munmap(2), mprotect(2), fork(2), execve(2)',
);

export const LOCKED_MEMORY = clause(
  'world/locked-memory',
  'VmLck of a process is what was charged to its address space and not given back; it starts at zero, after fork and exec too.',
  'Documentation/filesystems/proc.rst: VmLck; fs/proc/task_mmu.c; kernel/fork.c: mm_init()',
);

export const PINNED_MEMORY = clause(
  'world/pinned-memory',
  'VmPin of a process is what was charged as pinned, which is not the same as locked.',
  'Documentation/filesystems/proc.rst: VmPin; fs/proc/task_mmu.c',
);

export const DESCRIPTORS = clause(
  'world/descriptors',
  'A process has the descriptors that it opened, inherited or was sent, each until it is closed; a call on any other number fails.',
  'open(2), close(2), dup(2), fork(2), execve(2), unix(7): SCM_RIGHTS',
);

export const FILES = clause(
  'world/files',
  'A file is read, written, mapped and cut to size as far as its descriptor and its kind allow it, and holds what was last written to it.',
  'pread(2), pwrite(2), mmap(2), ftruncate(2), memfd_create(2), ioctl(2)',
);

export const TEST_DEVICES = clause(
  'world/test-devices',
  'Root can open the file of a test module that is loaded.',
  'fixtures/modules',
);

export const EMULATED = clause(
  'world/emulated',
  'A device of the test module vfio-emulated does with what it holds, with its window and its words, what its README says.',
  'fixtures/modules/emulated/README.md',
);

export const PROCESSES = clause(
  'world/processes',
  'Processes are made by fork and end by exit or a signal; what others hold of them stays.',
  'fork(2), execve(2), _exit(2), kill(2), wait(2)',
);

export const CREDENTIALS = clause(
  'world/credentials',
  'A process with the capability to can change its user and drop capabilities; a root process that becomes another user loses its capabilities.',
  'capabilities(7), setresuid(2)',
);

export const LIMITS = clause(
  'world/limits',
  'A soft limit can be set up to the hard limit, is inherited by fork and kept by exec.',
  'setrlimit(2)',
);

export const EDU = clause(
  'world/edu',
  'The edu device answers and does DMA as it is documented, with the bus master bit of its command register set and through the IOMMU.',
  'QEMU, docs/specs/edu',
);

export const FAILED_ALLOCATION = clause(
  'world/failed-allocation',
  'A call that finds no memory for what the kernel must note down is refused with ENOMEM and changes nothing, or does all that it should.',
  'Documentation/fault-injection/fault-injection.rst: /proc/self/task/<tid>/fail-nth; ioctl(2)',
);

export const WORLD_CLAUSES: readonly Clause[] = [
  TEST_DEVICES,
  EMULATED,
  MEMORY_CONTENT,
  MEMORY_ACCESS,
  MEMORY_GUARDS,
  MEMORY_MAPPING,
  LOCKED_MEMORY,
  PINNED_MEMORY,
  DESCRIPTORS,
  FILES,
  PROCESSES,
  CREDENTIALS,
  LIMITS,
  EDU,
  FAILED_ALLOCATION,
];
