import type { Revision } from '../spec/revision.ts';
import * as vfio from '../uapi/vfio.ts';
import { type AnyStruct, isStruct } from './structs.ts';

/** The structs that a revision has: those of the header of Linux 6.1, which all of them build on. */
export const structsOf = (_revision: Revision): readonly AnyStruct[] => Object.values<unknown>(vfio).filter(isStruct);
