import type { Request } from '../model/clauses.ts';
import { lawOf } from '../model/law.ts';
import { featureRequest } from '../model/logging/feature.ts';
import { type Revision, takenNumbers } from '../spec/revision.ts';
import { IOMMUFD_COMMANDS } from '../uapi/iommufd-commands.ts';
import { TEST_COMMAND } from '../uapi/iommufd-test.ts';

/** The type of VFIO's and IOMMUFD's ioctls, in bits 8 to 15. */
const TYPE = 0x3bn << 8n;

/** The spaces of numbers that a kind of file answers. */
const SPACES: Readonly<Record<string, readonly string[]>> = {
  container: ['container', 'type1', 'spapr'],
  group: ['group'],
  device: ['device', 'migration'],
  // It takes the requests of a container as well.
  iommufd: ['container', 'type1'],
};

/** What was asked of which kind of file. */
export interface Asked {
  readonly file: string;
  /** The constant in C; the number, where only a clause knows it; `other numbers` for all the rest. */
  readonly name: string;
  /** Absent for all numbers together that have no name. */
  readonly request?: string;
}

/** What a container does not know itself it hands to its IOMMU: to those who call, both are one file. */
export const fileOf = ({ on }: Request<unknown, unknown>): string => (on === 'iommu' ? 'container' : on);

/** Names the requests of a revision by file and number. */
export const namesOf = (revision: Revision): ((file: string, request: bigint) => Asked) => {
  const names = new Map<string, string>();
  const give = (file: string, request: bigint, name: string): void => {
    // The first one has it: type1 before spapr, which no machine here has.
    if (!names.has(`${file} ${request}`)) names.set(`${file} ${request}`, name);
  };
  for (const [file, spaces] of Object.entries(SPACES)) {
    for (const { space, name, number } of takenNumbers(revision)) {
      if (spaces.includes(space)) give(file, TYPE | BigInt(number), name);
    }
  }
  for (const { space, name, number } of takenNumbers(revision)) {
    if (space === 'device feature') give('device', featureRequest(number), name);
  }
  for (const { name, request } of [...IOMMUFD_COMMANDS, TEST_COMMAND]) give('iommufd', request, name);
  for (const stated of lawOf(revision).all<Request<unknown, unknown>>('request')) {
    give(fileOf(stated), stated.request, `0x${stated.request.toString(16)}`);
  }
  return (file, request) => {
    const name = names.get(`${file} ${request}`);
    return name === undefined ? { file, name: 'other numbers' } : { file, name, request: `0x${request.toString(16)}` };
  };
};
